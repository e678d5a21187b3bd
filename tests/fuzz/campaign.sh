#!/usr/bin/env bash
# Fuzzes every reader: N executions for each reader of one buffer, N / 40 for each reader of a folder, then N / 40 mutated
# files against NumPy and safetensors, where Python has them. Prints the counts; stops at the first fault, with exit code 1.
# usage: campaign.sh N [--plain] [TARGET ...]
#   --plain   without AddressSanitizer and UndefinedBehaviorSanitizer: about four times as fast
#   TARGET    some of: call checkpoint cifar config folder gzip idx jpeg npy png pnm record safetensors differential
# PYTHON names the interpreter with the reference packages. New inputs that reached new code are kept in the build folder.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
executions=${1:?usage: campaign.sh N [--plain] [TARGET ...]}
shift
preset=(--preset fuzz)
build=build/fuzz
kind="libFuzzer with AddressSanitizer and UndefinedBehaviorSanitizer"
if [ "${1:-}" = --plain ]; then
  shift
  build=build/fuzz-plain
  preset+=(-B "$build" -DBASIN_SANITIZE=)
  kind="libFuzzer without sanitizers"
fi
one_buffer=(call checkpoint cifar config gzip idx jpeg npy png pnm program safetensors)
targets=("${@:-}")
[ $# -gt 0 ] || targets=("${one_buffer[@]}" folder record differential)
bash scripts/setup.sh clang-14 libclang-rt-14-dev
cmake "${preset[@]}" >/dev/null
programs=("${targets[@]/%/_fuzz}")
cmake --build "$build" --target "${programs[@]/differential_fuzz/read_stream}" | tail -n 1

# fuzz TARGET COUNT: the last lines of libFuzzer's report when it finds something, else one line with the count.
fuzz() {
  local found=$build/found/$1 log=$build/found/$1.log
  mkdir -p "$found"
  # malloc_limit: no input of 4 KiB may ask for more, whatever it claims
  if ! "$build/bin/$1_fuzz" -runs="$2" -max_len=4096 -malloc_limit_mb=64 -timeout=10 -print_final_stats=1 \
    -artifact_prefix="$found-" "$found" "tests/fuzz/corpus/$1" >"$log" 2>&1; then
    tail -n 40 "$log"
    echo "$1: FAULT; the input is beside $log"
    exit 1
  fi
  echo "$1: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") executions, $kind"
}

for target in "${targets[@]}"; do
  case $target in
    differential)
      if ! command -v "${PYTHON:-python3}" >/dev/null; then
        echo "differential: skipped, no ${PYTHON:-python3} here"
        continue
      fi
      status=0
      "${PYTHON:-python3}" tests/fuzz/differential.py "$build/bin/read_stream" --files $((executions / 40)) || status=$?
      [ "$status" -eq 0 ] || [ "$status" -eq 77 ] || exit 1
      ;;
    folder | record) fuzz "$target" $((executions / 40)) ;;
    *) fuzz "$target" "$executions" ;;
  esac
done
