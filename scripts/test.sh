#!/usr/bin/env bash
# Installs what is missing, builds everything, runs every test.
# usage: scripts/test.sh [cmake options, such as -DBASIN_WERROR=ON ...]
# Tests on real images read $BASIN_DATA; when unset, shared/data beside the repository is used if it exists.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
jobs=$(nproc)
if [ -z "${BASIN_DATA:-}" ] && [ -d "$root/../shared/data" ]; then
  BASIN_DATA=$(cd "$root/../shared/data" && pwd)
  export BASIN_DATA
fi

bash "$root/scripts/setup.sh"
cd "$root"
cmake --preset default "$@" >/dev/null
echo "building with $jobs jobs"
NINJA_STATUS='[%f/%t] ' nice -n 10 cmake --build --preset default --parallel "$jobs"
nice -n 10 ctest --preset default --parallel "$jobs"
