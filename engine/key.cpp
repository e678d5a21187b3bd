#include "engine/key.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "engine/step.h"
#include "kernels/strided.h"

namespace basin {

Key Key::at(uint64_t index) const {
  return Key(key_at(bits_, index));
}

Key Key::at(std::string_view name) const {
  uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a
  for (const char c : name) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3u;
  return at(hash);
}

namespace {

/// A stream, or that of a step whose number (f64 [1]) lies on the device.
struct Stream {
  KeyBits key;
  View number;
};

Stream stream_of(const Key& key, const Step& step, const Device& device) {
  step.require_on("a draw", device);
  if (!step.recorded()) return {key.at(static_cast<uint64_t>(step.number())).bits(), {}};
  return {key.bits(), step.number_on_device().view()};
}

Array draw(const char* name, Distribution kind, const Stream& stream, const Shape& shape,
           DType dtype, const Device& device, double shift, double scale) {
  require(kind == Distribution::bits || is_floating(dtype), name,
          ": dtype must be f32 or f64, got ", dtype);
  Array out(shape, dtype, device);
  device.backend().random(kind, stream.key, stream.number, 0, out.view());
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

namespace {

Array uniform_of(const Stream& stream, const Shape& shape, DType dtype, double low, double high,
                 const Device& device) {
  require(low <= high, "uniform: low ", low, " is above high ", high);
  if (low == 0 && high == 1)
    return draw("uniform", Distribution::uniform, stream, shape, dtype, device, 0, 1);
  const double largest =
      dtype == DType::f32 ? std::numeric_limits<float>::max() : std::numeric_limits<double>::max();
  require(std::abs(low) <= largest && std::abs(high) <= largest, "uniform: [", low, ", ", high,
          ") leaves the range of ", dtype);
  // twice the draw from half the interval where high - low overflows
  const double unit = high - low <= largest ? 1 : 2;
  const Array out = draw("uniform", Distribution::uniform, stream, shape, dtype, device, low / unit,
                         high / unit - low / unit);
  if (unit != 1) device.backend().unary(Unary::mul_scalar, unit, 0, out.view(), out.view());
  keep_inside(out, low, high);  // rounding may reach high
  return out;
}

Array normal_of(const Stream& stream, const Shape& shape, DType dtype, double mean, double sd,
                const Device& device) {
  require(sd >= 0, "normal: sd ", sd, " is negative");
  return draw("normal", Distribution::normal, stream, shape, dtype, device, mean, sd);
}

}  // namespace

Array uniform(const Key& key, const Shape& shape, DType dtype, double low, double high,
              const Device& device) {
  return uniform_of({key.bits(), {}}, shape, dtype, low, high, device);
}
Array uniform(const Key& key, const Step& step, const Shape& shape, DType dtype, double low,
              double high, const Device& device) {
  return uniform_of(stream_of(key, step, device), shape, dtype, low, high, device);
}

Array normal(const Key& key, const Shape& shape, DType dtype, double mean, double sd,
             const Device& device) {
  return normal_of({key.bits(), {}}, shape, dtype, mean, sd, device);
}
Array normal(const Key& key, const Step& step, const Shape& shape, DType dtype, double mean,
             double sd, const Device& device) {
  return normal_of(stream_of(key, step, device), shape, dtype, mean, sd, device);
}

Array random_bits(const Key& key, const Shape& shape, const Device& device) {
  return draw("random_bits", Distribution::bits, {key.bits(), {}}, shape, DType::u32, device, 0, 1);
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
