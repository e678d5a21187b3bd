#!/usr/bin/env bash
# The size budget: kernels + engine + autograd + models below 7,000 lines, so that one person can read it in a day, and no
# source file of the project above 500.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
limit=7000 file_limit=500

sources() { find "$@" -name "*.h" -o -name "*.cpp" -o -name "*.cu" -o -name "*.def"; }
total=$(sources kernels engine autograd models | xargs cat | wc -l)
long=$(sources kernels engine autograd models data experiments tests bench | xargs wc -l |
  awk -v limit=$file_limit '$2 != "total" && $1 > limit { print "  " $2 ": " $1 " lines" }')
echo "kernels + engine + autograd + models: $total of $limit lines"
[ -z "$long" ] || { echo "above $file_limit lines:"; echo "$long"; exit 1; } >&2
[ "$total" -lt "$limit" ] || { echo "over the budget" >&2; exit 1; }
