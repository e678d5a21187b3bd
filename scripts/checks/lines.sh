#!/usr/bin/env bash
# The size budget. Everything that runs without a GPU, kernels + engine + autograd + models but kernels/cuda, stays below
# 10,800 lines, so that one person can read it in a day (9,000 until functions were right to their ends, files were checked to
# their last byte and runs were owned, which took 1,800); kernels/cuda below 3,660 (scatter_add by a sort, long sums in pieces:
# what a GPU showed); no source file above 500.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
limit=10800 cuda_limit=3660 file_limit=500

sources() { find "$@" -name "*.h" -o -name "*.cpp" -o -name "*.cu" -o -name "*.def"; }
total=$(sources kernels engine autograd models | grep -v '^kernels/cuda/' | xargs cat | wc -l)
cuda=$(sources kernels/cuda | xargs cat | wc -l)
long=$(sources kernels engine autograd models data experiments tests bench | xargs wc -l |
  awk -v limit=$file_limit '$2 != "total" && $1 > limit { print "  " $2 ": " $1 " lines" }')
echo "kernels + engine + autograd + models: $total of $limit lines, and kernels/cuda: $cuda of $cuda_limit"
[ -z "$long" ] || { echo "above $file_limit lines:"; echo "$long"; exit 1; } >&2
[ "$total" -lt "$limit" ] && [ "$cuda" -lt "$cuda_limit" ] || { echo "over the budget" >&2; exit 1; }
