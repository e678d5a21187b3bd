#!/usr/bin/env bash
# Configuring without a library is an error that names its Debian package. Hides each one in turn.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

expect() {  # <text the error must hold> <cmake options that hide the library ...>
  local text=$1 output
  shift
  if output=$(cmake -G Ninja -S "$root" -B "$scratch/build" "$@" 2>&1); then
    echo "configured without error, but should name '$text'" >&2
    exit 1
  fi
  grep -qF -- "$text" <<<"$output" || { echo "the error does not hold '$text':"; echo "$output"; exit 1; } >&2
  rm -f "$scratch/build/CMakeCache.txt"
}
expect 'apt-get install libeigen3-dev' -DCMAKE_DISABLE_FIND_PACKAGE_Eigen3=ON
expect 'apt-get install nlohmann-json3-dev' -DCMAKE_DISABLE_FIND_PACKAGE_nlohmann_json=ON
expect 'apt-get install libcli11-dev' -DCMAKE_DISABLE_FIND_PACKAGE_CLI11=ON
expect 'apt-get install libsundials-dev' -DBASIN_CVODE_LIBRARY=
expect 'apt-get install zlib1g-dev' -DCMAKE_DISABLE_FIND_PACKAGE_ZLIB=ON
expect 'apt-get install doctest-dev' -DCMAKE_DISABLE_FIND_PACKAGE_doctest=ON
expect 'apt-get install libstb-dev' -DBASIN_STB_INCLUDE_DIR=
echo "each missing package is named"
