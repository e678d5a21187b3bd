#!/usr/bin/env bash
# Every #include "folder/..." goes to the left in
#     kernels <- engine <- autograd <- models <- experiments,   engine <- data <- experiments
# and no source includes by a path relative to itself. Prints file:line of each violation; exit code 1 if there is one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

find kernels engine autograd models data experiments -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.def' | sort | xargs awk '
  BEGIN {
    allowed["kernels"] = "kernels"
    allowed["engine"] = "kernels engine"
    allowed["autograd"] = "kernels engine autograd"
    allowed["models"] = "kernels engine autograd models"
    allowed["data"] = "kernels engine data"
    allowed["experiments"] = "kernels engine autograd models data experiments"
  }
  /^[ \t]*#[ \t]*include[ \t]*"/ {
    split($0, quoted, "\"")
    folder = FILENAME; sub("/.*", "", folder)
    target = quoted[2]; sub("/.*", "", target)
    if (index(" " allowed[folder] " ", " " target " ") && index(quoted[2], "/")) next
    printf "%s:%d: %s/ must not include \"%s\" (allowed: %s)\n", FILENAME, FNR, folder, quoted[2], allowed[folder]
    bad = 1
  }
  END { exit bad }'
echo "include directions hold"
