#!/usr/bin/env bash
# Installs, through apt, what building and running basin needs and this machine lacks. Does nothing when all is there.
# usage: scripts/setup.sh [more Debian packages ...]
set -euo pipefail

packages=(
  g++ cmake ninja-build git                                # build
  libeigen3-dev zlib1g-dev libstb-dev                      # compiled in: linear algebra, .gz data, images
  libsundials-dev                                          # compiled in: differential equations
  nlohmann-json3-dev libcli11-dev                          # compiled in: results and configs, command lines
  doctest-dev libbenchmark-dev                             # tests, benchmarks
  gnuplot-nox curl                                         # at run time: figures, downloads of data
)

missing=()
for package in "${packages[@]}" "$@"; do
  case "$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)" in
    *" installed") ;;
    *) missing+=("$package") ;;
  esac
done
[ ${#missing[@]} -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null; then
  echo "setup: apt-get is not here; install the equivalents of: ${missing[*]}" >&2
  exit 1
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "setup: not root and no sudo; as root, run: apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi

echo "setup: installing ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
quietly() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive "$@" >"$log" 2>&1 && return
  echo "setup: failed: $*" >&2
  tail -n 20 "$log" >&2
  exit 1
}
quietly apt-get -o DPkg::Lock::Timeout=300 -qq update
quietly apt-get -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 -qq -y --no-install-recommends install "${missing[@]}"
