#!/usr/bin/env bash
# All C++ sources are as clang-format 14 writes them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
mapfile -t files < <(git ls-files --cached --others --exclude-standard '*.h' '*.cpp' '*.cu' | while read -r f; do [ -f "$f" ] && echo "$f"; done)
clang-format-14 --dry-run -Werror "${files[@]}"
echo "${#files[@]} files are formatted"
