#include "models/dynamics/rows.h"

#include <algorithm>

namespace basin {

Array checked_rows(const char* call, const char* name, const Array& set) {
  require(set.defined() && set.rank() == 2, call, ": ", name, " must be a matrix, a point in each ",
          "row, got ", set);
  require(set.dim(0) > 0, call, ": ", name, " is empty, ", set, "; it needs at least one row");
  Array rows = cast(set, DType::f64);
  if (!rows.device().is_cpu()) rows = copy_to(rows, Device());
  rows = contiguous(rows);
  const double* values = rows.data<double>();
  const double* bad = std::find_if(values, values + rows.size(),
                                   [](double value) { return !std::isfinite(value); });
  const int64_t at = bad - values, width = std::max<int64_t>(1, rows.dim(1));
  require(at == rows.size(), call, ": ", name, " ", set,
          " is not finite: the first such number is ", at < rows.size() ? *bad : 0, " in row ",
          at / width, ", column ", at % width, "; leave out rows that ran to infinity");
  return rows;
}

TwoSets checked_sets(const char* call, const char* name, const Array& first, const char* other,
                     const Array& second) {
  const TwoSets both{checked_rows(call, name, first), checked_rows(call, other, second)};
  require(first.dim(1) == second.dim(1), call, ": the rows of ", name, " ", first, " and of ",
          other, " ", second, " differ in width; both must be points of one space");
  return both;
}

Array products_of(const Array& x, const Array& y) {
  Array out({x.dim(0), y.dim(0)}, DType::f64);
  out.device().backend().matmul(out.view(), x.view(), transpose(y).view(), false);
  return out;
}

Array mean_row(const Array& rows) {
  const Array mean = zeros({1, rows.dim(1)}, DType::f64);
  const auto n = static_cast<double>(rows.dim(0));
  double* to = mean.data<double>();
  for (int64_t i = 0; i < rows.dim(0); ++i)
    for (int64_t k = 0; k < rows.dim(1); ++k) to[k] += row_of(rows, i)[k] / n;
  return mean;
}

double median_of(std::vector<double> values) {
  const auto middle = values.begin() + std::ssize(values) / 2;
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return *std::max_element(values.begin(), middle) / 2 + *middle / 2;
}

}  // namespace basin
