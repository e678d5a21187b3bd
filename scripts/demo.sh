#!/usr/bin/env bash
# The demo: installs what is missing, builds, and shows an autoencoder storing 100 points of a Swiss roll as attractors.
# usage: scripts/demo.sh [options of `basin run swiss-roll` ...]      results go below ./results
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$root/build/default
jobs=$(nproc)

bash "$root/scripts/setup.sh"
(cd "$root" && cmake --preset default | grep "^-- basin ")
echo "building with $jobs jobs"
NINJA_STATUS='[%f/%t] ' nice -n 10 cmake --build "$build" --parallel "$jobs" --target basin

started=$(mktemp)
trap 'rm -f "$started"' EXIT
status=0
"$build/bin/basin" run swiss-roll --preset quick "$@" || status=$?
find "$PWD/results" -name '*.png' -newer "$started" 2>/dev/null | sort | sed 's/^/picture: /'
exit "$status"
