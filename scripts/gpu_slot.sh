#!/usr/bin/env bash
# Builds, checks and times everything on a machine with a GPU, within ten minutes, and leaves the tables in a folder. Goes on
# after a failure; the summary at the end has one line for each stage. Needs nvcc, CMake, ninja, a C++ compiler and Python with
# PyTorch; installs and downloads nothing: what the build needs beside that comes from the folder deps, filled elsewhere by
# scripts/gather_headers.sh.
# usage: scripts/gpu_slot.sh [options]
#   --build DIR       build folder [build/gpu]; with --no-build it is used as it is
#   --no-build
#   --deps DIR        [deps if it is there, else what is installed]
#   --data DIR        MNIST's files for mnist-attractors [$BASIN_DATA, then datasets]; without them it is skipped
#   --python PYTHON   an interpreter that has PyTorch [python3]
#   --seconds N       for everything [570]
#   --device NAME     [cuda]; cpu with --quick shows that the script works
#   --quick           sizes that mean nothing
#   --note TEXT       a line for the head of the tables, such as the commit when there is no checkout
#   --only REGEX      only stages whose name matches
# Results: summary.md, kernels.md, peers.md, online-sgd.md and logs.tar.gz in ${OUT:-bench/results/gpu-run}
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root" || exit 2

build=build/gpu make=1 deps= data=${BASIN_DATA:-datasets} python=python3 seconds=570 device=cuda quick= notes=() only=.
[ -d deps ] && deps=deps
while [ $# -gt 0 ]; do
  case $1 in
    --no-build) make=0 ;;
    --quick) quick=--quick ;;
    --build | --deps | --data | --python | --seconds | --device | --only | --note)
      [ $# -gt 1 ] || { echo "gpu_slot: $1 needs a value" >&2; exit 2; }
      if [ "$1" = --note ]; then notes+=(--note "$2"); else printf -v "${1#--}" %s "$2"; fi
      shift ;;
    -h | --help) sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"; exit 0 ;;
    *) echo "gpu_slot: unknown option $1; the head of this file lists them" >&2; exit 2 ;;
  esac
  shift
done
out=${OUT:-bench/results/gpu-run}
mkdir -p "$out"
out=$(cd "$out" && pwd)
end=$seconds summary=()
export PYTHONUNBUFFERED=1

