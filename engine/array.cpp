#include "engine/array.h"

#include <limits>

namespace basin {

Storage::Storage(const Device& on, size_t bytes) : device(on), block(allocate(on, bytes)), data(block.data) {}

Storage::~Storage() {
  deallocate(block);
}

Array::Array(const Shape& shape, DType dtype, const Device& device) : shape_(shape), dtype_(dtype) {
  require(shape.rank <= max_rank, "array: rank ", shape.rank, " of ", shape, " is above ", max_rank,
          "; reshape to fewer dimensions");
  size_t bytes = size_of(dtype);
  for (int64_t dim : shape) {
    require(dim >= 0, "array: negative dimension in shape ", shape);
    require(!__builtin_mul_overflow(bytes, static_cast<size_t>(dim), &bytes) &&
                bytes <= static_cast<size_t>(std::numeric_limits<int64_t>::max()),
            "array: shape ", shape, " of ", dtype, " has more bytes than can be addressed");
  }
  strides_ = contiguous_strides(shape);
  storage_ = Ref<Storage>(new Storage(device, bytes));
}

View Array::view() const {
  if (!storage_) return {};
  return {static_cast<char*>(storage_->data) + static_cast<size_t>(offset_) * size_of(dtype_), dtype_, shape_,
          strides_};
}

Array Array::with(const Shape& shape, const Shape& strides, int64_t offset) const {
  Array result = *this;
  result.shape_ = shape;
  result.strides_ = strides;
  result.offset_ = offset;
  return result;
}

void Array::check_host_access(DType wanted) const {
  require(defined(), "data: the array is empty");
  require(dtype_ == wanted, "data: ", *this, " read as ", wanted, "; cast first");
  require(device().is_cpu(), "data: ", *this, " is not in CPU memory; copy_to(x, Device()) first");
  require(contiguous(), "data: ", *this, " has strides ", strides_, "; contiguous(x) first");
}

template <class T>
std::vector<T> Array::to_vector() const {
  require(defined(), "to_vector: the array is empty");
  require(dtype_ == dtype_of<T>(), "to_vector: ", *this, " read as ", dtype_of<T>(), "; cast first");
  const Array dense = basin::contiguous(*this);
  std::vector<T> values(static_cast<size_t>(size()));
  current_operation() = "to_vector";
  if (!values.empty()) device().backend().to_host(values.data(), dense.view().data, values.size() * sizeof(T));
  return values;
}

template std::vector<float> Array::to_vector() const;
template std::vector<double> Array::to_vector() const;
template std::vector<int32_t> Array::to_vector() const;
template std::vector<uint8_t> Array::to_vector() const;
template std::vector<uint32_t> Array::to_vector() const;

double Array::item() const {
  require(defined() && size() == 1, "item: needs one element, got ", *this);
  current_operation() = "item";
  return with_type(dtype_, [&](auto value) {
    device().backend().to_host(&value, view().data, sizeof(value));
    return static_cast<double>(value);
  });
}

std::ostream& operator<<(std::ostream& out, const Array& array) {
  if (!array.defined()) return out << "(no array)";
  out << array.dtype() << array.shape();
  if (!array.device().is_cpu()) out << ' ' << array.device().name();
  return out;
}

}  // namespace basin
