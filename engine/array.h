// Array: shared storage with an offset, shape and strides. Views share storage. No gradients.
#pragma once
#include <array>
#include <initializer_list>
#include <string>
#include <vector>

#include "engine/allocator.h"
#include "engine/dtype.h"
#include "engine/error.h"
#include "engine/ref.h"

namespace basin {

/// A block of device memory, counted. `version` grows with each in-place write.
struct Storage : Counted {
  Storage(const Device& device, size_t bytes);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  Device device;
  Block block;
  void* data;
  uint32_t version = 0;
};

class Array {
 public:
  Array() = default;  // empty: no storage
  /// Uninitialised, contiguous. Errors: rank above 6, negative dimension, more bytes than fit.
  Array(const Shape& shape, DType dtype, const Device& device = {});

  const Shape& shape() const { return shape_; }
  const Shape& strides() const { return strides_; }
  int rank() const { return shape_.rank; }
  int64_t dim(int axis) const { return shape_[axis < 0 ? axis + rank() : axis]; }
  int64_t size() const { return shape_.size(); }
  DType dtype() const { return dtype_; }
  const Device& device() const { return storage_->device; }
  bool defined() const { return static_cast<bool>(storage_); }
  bool contiguous() const { return view().contiguous(); }
  Storage* storage() const { return storage_.get(); }
  /// True when no other array shares the storage.
  bool owns_alone() const { return storage_ && storage_->unique(); }

  View view() const;
  /// The same storage seen with other shape, strides (elements) and offset; nothing is checked.
  Array with(const Shape& shape, const Shape& strides, int64_t offset) const;
  /// Row i along the first axis, a view: x[i][j] is one element. Errors: no such row.
  Array operator[](int64_t i) const;
  int64_t offset() const { return offset_; }
  /// Marks an in-place write.
  void touch() const { ++storage_->version; }

  /// Direct access to CPU memory of a contiguous array. Errors: other device, other dtype, strides.
  template <class T>
  T* data() const {
    check_host_access(dtype_of<T>());
    return static_cast<T*>(storage_->data) + offset_;
  }
  /// The elements in row-major order, on the host. Errors: other dtype.
  template <class T>
  std::vector<T> to_vector() const;
  /// The only element as a double. Errors: size is not 1.
  double item() const;

 private:
  void check_host_access(DType wanted) const;

  Ref<Storage> storage_;
  int64_t offset_ = 0;
  Shape shape_, strides_;
  DType dtype_ = DType::f32;
};

/// "f32[128, 784]", with the device when it is not the CPU.
std::ostream& operator<<(std::ostream& out, const Array& array);
/// The same and then the numbers with so many digits, written as NumPy does; of an axis longer than
/// 10 the first and last three. Waits for the device. Errors: digits outside 1 to 17.
std::string to_string(const Array& array, int digits = 4);

/// Some axes of an array, {0, -1}; negative ones count from the end.
class Axes {
 public:
  Axes() = default;                           // none
  Axes(int axis) : axes_{axis}, count_(1) {}  // NOLINT: sum(x, 0) means sum(x, {0})
  Axes(std::initializer_list<int> axes) {
    for (const int axis : axes) push_back(axis);
  }
  static Axes all(int rank);
  /// Errors: more than max_rank.
  void push_back(int axis);
  /// The same, counted from the front. Errors: one that x does not have, or twice (names the
  /// operation).
  Axes of(const char* operation, const Array& x) const;

  int count() const { return count_; }
  int& operator[](int i) { return axes_[static_cast<size_t>(i)]; }
  const int* begin() const { return axes_.data(); }
  const int* end() const { return axes_.data() + count_; }

 private:
  std::array<int, max_rank> axes_{};
  int count_ = 0;
};
std::ostream& operator<<(std::ostream& out, const Axes& axes);

// ---- creation ----
Array full(const Shape& shape, double value, DType dtype, const Device& device = {});
Array zeros(const Shape& shape, DType dtype, const Device& device = {});
/// Values in row-major order. Errors: count differs from the shape's size.
template <class T>
Array from_vector(const std::vector<T>& values, const Shape& shape, const Device& device = {});
/// start, start + step, ... [count]
Array arange(int64_t count, DType dtype, const Device& device = {}, double start = 0,
             double step = 1);

// ---- views, no copy (errors: dimensions that do not fit) ----
/// Same elements in row-major order, other shape; copies when x is not contiguous. One dimension
/// may be -1.
Array reshape(const Array& x, Shape shape);
/// Axes in a new order: out.dim(i) = x.dim(axes[i]).
Array permute(const Array& x, const Axes& axes);
/// Last two axes exchanged.
Array transpose(const Array& x);
/// Stride 0 along new or size-1 axes.
Array broadcast_to(const Array& x, const Shape& shape);
/// Elements start, start + step, ... below stop, along one axis.
Array slice(const Array& x, int axis, int64_t start, int64_t stop, int64_t step = 1);

// ---- whole-array operations ----
Array contiguous(const Array& x);  // x itself when it already is
Array copy_of(const Array& x);     // always new storage
Array cast(const Array& x, DType dtype);
Array copy_to(const Array& x, const Device& device);
/// out[...] = in (shapes equal; casts). In place: bumps the version.
void assign(const Array& out, const Array& in);
void fill(const Array& out, double value);
/// Shape that both broadcast to (NumPy's rule). Errors name the operation and both shapes.
Shape broadcast_shapes(const char* operation, const Shape& a, const Shape& b);

}  // namespace basin
