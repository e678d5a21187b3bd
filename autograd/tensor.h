// Tensor: an immutable value. An Array and, inside a transform, a box that ties it to that
// transform.
#pragma once
#include <span>
#include <vector>

#include "engine/array.h"
#include "engine/ref.h"

namespace basin {

struct Cell;  // trace.h

class Tensor {
 public:
  Tensor();             // undefined: stands for "no value" (an absent bias, a zero cotangent)
  Tensor(Array array);  // NOLINT: an array is a tensor without history
  explicit Tensor(Ref<const Cell> cell);
  Tensor(const Tensor&);
  Tensor(Tensor&&) noexcept;
  Tensor& operator=(const Tensor&);
  Tensor& operator=(Tensor&&) noexcept;
  ~Tensor();

  bool defined() const { return static_cast<bool>(cell_); }
  /// The numbers, whatever transforms are active (a host read of a boxed tensor reads its primal).
  const Array& array() const;
  const Shape& shape() const { return array().shape(); }
  int rank() const { return array().rank(); }
  /// Size of one axis; negative axes count from the end.
  int64_t dim(int axis) const { return array().dim(axis); }
  int64_t size() const { return array().size(); }
  DType dtype() const { return array().dtype(); }
  const Device& device() const { return array().device(); }
  /// The only element. Errors: size is not 1.
  double item() const { return array().item(); }
  /// The elements in row-major order, on the host. Errors: other dtype.
  template <class T>
  std::vector<T> to_vector() const {
    return array().to_vector<T>();
  }
  /// Functions of arrays, which have no derivative, take tensors too. Errors: inside a transform,
  /// where the derivative would be lost without a word.
  operator Array()
      const;  // NOLINT: as an array is a tensor; by value, so that what binds to it lives
  /// Row i along the first axis: x[i][j] is one element. Errors: no such row.
  Tensor operator[](int64_t i) const;
  const Cell* cell() const { return cell_.get(); }

 private:
  Ref<const Cell> cell_;
};

/// As those of arrays: shape, and shape with numbers.
inline std::ostream& operator<<(std::ostream& out, const Tensor& x) {
  return out << x.array();
}
inline std::string to_string(const Tensor& x, int digits = 4) {
  return to_string(x.array(), digits);
}

using Tensors = std::vector<Tensor>;
using Inputs = std::span<const Tensor>;

}  // namespace basin
