#!/usr/bin/env bash
# Builds with Clang's source-based coverage, runs the fast tests on the CPU and on the emulated device, prints lines and branches
# reached for each folder and the files with most left out, and fails below the floors. Branches are those of the source: edges
# that only an exception takes are none. Needs clang-14 and llvm-14.
# usage: scripts/checks/coverage.sh [--no-build] [--show FILE]     FILE: print that file with counts, after the table
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
build=build/coverage
folders=(engine autograd models)
line_floor=97 branch_floor=90

make=1 show=
while [ $# -gt 0 ]; do
  case $1 in
    --no-build) make=0 ;;
    --show) show=$2 && shift ;;
    *) echo "coverage: unknown option $1; the head of this file lists them" >&2; exit 2 ;;
  esac
  shift
done
programs=(basin_tests basin_tests_emulated basin_programs basin_programs_emulated)
if [ $make = 1 ]; then
  bash scripts/setup.sh clang-14 llvm-14 libclang-rt-14-dev
  cmake --preset coverage -DBASIN_WERROR=ON >/dev/null
  nice -n 10 cmake --build --preset coverage --parallel "$(nproc)" --target "${programs[@]}" basin
fi

profiles=$build/profiles
rm -rf "$profiles"
mkdir -p "$profiles"
export LLVM_PROFILE_FILE=$PWD/$profiles/%p-%m.profraw
failed=0
run() { nice -n 10 "$@" >"$profiles/log" 2>&1 || { failed=1; echo "coverage: failed: $*"; tail -n 20 "$profiles/log"; }; }
run $build/bin/basin_tests "--test-case-exclude=slow: *"
run $build/bin/basin_tests_emulated --device cuda "--test-case-exclude=slow: *"
run $build/bin/basin_programs --count 1000
run $build/bin/basin_programs_emulated --count 100 --device cuda

llvm-profdata-14 merge -sparse "$profiles"/*.profraw -o $build/tests.profdata
objects=($build/bin/basin_tests)
for program in "${programs[@]:1}"; do objects+=(-object "$build/bin/$program"); done
report() { llvm-cov-14 "$1" "${objects[@]}" -instr-profile=$build/tests.profdata "${@:2}"; }
report report >$build/coverage.txt
# columns 8 to 10: lines, missed, percent; 11 to 13: branches
awk -v folders="${folders[*]}" -v lines_from=$line_floor -v branches_from=$branch_floor '
  BEGIN { count = split(folders, names, " ") }
  NF >= 13 && $1 ~ /\// {
    of = $1  # ../../engine/file.cpp
    gsub(/^(\.\.\/)+|\/[^.].*$/, "", of)
    if (!index(" " folders " ", " " of " ")) next
    lines[of] += $8; missed[of] += $9; branches[of] += $11; untaken[of] += $12
    if ($9 + $12 > 0) left[++files] = sprintf("%4d lines %4d branches  %s", $9, $12, $1)
  }
  END {
    printf "%-10s %18s %8s %22s %8s\n", "folder", "lines reached", "", "branches taken", ""
    for (i = 1; i <= count; ++i) {
      f = names[i]
      if (!lines[f]) { print "coverage: nothing measured in " f; bad = 1; continue }
      l = 100 * (1 - missed[f] / lines[f]); b = branches[f] ? 100 * (1 - untaken[f] / branches[f]) : 100
      printf "%-10s %9d of %5d %6.2f %% %13d of %5d %6.2f %%\n", f, lines[f] - missed[f], lines[f], l,
             branches[f] - untaken[f], branches[f], b
      if (l < lines_from || b < branches_from) bad = 1
    }
    printf "floors: lines %s %%, branches %s %%; most left out:\n", lines_from, branches_from
    for (i = 1; i <= files; ++i) print left[i] | "sort -rn | head -n 12"
    close("sort -rn | head -n 12")
    exit bad
  }' $build/coverage.txt || failed=1
[ -z "$show" ] || report show "$show" -show-branches=count
exit $failed
