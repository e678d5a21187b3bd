// Creation, views and whole-array copies.
#include "engine/array.h"

namespace basin {

Array full(const Shape& shape, double value, DType dtype, const Device& device) {
  Array out(shape, dtype, device);
  device.backend().fill(out.view(), value);
  return out;
}

Array zeros(const Shape& shape, DType dtype, const Device& device) {
  return full(shape, 0, dtype, device);
}

template <class T>
Array from_vector(const std::vector<T>& values, const Shape& shape, const Device& device) {
  Array out(shape, dtype_of<T>(), device);
  current_operation() = "from_vector";
  require(static_cast<int64_t>(values.size()) == shape.size(), "from_vector: ", values.size(),
          " values do not fill shape ", shape);
  if (!values.empty())
    device.backend().from_host(out.view().data, values.data(), values.size() * sizeof(T));
  return out;
}

template Array from_vector(const std::vector<float>&, const Shape&, const Device&);
template Array from_vector(const std::vector<double>&, const Shape&, const Device&);
template Array from_vector(const std::vector<int32_t>&, const Shape&, const Device&);
template Array from_vector(const std::vector<uint8_t>&, const Shape&, const Device&);
template Array from_vector(const std::vector<uint32_t>&, const Shape&, const Device&);

Array arange(int64_t count, DType dtype, const Device& device, double start, double step) {
  require(count >= 0, "arange: count ", count, " is negative");
  return with_type(dtype, [&](auto zero) {
    std::vector<decltype(zero)> values(static_cast<size_t>(count));
    for (size_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<decltype(zero)>(start + step * static_cast<double>(i));
    return from_vector(values, {count}, device);
  });
}

Array reshape(const Array& x, Shape shape) {
  int free_axis = -1;
  int64_t known = 1;
  for (int i = 0; i < std::min(shape.rank, max_rank); ++i) {
    if (shape[i] == -1) {
      require(free_axis < 0, "reshape: more than one -1 in ", shape);
      free_axis = i;
    } else {
      require(shape[i] >= 0 && !__builtin_mul_overflow(known, shape[i], &known), "reshape: shape ",
              shape, " has a dimension that is negative or too large");
    }
  }
  require(free_axis < 0 || known > 0, "reshape: -1 in ", shape, " is not determined by ", x);
  if (free_axis >= 0) shape[free_axis] = x.size() / known;
  require(shape.rank <= max_rank && shape.size() == x.size(), "reshape: ", x,
          " does not fit shape ", shape, "; the number of elements must stay the same");
  const Array dense = contiguous(x);
  return dense.with(shape, contiguous_strides(shape), dense.offset());
}

Array permute(const Array& x, const Axes& axes) {
  require(axes.count() == x.rank(), "permute: axes ", axes, " do not name every axis of ", x,
          " once");
  Shape shape, strides;
  for (const int axis : axes.of("permute", x)) {
    shape.push_back(x.dim(axis));
    strides.push_back(x.strides()[axis]);
  }
  return x.with(shape, strides, x.offset());
}

Array transpose(const Array& x) {
  require(x.rank() >= 2, "transpose: needs two axes, got ", x);
  Shape shape = x.shape(), strides = x.strides();
  std::swap(shape[x.rank() - 1], shape[x.rank() - 2]);
  std::swap(strides[x.rank() - 1], strides[x.rank() - 2]);
  return x.with(shape, strides, x.offset());
}

Array broadcast_to(const Array& x, const Shape& shape) {
  require(shape.rank <= max_rank && shape.rank >= x.rank(), "broadcast_to: ", x,
          " does not broadcast to ", shape);
  Shape strides;
  strides.rank = shape.rank;
  const int added = shape.rank - x.rank();
  for (int i = 0; i < shape.rank; ++i) {
    const int64_t dim = i < added ? 1 : x.dim(i - added);
    require(shape[i] >= 0 && (dim == shape[i] || dim == 1), "broadcast_to: ", x,
            " does not broadcast to ", shape, "; axis ", i, " is ", dim);
    strides[i] = dim == 1 ? 0 : x.strides()[i - added];
  }
  return x.with(shape, strides, x.offset());
}

Array slice(const Array& x, int axis, int64_t start, int64_t stop, int64_t step) {
  require(axis >= 0 && axis < x.rank(), "slice: no axis ", axis, " in ", x);
  require(step >= 1 && start >= 0 && start <= stop && stop <= x.dim(axis), "slice: [", start, ":",
          stop, ":", step, "] is outside axis ", axis, " of ", x);
  Shape shape = x.shape(), strides = x.strides();
  shape[axis] = (stop - start + step - 1) / step;
  strides[axis] *= step;
  return x.with(shape, strides, x.offset() + start * x.strides()[axis]);
}

Array contiguous(const Array& x) {
  return x.contiguous() ? x : copy_of(x);
}

Array copy_of(const Array& x) {
  return cast(x, x.dtype());
}

Array cast(const Array& x, DType dtype) {
  Array out(x.shape(), dtype, x.device());
  x.device().backend().copy(out.view(), x.view());
  return out;
}

Array copy_to(const Array& x, const Device& device) {
  if (device == x.device()) return x;
  current_operation() = "copy_to";
  const Array dense = contiguous(x);
  Array out(x.shape(), x.dtype(), device);
  const size_t bytes = static_cast<size_t>(x.size()) * size_of(x.dtype());
  if (bytes == 0) return out;
  if (x.device().is_cpu()) {
    device.backend().from_host(out.view().data, dense.view().data, bytes);
  } else if (device.is_cpu()) {
    x.device().backend().to_host(out.view().data, dense.view().data, bytes);
  } else {
    return copy_to(copy_to(x, Device()), device);
  }
  return out;
}

void assign(const Array& out, const Array& in) {
  require(out.shape() == in.shape() && out.device() == in.device(), "assign: ", in,
          " does not fit ", out);
  out.touch();
  const Array source =
      in.storage() == out.storage() ? copy_of(in) : in;  // overlapping views would smear
  out.device().backend().copy(out.view(), source.view());
}

void fill(const Array& out, double value) {
  out.touch();
  out.device().backend().fill(out.view(), value);
}

Shape broadcast_shapes(const char* operation, const Shape& a, const Shape& b) {
  Shape out;
  out.rank = std::max(a.rank, b.rank);
  for (int i = 0; i < out.rank; ++i) {
    const int ia = i - (out.rank - a.rank), ib = i - (out.rank - b.rank);
    const int64_t da = ia < 0 ? 1 : a[ia], db = ib < 0 ? 1 : b[ib];
    require(da == db || da == 1 || db == 1, operation, ": shapes ", a, " and ", b,
            " do not broadcast; axis ", i, " is ", da, " against ", db);
    out[i] = da == 1 ? db : da;
  }
  return out;
}

}  // namespace basin
