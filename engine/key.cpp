#include "engine/key.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "kernels/strided.h"

namespace basin {

Key Key::at(uint64_t index) const {
  // Counter words 2 and 3 are zero for draws, so a child key never equals words that a draw hands
  // out.
  const Philox4 r = philox4x32_10(
      {{static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32), 0x6b657973u, 1u}}, bits_);
  return Key(KeyBits{r.v[0], r.v[1]});
}

Key Key::at(std::string_view name) const {
  uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a
  for (const char c : name) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3u;
  return at(hash);
}

namespace {

Array draw(const char* name, Distribution kind, const Key& key, const Shape& shape, DType dtype,
           const Device& device, double shift, double scale) {
  require(kind == Distribution::bits || is_floating(dtype), name,
          ": dtype must be f32 or f64, got ", dtype);
  Array out(shape, dtype, device);
  device.backend().random(kind, key.bits(), 0, out.view());
  if (shift != 0 || scale != 1) {
    device.backend().unary(Unary::mul_scalar, scale, 0, out.view(), out.view());
    device.backend().unary(Unary::add_scalar, shift, 0, out.view(), out.view());
  }
  return out;
}

}  // namespace

void keep_inside(const Array& x, double low, double high) {
  if (low == high) return;
  with_float(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    constexpr T end = std::numeric_limits<T>::infinity();
    T first = static_cast<T>(low), last = static_cast<T>(high);
    if (static_cast<double>(first) < low) first = std::nextafter(first, end);
    if (static_cast<double>(last) >= high) last = std::nextafter(last, -end);
    require(std::isfinite(first) && std::isfinite(last) && first <= last,
            "uniform: no finite number of ", x, " lies in [", low, ", ", high, ")");
    x.device().backend().unary(Unary::clamp, first, last, x.view(), x.view());
  });
}

Array uniform(const Key& key, const Shape& shape, DType dtype, double low, double high,
              const Device& device) {
  require(low <= high, "uniform: low ", low, " is above high ", high);
  if (low == 0 && high == 1)
    return draw("uniform", Distribution::uniform, key, shape, dtype, device, 0, 1);
  const double largest =
      dtype == DType::f32 ? std::numeric_limits<float>::max() : std::numeric_limits<double>::max();
  require(std::abs(low) <= largest && std::abs(high) <= largest, "uniform: [", low, ", ", high,
          ") leaves the range of ", dtype);
  // twice the draw from half the interval where high - low overflows
  const double unit = high - low <= largest ? 1 : 2;
  const Array out = draw("uniform", Distribution::uniform, key, shape, dtype, device, low / unit,
                         high / unit - low / unit);
  if (unit != 1) device.backend().unary(Unary::mul_scalar, unit, 0, out.view(), out.view());
  keep_inside(out, low, high);  // rounding may reach high
  return out;
}

Array normal(const Key& key, const Shape& shape, DType dtype, double mean, double sd,
             const Device& device) {
  require(sd >= 0, "normal: sd ", sd, " is negative");
  return draw("normal", Distribution::normal, key, shape, dtype, device, mean, sd);
}

Array random_bits(const Key& key, const Shape& shape, const Device& device) {
  return draw("random_bits", Distribution::bits, key, shape, DType::u32, device, 0, 1);
}

Array permutation(const Key& key, int64_t n, const Device& device) {
  const std::vector<uint32_t> words = random_bits(key, {n}).to_vector<uint32_t>();
  std::vector<int32_t> order(words.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return words[static_cast<size_t>(a)] < words[static_cast<size_t>(b)];
  });
  return from_vector(order, {n}, device);
}

}  // namespace basin
