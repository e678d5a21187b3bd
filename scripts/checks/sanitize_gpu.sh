#!/usr/bin/env bash
# compute-sanitizer's memcheck, racecheck and initcheck over the GPU tests (memcheck: all that ctest labels cuda, until the
# time is up) and over every kernel at small sizes (basin-bench-gpu --once: all three tools). Needs a GPU.
# usage: scripts/checks/sanitize_gpu.sh [BUILD folder, default build/default] [SECONDS for everything, default 900] [LOG folder]
# Exit code 1 when a tool found something; what did not finish in time is reported as such, and is no failure.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
case ${1:-} in -*) sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 2 ;; esac
build=$(cd "${1:-$root/build/default}" && pwd) || exit 2
limit=${2:-900} logs=${3:-$build/sanitize}
end=$((SECONDS + limit))
mkdir -p "$logs"

tool=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer /usr/local/cuda/compute-sanitizer/compute-sanitizer 2>/dev/null | head -n 1)
[ -n "$tool" ] || { echo "sanitize_gpu: no compute-sanitizer here; it comes with the CUDA toolkit" >&2; exit 2; }
ours=()  # racecheck and initcheck only look into kernels of our own; those of the libraries are not ours to mend
if "$tool" --help 2>&1 | grep -q -- '--kernel-name'; then ours=(--kernel-name kns=basin); fi

probe=$("$tool" --tool memcheck "$build/bin/basin-bench-gpu" --device cuda --help 2>&1 || true)
if grep -qi 'device not supported' <<<"$probe"; then
  echo "sanitize_gpu: compute-sanitizer does not support this device or its virtual machine"
  exit 77
fi

bad=0
# check <share of the time left, in percent> <name> <tool options ...> -- <command ...>
check() {
  local share=$1 name=$2 options=() seconds rc found=""
  shift 2
  while [ "$1" != -- ]; do options+=("$1"); shift; done
  shift
  seconds=$(((end - SECONDS) * share / 100))
  if [ "$seconds" -lt 5 ]; then
    printf '%-60s %s\n' "$name" "not run: no time left"
    return
  fi
  timeout -k 5 "$seconds" "$tool" "${options[@]}" --error-exitcode 99 "$@" >"$logs/${name// /_}.log" 2>&1
  rc=$?
  found=$(grep -E '^=+ (ERROR SUMMARY|RACECHECK SUMMARY|Target application|Error:)' "$logs/${name// /_}.log" | tail -n 1)
  case $rc in
    0) found="clean; $found" ;;
    124 | 137) found="stopped after $seconds s; $(grep -cE '^=+ +(Invalid|Error|Uninitialized|Race)' "$logs/${name// /_}.log") errors until then" ;;
    *) found="FAILED ($rc): $found"; bad=1 ;;
  esac
  if [ "$rc" -ge 124 ] && ! grep -q ' 0 errors until then' <<<"$found"; then bad=1; fi
  printf '%-60s %s\n' "$name" "$found"
}

all_kernels=("$build/bin/basin-bench-gpu" --device cuda --once)
check 25 "memcheck every kernel" --tool memcheck -- "${all_kernels[@]}"
check 35 "racecheck every kernel" --tool racecheck "${ours[@]}" -- "${all_kernels[@]}"
check 50 "initcheck every kernel" --tool initcheck "${ours[@]}" -- "${all_kernels[@]}"
check 30 "racecheck online SGD" --tool racecheck "${ours[@]}" -- "$build/bin/basin_tests" --device cuda "--source-file=*/online_cuda_test.cpp"
# the commands of ctest's entries, one a line, words separated by tabs
ctest --test-dir "$build" -L '^cuda$' --show-only=json-v1 | python3 -c '
import json, sys
for test in json.load(sys.stdin)["tests"]:
    print("\t".join([test["name"]] + test.get("command", [])))' >"$logs/tests.txt"
while IFS=$'\t' read -r name words; do
  IFS=$'\t' read -r -a command <<<"$words"
  check 60 "memcheck $name" --tool memcheck -- "${command[@]}"
done <"$logs/tests.txt"
exit $bad
