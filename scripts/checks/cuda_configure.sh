#!/usr/bin/env bash
# How the build finds CUDA: OFF works; without nvcc, AUTO goes on with one line and ON is an error that names it; the files of
# pip packages are found through BASIN_SITE_PACKAGES and get into the programs' search path. The last needs a toolkit with
# cuBLAS and cuDNN, whose files it uses, and is skipped with a line where there is none. Extra arguments go to every cmake.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
options=(-G Ninja -S "$root" -DBASIN_TESTS=OFF -DBASIN_BENCH=OFF "$@")
nvcc=${CUDACXX:-$(command -v nvcc || ls /usr/local/cuda/bin/nvcc 2>/dev/null || true)}
unset CUDACXX CUDA_PATH

# expect <ok|error> <text the output must hold> <cmake options ...>: sets $output
expect() {
  local wanted=$1 text=$2 got=ok
  shift 2
  rm -rf "$scratch/build"
  output=$(cmake "${options[@]}" -B "$scratch/build" "$@" 2>&1) || got=error
  output=$(tr -s ' \n' ' ' <<<"$output")  # error messages come in wrapped lines
  if [ "$got" != "$wanted" ] || ! grep -qF -- "$text" <<<"$output"; then
    printf 'cmake %s\n  should end with %s and say: %s\n  ended with %s and said:\n%s\n' "$*" "$wanted" "$text" "$got" "$output" >&2
    exit 1
  fi
}

expect ok 'CUDA off (switched off)' -DBASIN_CUDA=OFF
expect error "must be AUTO, ON or OFF" -DBASIN_CUDA=perhaps

hidden=-DBASIN_NVCC=
expect ok 'CUDA off (no nvcc found' -DBASIN_CUDA=AUTO $hidden
[ "$(grep -o 'nvcc found' <<<"$output" | wc -l)" = 1 ] || { echo "AUTO must say it once: $output" >&2; exit 1; }
expect error 'BASIN_CUDA=ON: no nvcc found' -DBASIN_CUDA=ON $hidden
printf '#!/bin/sh\nexit 1\n' >"$scratch/nvcc"
chmod +x "$scratch/nvcc"
CUDACXX=$scratch/nvcc expect ok "nvcc cannot build a program" -DBASIN_CUDA=AUTO

# nvcc itself says where its toolkit is: the one on the PATH may be a script that calls it
top=$("${nvcc:-false}" --dryrun -c none.cu 2>&1 | sed -n 's/^#\$ TOP=//p' || true)
toolkit=$(readlink -f "${top:-/none}" || true)
if [ ! -e "$toolkit/lib64/libcublasLt.so.13" ] || [ ! -e "$toolkit/include/cudnn_backend.h" ]; then
  echo "skipped: pip's layout (needs a CUDA 13 toolkit with cuBLAS and cuDNN to borrow from)"
  echo "CUDA is found or refused as it should be"
  exit 0
fi
# The toolkit's own cuBLAS and cuDNN are hidden; a folder with pip's names stands beside it.
site=$scratch/site-packages
mkdir -p "$site"/nvidia/cu13/{include,lib} "$site"/nvidia/cudnn/{include,lib}
ln -s "$toolkit"/include/cublas* "$site/nvidia/cu13/include/"
ln -s "$toolkit"/lib64/libcublas{,Lt}.so.13 "$site/nvidia/cu13/lib/"
ln -s "$toolkit"/include/cudnn* "$site/nvidia/cudnn/include/"
ln -s "$toolkit"/lib64/libcudnn.so.9 "$site/nvidia/cudnn/lib/"
ignore=$(for top in "$toolkit" "$top" "$(dirname "$(dirname "$nvcc")")" /usr/local /usr/local/cuda; do
  printf '%s;' "$top"/{include,lib,lib64} "$top"/targets/*/{include,lib,lib64}
done)
# cuda_runtime.h and libcudart stay the toolkit's: pip leaves these out when nvcc comes from elsewhere
given=("-DCMAKE_IGNORE_PATH=$ignore" "-DBASIN_CUDART_INCLUDE_DIR=$toolkit/include"
  "-DBASIN_cudart_static_LIBRARY=$toolkit/lib64/libcudart_static.a" "-DCMAKE_CUDA_COMPILER=$nvcc")
expect error 'cuBLAS and cuBLASLt (headers and libraries) were not found' -DBASIN_CUDA=ON "${given[@]}"
expect ok 'with cuDNN 9' -DBASIN_CUDA=ON -DBASIN_CUDNN=ON "-DBASIN_SITE_PACKAGES=$site" "${given[@]}"
for line in "BASIN_cublas_LIBRARY:FILEPATH=$site/nvidia/cu13/lib/libcublas.so.13" \
  "BASIN_cublasLt_LIBRARY:FILEPATH=$site/nvidia/cu13/lib/libcublasLt.so.13" \
  "BASIN_CUBLAS_INCLUDE_DIR:PATH=$site/nvidia/cu13/include" "BASIN_CUDNN_INCLUDE_DIR:PATH=$site/nvidia/cudnn/include"; do
  grep -qxF -- "$line" "$scratch/build/CMakeCache.txt" || { echo "the cache lacks $line" >&2; exit 1; }
done
for folder in cu13 cudnn; do
  grep -qE -- "-rpath,[^ ]*$site/nvidia/$folder/lib" "$scratch/build/build.ninja" ||
    { echo "programs are not linked with -rpath $site/nvidia/$folder/lib" >&2; exit 1; }
done
echo "CUDA is found or refused as it should be"
