#!/usr/bin/env bash
# Copies the libraries that the build needs (headers, and the archives of zlib and SUNDIALS) into a folder, so that the tree builds on a machine
# of the same architecture that can install nothing:
#     scripts/gather_headers.sh deps                         # here, where scripts/setup.sh has installed them
#     cmake -B build/x -DBASIN_DEPENDENCIES=deps ...         # there
# usage: scripts/gather_headers.sh [FOLDER, default deps]
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=${1:-$root/deps}
case $target in -*) echo "usage: scripts/gather_headers.sh [FOLDER, default deps]" >&2; exit 2 ;; esac
mkdir -p "$target"
folder=$(mktemp -d "$target/.gathering-XXXXXX")  # what an earlier run gathered stays until this one has everything
trap 'rm -rf "$folder"' EXIT

fail() { echo "gather_headers: $*" >&2; exit 1; }
# folder_of <package> <path inside it>: the folder that the package put the path into
folder_of() {
  local files file
  files=$(dpkg -L "$1" 2>/dev/null) || fail "the package $1 is not installed; apt-get install $1, or run scripts/setup.sh"
  file=$(grep "/$2\$" <<<"$files") || fail "the package $1 has no $2"
  file=${file%%$'\n'*}
  echo "${file%"/$2"}"
}
version_of() { dpkg-query -W -f '${Version}' "$1" | sed 's/^[0-9]*://; s/[+~-].*//'; }

mkdir -p "$folder/include/stb" "$folder/lib"
add() {  # <package> <name in our build> <header> <what to copy ...>
  local package=$1 name=$2 from
  from=$(folder_of "$package" "$3") || exit 1
  shift 3
  for what in "$@"; do cp -rL "$from/$what" "$folder/include/$what"; done
  echo "set(${name}_VERSION $(version_of "$package"))" >>"$folder/versions.cmake"
}
add libeigen3-dev Eigen3 Eigen/Dense Eigen
add nlohmann-json3-dev nlohmann_json nlohmann/json.hpp nlohmann
add libcli11-dev CLI11 CLI/CLI.hpp CLI
add doctest-dev doctest doctest/doctest.h doctest
add libstb-dev stb stb/stb_image.h stb/stb_image.h stb/stb_image_write.h
add zlib1g-dev zlib zlib.h zlib.h zconf.h
add libsundials-dev SUNDIALS cvode/cvode.h cvode arkode nvector sundials sunlinsol sunmatrix sunnonlinsol
zlib=$(folder_of zlib1g-dev libz.a) || exit 1
sundials=$(folder_of libsundials-dev libsundials_cvode.a) || exit 1
cp "$zlib/libz.a" "$sundials"/libsundials_{cvode,arkode}.a "$folder/lib/"
rm -rf "$target/include" "$target/lib" "$target/versions.cmake"
mv "$folder"/* "$target/"
echo "gather_headers: $(du -sh "$target" | cut -f 1) in $target ($(uname -m)); configure with -DBASIN_DEPENDENCIES=$target"
