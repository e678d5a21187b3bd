#include "data/batches.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/square_sum.h"

namespace basin {
namespace {

/// The values of x [n, d] by column, or all in one: what a Scaling is measured on.
std::vector<std::vector<double>> columns_of(const char* operation, const Array& x,
                                            bool per_column) {
  require(x.defined() && x.rank() == 2 && x.size() > 0, operation,
          ": needs [n, d] with at least one value, got ", x);
  const std::vector<double> values = cast(x, DType::f64).to_vector<double>();
  std::vector<std::vector<double>> columns(per_column ? static_cast<size_t>(x.dim(1)) : 1);
  for (size_t i = 0; i < values.size(); ++i) columns[i % columns.size()].push_back(values[i]);
  return columns;
}

/// rows lie inside x.
Array gathered(const Array& x, const Array& rows) {
  Shape shape = x.shape();
  shape[0] = rows.dim(0);
  const Array out(shape, x.dtype(), x.device());
  const Array dense = contiguous(x), index = contiguous(rows);
  x.device().backend().gather(out.view(), dense.view(), index.view());
  return out;
}

template <class F>
Array map_columns(const Array& x, DType dtype, size_t columns, const F& f) {
  require(
      x.defined() && x.rank() == 2 && (columns == 1 || static_cast<int64_t>(columns) == x.dim(1)),
      "scaling: made for ", columns, " columns, got ", x);
  require(is_floating(dtype), "scaling: the result must be f32 or f64, got ", dtype);
  const Array wide = cast(x, DType::f64);
  double* values = wide.data<double>();
  for (int64_t i = 0; i < wide.size(); ++i)
    values[i] = f(values[i], static_cast<size_t>(i) % columns);
  return cast(wide, dtype);
}

}  // namespace

Batches::Batches(const Key& key, int64_t n, int64_t batch_size)
    : key_(key), n_(n), batch_size_(std::min(batch_size, n)) {
  require(n >= 1 && n <= std::numeric_limits<int32_t>::max() && batch_size >= 1, "batches: n = ", n,
          " and batch size ", batch_size, " must be at least 1, n below 2^31");
}

Array Batches::at(int64_t step) {
  require(step >= 0, "batches: step ", step, " is negative");
  const int64_t epoch = step / per_epoch(), begin = step % per_epoch() * batch_size_;
  if (epoch != epoch_) order_ = permutation(key_.at(static_cast<uint64_t>(epoch)), n_);
  epoch_ = epoch;
  return slice(order_, 0, begin, std::min(begin + batch_size_, n_));
}

Array Batches::take(const Array& x, const Step& step, const Device& device) {
  require(x.defined() && x.rank() >= 1 && x.dim(0) == n_, "batches: made for ", n_,
          " rows, asked for those of ", x);
  require(x.device() == device || x.device().is_cpu(), "batches: rows of ", x, " on ",
          x.device().name(), " are asked for on ", device.name(),
          "; the data must lie there or on the CPU");
  if (x.device() == device)
    return gathered(x, step.from_host({batch_size_}, DType::i32, device,
                                      [this](int64_t number) { return at(number); }));
  Shape shape = x.shape();
  shape[0] = batch_size_;
  return step.from_host(shape, x.dtype(), device,
                        [this, x](int64_t number) { return gathered(x, at(number)); });
}

Array take_rows(const Array& x, const Array& rows) {
  require(x.defined() && rows.defined() && x.rank() >= 1 && rows.rank() == 1 &&
              rows.dtype() == DType::i32,
          "take_rows: needs x of rank 1 or more and rows i32 [m], got ", x, " and ", rows);
  for (const int32_t row : rows.to_vector<int32_t>())
    require(row >= 0 && row < x.dim(0), "take_rows: row ", row, " is outside ", x);
  return gathered(x, copy_to(rows, x.device()));
}

Array random_subset(const Key& key, int64_t n, int64_t count) {
  require(count >= 0 && count <= n, "random_subset: ", count, " of ", n, " rows");
  return contiguous(slice(permutation(key, n), 0, 0, count));
}

Array Scaling::apply(const Array& x, DType dtype) const {
  return map_columns(x, dtype, offset.size(), [&](double value, size_t j) {
    const double t = (value - offset[j]) / width[j];
    // lerp makes NaN of infinity
    return std::isinf(t) ? t * (high - low) : std::lerp(low, high, t);
  });
}

Array Scaling::undo(const Array& scaled) const {
  return map_columns(scaled, scaled.dtype(), offset.size(), [&](double value, size_t j) {
    return (value - low) / (high - low) * width[j] + offset[j];
  });
}

Scaling min_max_scale(const Array& x, double low, double high, bool per_column) {
  require(low < high, "min_max_scale: low ", low, " must be below high ", high);
  Scaling scaling{{}, {}, low, high};
  for (const auto& column : columns_of("min_max_scale", x, per_column)) {
    const auto [least, most] = std::minmax_element(column.begin(), column.end());
    require(std::isfinite(*most - *least), "min_max_scale: the range from ", *least, " to ", *most,
            " overflows");
    scaling.offset.push_back(*least);
    scaling.width.push_back(*most > *least ? *most - *least : 1);
  }
  return scaling;
}

Scaling standardise(const Array& x, bool per_column) {
  Scaling scaling;
  for (const auto& column : columns_of("standardise", x, per_column)) {
    const auto n = static_cast<double>(column.size());
    const auto [least, most] = std::minmax_element(column.begin(), column.end());
    const bool varies = *most > *least;
    const auto sum_in = [&](double unit) {
      double sum = 0;
      for (const double value : column) sum += value / unit;
      return sum;
    };
    const double sum = sum_in(1), mean = !varies              ? *least
                                         : std::isfinite(sum) ? sum / n
                                                              : sum_in(n);
    SquareSum deviations;
    for (const double value : column) deviations.add(value - mean);
    scaling.offset.push_back(mean);
    scaling.width.push_back(varies ? deviations.length() / std::sqrt(n) : 1);
  }
  return scaling;
}

Array pixel_rows(const Array& images, DType dtype) {
  require(
      images.defined() && images.rank() >= 1 && images.dtype() == DType::u8 && is_floating(dtype),
      "pixel_rows: needs u8 [N, ...] and a floating result, got ", images, " and ", dtype);
  const int64_t n = images.dim(0);
  const Array dense = contiguous(images), rows({n, n > 0 ? images.size() / n : 0}, dtype);
  with_type(dtype, [&](auto zero) {
    using T = decltype(zero);
    std::transform(dense.data<uint8_t>(), dense.data<uint8_t>() + dense.size(), rows.data<T>(),
                   [](uint8_t value) { return static_cast<T>(value) / static_cast<T>(255); });
  });
  return rows;
}

}  // namespace basin
