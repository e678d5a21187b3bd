#!/usr/bin/env bash
# All C++ sources are as clang-format 14 writes them, and their comments, which it leaves alone, end within 100 columns.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
mapfile -t files < <(git ls-files --cached --others --exclude-standard '*.h' '*.cpp' '*.cu' | while read -r f; do [ -f "$f" ] && echo "$f"; done)
clang-format-14 --dry-run -Werror "${files[@]}"
if ! awk 'length > 100 && /^ *\/\// { print FILENAME ":" FNR ": a comment of " length " columns"; bad = 1 } END { exit bad }' \
  "${files[@]}" kernels/ops.def autograd/ops/list.def; then
  echo "format: wrap these comments at 100 columns" >&2
  exit 1
fi
echo "${#files[@]} files are formatted"
