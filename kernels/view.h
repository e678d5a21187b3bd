// Raw strided views: what a kernel sees of an array. No ownership, no checks, no gradients.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>

namespace basin {

enum class DType : uint8_t { f32, f64, i32, u8, u32 };

/// Bytes of one element.
constexpr size_t size_of(DType dtype) {
  constexpr size_t sizes[] = {4, 8, 4, 1, 4};
  return sizes[static_cast<int>(dtype)];
}

/// Calls f with a value of the C++ type of the dtype:
/// with_type(dtype, [&](auto zero) { using T = decltype(zero); ... }).
template <class F>
decltype(auto) with_type(DType dtype, F&& f) {
  switch (dtype) {
    case DType::f32:
      return f(float{});
    case DType::f64:
      return f(double{});
    case DType::i32:
      return f(int32_t{});
    case DType::u8:
      return f(uint8_t{});
    default:
      return f(uint32_t{});
  }
}

constexpr int max_rank = 6;

/// Up to six integers with a count: a shape, or strides in elements.
struct Shape {
  int rank = 0;
  std::array<int64_t, max_rank> dims{};

  Shape() = default;
  Shape(std::initializer_list<int64_t> values) {
    for (int64_t value : values) push_back(value);
  }
  int64_t operator[](int axis) const { return dims[static_cast<size_t>(axis)]; }
  int64_t& operator[](int axis) { return dims[static_cast<size_t>(axis)]; }
  /// Appends a dimension; beyond max_rank the rank still grows, so that shape checks above can
  /// refuse it.
  void push_back(int64_t value) {
    if (rank < max_rank) dims[static_cast<size_t>(rank)] = value;
    ++rank;
  }
  int64_t size() const {
    int64_t product = 1;
    for (int i = 0; i < rank; ++i) product *= (*this)[i];
    return product;
  }
  const int64_t* begin() const { return dims.data(); }
  const int64_t* end() const { return dims.data() + rank; }
  bool operator==(const Shape& other) const {
    if (rank != other.rank) return false;
    for (int i = 0; i < rank; ++i)
      if ((*this)[i] != other[i]) return false;
    return true;
  }
};

/// Row-major strides (in elements) of a shape.
inline Shape contiguous_strides(const Shape& shape) {
  Shape strides;
  strides.rank = shape.rank;
  int64_t stride = 1;
  for (int i = shape.rank - 1; i >= 0; --i) {
    strides[i] = stride;
    stride *= shape[i];
  }
  return strides;
}

/// A strided window on memory of one device. Writable or not is the kernel's word: `out` comes
/// first.
struct View {
  void* data = nullptr;
  DType dtype = DType::f32;
  Shape shape;
  Shape strides;

  int64_t size() const { return shape.size(); }
  bool contiguous() const {
    int64_t expected = 1;
    for (int i = shape.rank - 1; i >= 0; --i) {
      if (shape[i] != 1 && strides[i] != expected) return false;
      expected *= shape[i];
    }
    return true;
  }
  template <class T>
  T* as() const {
    return static_cast<T*>(data);
  }
};

}  // namespace basin
