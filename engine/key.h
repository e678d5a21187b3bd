// Keys of counter-based random streams. A key is a value; drawing never changes it. (JAX JEP 263
// gives the reasons.)
#pragma once
#include <string_view>

#include "engine/array.h"

namespace basin {

/// A random stream: element i of a draw is a function of (key, i) alone, whatever the thread count
/// or device.
class Key {
 public:
  explicit Key(uint64_t seed)
      : bits_{static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)} {}
  /// An independent stream for each integer (step, layer, seed) ...
  Key at(uint64_t index) const;
  /// ... or name.
  Key at(std::string_view name) const;
  KeyBits bits() const { return bits_; }
  uint64_t value() const { return bits_.lo | static_cast<uint64_t>(bits_.hi) << 32; }

 private:
  explicit Key(KeyBits bits) : bits_(bits) {}
  KeyBits bits_;
};

/// U[low, high), never `high` itself (unless low == high), and N(mean, sd^2); dtype f32 or f64.
/// Errors: no finite number of the dtype lies in [low, high).
Array uniform(const Key& key, const Shape& shape, DType dtype, double low = 0, double high = 1,
              const Device& device = {});
Array normal(const Key& key, const Shape& shape, DType dtype, double mean = 0, double sd = 1,
             const Device& device = {});
/// Moves values of x outside [low, high) to the nearest one of its dtype inside, in place, as after
/// a rounding.
void keep_inside(const Array& x, double low, double high);
/// The raw words, u32.
Array random_bits(const Key& key, const Shape& shape, const Device& device = {});
/// A permutation of 0 .. n-1 as i32 [n] (sorts random words; ties by index).
Array permutation(const Key& key, int64_t n, const Device& device = {});

}  // namespace basin
