#!/usr/bin/env bash
# Every #include "room/..." goes to the left in
#     kernels <- engine <- autograd <- models/nets <- models/training <- models/dynamics
#     engine <- data,   models/dynamics, data <- experiments
# and no source includes by a path relative to itself; every source of models/ is in one of its rooms. Prints file:line of each violation; exit code 1 if there is one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

find kernels engine autograd models data experiments -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.def' | sort | xargs awk '
  # the room of a path: its first folder, or of models/ the first two
  function room(path,    part, count) {
    count = split(path, part, "/")
    if (part[1] != "models") return part[1]
    return count < 3 ? part[1] : part[1] "/" part[2]
  }
  BEGIN {
    allowed["kernels"] = "kernels"
    allowed["engine"] = allowed["kernels"] " engine"
    allowed["autograd"] = allowed["engine"] " autograd"
    allowed["models/nets"] = allowed["autograd"] " models/nets"
    allowed["models/training"] = allowed["models/nets"] " models/training"
    allowed["models/dynamics"] = allowed["models/training"] " models/dynamics"
    allowed["data"] = allowed["engine"] " data"
    allowed["experiments"] = allowed["models/dynamics"] " data experiments"
  }
  FNR == 1 && !(room(FILENAME) in allowed) {
    printf "%s: in no room\n", FILENAME
    bad = 1
  }
  /^[ \t]*#[ \t]*include[ \t]*"/ {
    split($0, quoted, "\"")
    if (index(" " allowed[room(FILENAME)] " ", " " room(quoted[2]) " ") && index(quoted[2], "/")) next
    printf "%s:%d: %s/ must not include \"%s\" (allowed: %s)\n",
           FILENAME, FNR, room(FILENAME), quoted[2], allowed[room(FILENAME)]
    bad = 1
  }
  END { exit bad }'
echo "include directions hold"
