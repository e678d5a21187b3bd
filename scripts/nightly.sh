#!/usr/bin/env bash
# What does not fit into CI: all tests under ThreadSanitizer, coverage, slow tests, fuzzing, faults at every call, flipped bits, many
# random programs. Each stage prints its counts and writes a log; a table of all of them comes last. A stage that has passed is
# not run again by the next call with the same --out, unless it is named: a night that was cut off goes on.
# usage: scripts/nightly.sh [options] [STAGE ...]
#   --minutes N   shares N minutes among the stages that can take any time [480]
#   --quick       a few minutes of those: shows that every stage works
#   --out DIR     logs and the marks of finished stages [build/nightly]
#   --list        names the stages
# Exit code: 0 all passed, 1 one failed, 2 wrong arguments.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root" || exit 2
jobs=$(nproc)

stages=(build slow programs programs-emulated programs-large tsan coverage faults bits fuzz)
minutes=480 out=build/nightly wanted=()
usage() { sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"; }
while [ $# -gt 0 ]; do
  case $1 in
    --minutes | --out)
      [ $# -gt 1 ] || { echo "nightly: $1 needs a value" >&2; exit 2; }
      if [ "$1" = --minutes ]; then minutes=$2; else out=$2; fi
      shift ;;
    --quick) minutes=5 ;;
    --list) printf '%s\n' "${stages[@]}"; exit 0 ;;
    -h | --help) usage; exit 0 ;;
    -*) echo "nightly: unknown option $1; --help lists them" >&2; exit 2 ;;
    *)
      [[ " ${stages[*]} " == *" $1 "* ]] || { echo "nightly: no stage $1; there are: ${stages[*]}" >&2; exit 2; }
      wanted+=("$1") ;;
  esac
  shift
done
[[ $minutes =~ ^[1-9][0-9]*$ ]] || { echo "nightly: --minutes must be a whole number, got $minutes" >&2; exit 2; }
mkdir -p "$out"
out=$(cd "$out" && pwd)
if [ -z "${BASIN_DATA:-}" ] && [ -d "$root/../shared/data" ]; then
  BASIN_DATA=$(cd "$root/../shared/data" && pwd)
  export BASIN_DATA
fi
seconds=$((minutes * 60))
# seconds_of <percent>: a stage's share
seconds_of() { echo $((seconds * $1 / 100)); }
bin=build/default/bin

build_preset() {  # <preset> <targets or nothing>
  local preset=$1
  shift
  cmake --preset "$preset" -DBASIN_WERROR=ON >/dev/null && nice -n 10 cmake --build --preset "$preset" --parallel "$jobs" ${1:+--target "$@"}
}
ctest_of() {  # <preset> <options ...>
  local preset=$1
  shift
  nice -n 10 ctest --test-dir "build/$preset" --parallel "$jobs" --no-tests=error --output-on-failure "$@"
}
# How many random programs fit: as many as 100 of them take a share of the time.
programs_for() {  # <seconds> <command ...>
  local share=$1 begin=$EPOCHREALTIME took
  shift
  "$@" --count 100 >/dev/null || true
  took=$(awk -v a="$begin" -v b="$EPOCHREALTIME" 'BEGIN { print b - a + .001 }')
  awk -v s="$share" -v t="$took" 'BEGIN { n = int(100 * s / t); print(n > 100 ? n : 100) }'
}
seed=$(date +%Y%m%d)0000000  # another one each night; a failure prints the one that makes it again

run_build() { build_preset default; }
run_slow() { ctest_of default -L slow -LE faults; }
run_programs() { nice -n 10 $bin/basin_programs --seed "$seed" --whole-table --failures 20 --count "$(programs_for "$(seconds_of 20)" $bin/basin_programs)"; }
run_programs-emulated() {
  local program="$bin/basin_programs_emulated --device cuda"
  nice -n 10 $program --seed "$seed" --failures 20 --count "$(programs_for "$(seconds_of 5)" $program)"
}
run_programs-large() {
  local program="$bin/basin_programs --large"
  nice -n 10 $program --seed "$seed" --failures 20 --count "$(programs_for "$(seconds_of 3)" $program)"
}
# Four threads whatever the machine has: the tests set their own numbers, and the large programs say how many were busy.
# Not plot_test: under ThreadSanitizer vfork() is fork(), and a child's failure to start does not come back.
run_tsan() {
  local -x TSAN_OPTIONS=halt_on_error=1:allocator_may_return_null=1
  bash scripts/setup.sh clang-14 libclang-rt-14-dev && build_preset tsan basin_tests basin_programs &&
    build/tsan/bin/basin_programs --large --count 200 &&
    ctest_of tsan -R '_test(_slow)?$' -L 'cpu|slow' -E '^plot_test$'
}
run_coverage() { bash scripts/checks/coverage.sh; }
# sweep <options ...>: faults at the calls of a run
sweep() { nice -n 10 $bin/basin_sweep --basin $bin/basin --library $bin/basin_faults.so "$@"; }
run_faults() {
  if [ "$minutes" -le 10 ]; then sweep; else sweep --all; fi
}
# Every byte of every file that --resume reads.
run_bits() { BASIN_FLIP_EVERY=1 ctest_of default -R '^flips_test(_slow)?$'; }
# eleven readers, about 4,000 executions of each a second
run_fuzz() { bash tests/fuzz/campaign.sh $(($(seconds_of 40) * 4000 / 11)); }

code="$(git rev-parse HEAD 2>/dev/null) $(git diff HEAD 2>/dev/null | sha256sum | cut -c 1-16) $minutes"
table=() failed=0
[ ${#wanted[@]} -gt 0 ] && stages=("${wanted[@]}") && for stage in "${wanted[@]}"; do rm -f "$out/$stage.passed"; done
for stage in "${stages[@]}"; do
  log=$out/$stage.log begin=$SECONDS
  # what passed earlier stands for the same code and the same length only; a build is always checked
  if [ "$stage" != build ] && [ "$(head -n 1 "$out/$stage.passed" 2>/dev/null)" = "$code" ]; then
    table+=("$(printf '%-18s %-8s %8s  %s' "$stage" passed earlier "$(tail -n +2 "$out/$stage.passed")")")
    continue
  fi
  echo "=== $stage"
  "run_$stage" 2>&1 | tee "$log"
  status=${PIPESTATUS[0]}
  # the last line with a number is what the stage counted
  count=$(grep -E '[0-9]' "$log" | tail -n 1 | cut -c 1-140)
  if [ "$status" = 0 ]; then
    printf '%s\n%s\n' "$code" "$count" >"$out/$stage.passed"
    result=passed
  else
    failed=$((failed + 1)) result="FAILED ($status)"
  fi
  table+=("$(printf '%-18s %-8s %6s s  %s' "$stage" "$result" $((SECONDS - begin)) "$count")")
done
echo "=== $(git rev-parse --short HEAD 2>/dev/null || echo 'no commit'), $minutes minutes, logs in $out"
printf '%s\n' "${table[@]}"
if [ $failed = 0 ]; then
  for stage in "${stages[@]}"; do rm -f "$out/$stage.passed"; done  # the next night begins anew
  exit 0
fi
echo "$failed of ${#stages[@]} stages failed; run it again to repeat these"
exit 1
