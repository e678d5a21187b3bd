#include "engine/array.h"

#include <algorithm>
#include <iomanip>
#include <limits>

namespace basin {

Storage::Storage(const Device& on, size_t bytes)
    : device(on), block(allocate(on, bytes)), data(block.data) {}

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
  return {static_cast<char*>(storage_->data) + static_cast<size_t>(offset_) * size_of(dtype_),
          dtype_, shape_, strides_};
}

Array Array::with(const Shape& shape, const Shape& strides, int64_t offset) const {
  Array result = *this;
  result.shape_ = shape;
  result.strides_ = strides;
  result.offset_ = offset;
  return result;
}

Array Array::operator[](int64_t i) const {
  require(rank() > 0 && i >= 0 && i < dim(0), "x[i]: no row ", i, " in ", *this);
  Shape shape, strides;
  for (int axis = 1; axis < rank(); ++axis) {
    shape.push_back(shape_[axis]);
    strides.push_back(strides_[axis]);
  }
  return with(shape, strides, offset_ + i * strides_[0]);
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
  require(dtype_ == dtype_of<T>(), "to_vector: ", *this, " read as ", dtype_of<T>(),
          "; cast first");
  const Array dense = basin::contiguous(*this);
  std::vector<T> values(static_cast<size_t>(size()));
  current_operation() = "to_vector";
  if (!values.empty())
    device().backend().to_host(values.data(), dense.view().data, values.size() * sizeof(T));
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

Axes Axes::all(int rank) {
  Axes axes;
  for (int i = 0; i < rank; ++i) axes.push_back(i);
  return axes;
}

void Axes::push_back(int axis) {
  require(count_ < max_rank, "axes: more than ", max_rank);
  axes_[static_cast<size_t>(count_++)] = axis;
}

Axes Axes::of(const char* operation, const Array& x) const {
  Axes result;
  unsigned seen = 0;
  for (const int a : *this) {
    const int axis = a < 0 ? a + x.rank() : a;
    require(axis >= 0 && axis < x.rank() && !(seen & 1u << axis), operation, ": axes ", *this,
            " are not axes of ", x, ", each once");
    seen |= 1u << axis;
    result.push_back(axis);
  }
  return result;
}

std::ostream& operator<<(std::ostream& out, const Axes& axes) {
  Shape numbers;
  for (const int axis : axes) numbers.push_back(axis);
  return out << numbers;
}

namespace {

constexpr int64_t longest_axis = 10,
                  ends = 3;  // a longer axis is printed as its first and last three

/// The elements that are printed: of every long axis the two ends.
Array ends_of(Array x) {
  for (int axis = 0; axis < x.rank(); ++axis) {
    const int64_t n = x.dim(axis);
    if (n <= longest_axis) continue;
    Shape shape = x.shape();
    shape[axis] = 2 * ends;
    const Array both(shape, x.dtype(), x.device());
    assign(slice(both, axis, 0, ends), slice(x, axis, 0, ends));
    assign(slice(both, axis, ends, 2 * ends), slice(x, axis, n - ends, n));
    x = both;
  }
  return x;
}

/// Writes the elements of `shape` from `next` on, each right-aligned to a width.
struct NumberWriter {
  const Shape& whole;
  const Shape& shape;
  std::vector<std::string> numbers;
  size_t width = 0, next = 0;
  std::string out = {};

  void write(int axis) {
    if (axis == shape.rank) {
      const std::string& number = numbers[next++];
      out += std::string(width - number.size(), ' ') + number;
      return;
    }
    const auto lines = static_cast<size_t>(shape.rank - 1 - axis);
    const std::string between = lines == 0 ? ", "
                                           : "," + std::string(lines, '\n') +
                                                 std::string(static_cast<size_t>(axis) + 1, ' ');
    out += '[';
    for (int64_t i = 0; i < shape[axis]; ++i) {
      if (i > 0) out += between;
      if (i == ends && whole[axis] > longest_axis) out += "..." + between;
      write(axis + 1);
    }
    out += ']';
  }
};

}  // namespace

std::string to_string(const Array& array, int digits) {
  require(digits >= 1 && digits <= 17, "to_string: ", digits, " digits; 1 to 17");
  if (!array.defined()) return text(array);
  const Array shown = ends_of(array);
  NumberWriter writer{array.shape(), shown.shape(), {}};
  const int places =
      is_floating(array.dtype()) ? digits : 10;  // whole numbers with all their digits
  for (const double number : cast(shown, DType::f64).to_vector<double>()) {
    std::ostringstream one;
    one << std::setprecision(places) << number;
    writer.numbers.push_back(one.str());
    writer.width = std::max(writer.width, one.str().size());
  }
  writer.write(0);
  return text(array, array.rank() > 1 ? "\n" : " ", writer.out);
}

}  // namespace basin