# stage <name> <most seconds> <seconds that later stages need> <command ...>: a log of its own, its end on the screen
stage() {
  local name=$1 most=$2 later=$3 log=$logs/$1.log start=$SECONDS rc limit
  shift 3
  if ! grep -qE "$only" <<<"$name"; then return; fi
  limit=$((end - SECONDS - later * seconds / 570))  # on the scale of the ten minutes
  [ "$limit" -gt "$most" ] && limit=$most
  if [ "$limit" -lt 5 ]; then
    summary+=("| $name | not run: no time left | |")
    return
  fi
  echo "== $name (at most $limit s)"
  timeout -k 5 "$limit" "$@" >"$log" 2>&1
  rc=$?
  tail -n 15 "$log"
  case $rc in
    0) rc=ok ;;
    77) rc="skipped: $(tail -n 1 "$log")" ;;
    124 | 137) rc="**stopped after $limit s**" ;;
    *) rc="**failed ($rc)**: $(grep -v '^ *$' "$log" | tail -n 1 | cut -c 1-200 | tr '|' '/')" ;;
  esac
  summary+=("| $name | $rc | $((SECONDS - start)) s |")
  write_summary
}
write_summary() {
  {
    echo "# GPU run of $(date -u '+%Y-%m-%d %H:%M UTC')"
    echo
    echo "- $(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null || echo 'no nvidia-smi')"
    echo "- device $device${quick:+, quick: sizes that mean nothing}; commit $(git rev-parse HEAD 2>/dev/null || echo unknown)"
    [ ${#notes[@]} -eq 0 ] || printf -- '- %s\n' "${notes[@]}" | grep -v -- '- --note$'
    printf '\n| stage | result | time |\n| --- | --- | --- |\n'
    printf '%s\n' "${summary[@]}"
  } >"$out/summary.md"
  tar -czf "$out/logs.tar.gz" -C "$scratch" logs
}

describe() {
  uname -a
  nvidia-smi || true
  nvcc --version || true
  cmake --version
  "${CXX:-c++}" --version
  "$python" -c 'import torch; print("PyTorch", torch.__version__, torch.version.cuda, torch.backends.cudnn.version())'
  command -v compute-sanitizer ncu ninja ccache || true
  echo "site-packages: $site"
}

configure() {
  local options=(-G Ninja -S . -B "$build" -DCMAKE_BUILD_TYPE=Release -DBASIN_TESTS=ON -DBASIN_BENCH=ON)
  [ -n "$deps" ] && options+=("-DBASIN_DEPENDENCIES=$(realpath "$deps")")
  [ -n "$site" ] && options+=("-DBASIN_SITE_PACKAGES=$site")
  if [ "$device" = cpu ]; then options+=(-DBASIN_CUDA=OFF); else options+=(-DBASIN_CUDA=ON "-DBASIN_CUDA_ARCHITECTURES=$arch-real"); fi
  cmake "${options[@]}" && cmake --build "$build" --parallel "$(nproc)" --target basin basin_tests basin-bench-gpu basin-bench-peer basin-bench-sgd
}

tests() {  # the label cuda: the primitive suite, gradient checks and model tests on the GPU
  local label='^cuda$'
  [ "$device" = cpu ] && label='^cpu$'
  local which=(-L "$label")
  [ -n "$quick" ] && which+=(-R 'array_test|optimizers_test|train_test')
  ctest --test-dir "$build" "${which[@]}" --no-tests=error --output-on-failure --parallel "${1:-4}"
}

experiment() {  # <name> <options ...>
  local name=$1 preset=quick
  shift
  [ -n "$quick" ] && preset=smoke
  "$build/bin/basin" run "$name" --preset "$preset" --device "$device" --out "$scratch/$name" "$@" || return
  cp "$scratch/$name/result.json" "$logs/$name.json"
}

mnist() {
  if [ -z "$(ls "$data"/mnist/t10k-images* "$data"/t10k-images* 2>/dev/null)" ]; then
    echo "no MNIST in $data; carry it along and give --data"
    return 77
  fi
  experiment mnist-attractors --data "$data"
}

kernels() { "$build/bin/basin-bench-gpu" --device "$device" $quick --out "$out/kernels.md" "${notes[@]}"; }
peers() {
  "$python" bench/peers/gpu_compare.py --python "$python" --basin "$build/bin/basin-bench-peer" --device "$device" $quick \
    --seconds "$1" --out "$out/peers.md" "${notes[@]}"
}
sgd() {  # 1,024 trajectories of online SGD beside one on a core; the experiment that draws many of them
  "$python" bench/peers/sgd_compare.py --build "$build" --python "$python" --peers "" --rounds 3 --device "$device" $quick \
    --out "$out/online-sgd.md" && experiment sequential-learning
}
sanitize() {
  if [ "$device" = cpu ]; then
    echo "compute-sanitizer needs a GPU"
    return 77
  fi
  bash scripts/checks/sanitize_gpu.sh "$build" "$1" "$logs/sanitize"
}
# A stage is a function of this script in a shell of its own, so that timeout can end it with all it started.
self() {
  echo "set -uo pipefail"
  declare -f describe configure tests experiment mnist kernels peers sgd sanitize
  declare -p build deps data python device quick notes out site arch logs scratch root
  echo "$1"
}

scratch=$(mktemp -d)
logs=$scratch/logs
mkdir "$logs"
trap 'rm -rf "$scratch"' EXIT
site=$("$python" -c 'import os, nvidia; print(os.path.dirname(list(nvidia.__path__)[0]))' 2>/dev/null || true)
arch=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -n 1 | tr -d .)
arch=${arch:-90}

# What matters most comes first; the last number is the time kept for what follows.
stage machine 60 450 bash -c "$(self describe)"
if [ $make = 1 ] && [ "$device" != cpu ] && grep -qE "$only" <<<peers; then
  # While nvcc works the GPU is free: PyTorch's compiler fills its cache on disk.
  printf 'warm %s\n' 'train 784 7x128 100' 'train 784 10x512 1000' 'conv 3x32x32 128' 'iterate-long 3 6x128 1000' 'iterate 3 10x512 100000' |
    timeout 200 "$python" bench/peers/torch_gpu_work.py - "$device" >"$logs/warm.log" 2>&1 &
  warm=$!
fi
[ $make = 1 ] && stage build 240 250 bash -c "$(self configure)"
[ -z "${warm:-}" ] || wait "$warm"
stage tests 120 200 bash -c "$(self tests)"
stage kernels 60 180 bash -c "$(self kernels)"
stage peers 170 120 bash -c "$(self "peers $((seconds * 150 / 570))")"
stage online-sgd 60 75 bash -c "$(self sgd)"
stage swiss-roll 60 45 bash -c "$(self 'experiment swiss-roll')"
stage mnist-attractors 45 30 bash -c "$(self mnist)"
stage sanitize 570 5 bash -c "$(self "sanitize $((end - SECONDS > 30 ? end - SECONDS - 15 : 15))")"
write_summary
cat "$out/summary.md"
! grep -q '\*\*' "$out/summary.md"
