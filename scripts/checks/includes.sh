#!/usr/bin/env bash
# Every #include "room/..." goes to the left in
#     kernels <- engine <- autograd <- models/nets <- models/training <- models/dynamics
#     engine <- data,   models/dynamics, data <- experiments/harness <- experiments/PAPER
# where no paper includes another one. Inside a paper
#     theory <- simulation <- figures
# and what stands beside these folders includes none of them. No source includes by a path relative
# to itself, and every source of models/ and experiments/ is in one of their rooms.
# Prints file:line of each violation; the exit code is not 0 if there is one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

find kernels engine autograd models data experiments -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.def' | sort | xargs awk '
  # the room of a path: its first folder, or of models/ and experiments/ the first two
  function room(path,    part, count) {
    count = split(path, part, "/")
    if (part[1] != "models" && part[1] != "experiments") return part[1]
    return count < 3 ? part[1] : part[1] "/" part[2]
  }
  # how high a folder of a paper stands in it
  function story(path,    part) {
    split(path, part, "/")
    return part[1] == "experiments" ? index(" theory simulation figures ", " " part[3] " ") : 0
  }
  function refuse(why) {
    printf "%s:%d: %s/ must not include \"%s\" (%s)\n", FILENAME, FNR, here, quoted[2], why
    bad = 1
  }
  BEGIN {
    allowed["kernels"] = "kernels"
    allowed["engine"] = allowed["kernels"] " engine"
    allowed["autograd"] = allowed["engine"] " autograd"
    allowed["models/nets"] = allowed["autograd"] " models/nets"
    allowed["models/training"] = allowed["models/nets"] " models/training"
    allowed["models/dynamics"] = allowed["models/training"] " models/dynamics"
    allowed["data"] = allowed["engine"] " data"
    allowed["experiments/harness"] = allowed["models/dynamics"] " data experiments/harness"
  }
  FNR == 1 {
    here = room(FILENAME)
    if (here ~ /^experiments\// && !(here in allowed)) allowed[here] = allowed["experiments/harness"] " " here
    if (!(here in allowed)) {
      printf "%s: in no room\n", FILENAME
      bad = 1
    }
  }
  /^[ \t]*#[ \t]*include[ \t]*"/ {
    split($0, quoted, "\"")
    there = room(quoted[2])
    if (!index(" " allowed[here] " ", " " there " ") || !index(quoted[2], "/")) {
      refuse("allowed: " allowed[here])
    } else if (here == there && story(quoted[2]) > story(FILENAME)) {
      refuse("inside a paper: theory <- simulation <- figures")
    }
  }
  END { exit bad }'
echo "include directions hold"
