#include "engine/formats/stored.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <iterator>
#include <limits>

#include "engine/error.h"

namespace basin {
namespace {

constexpr Stored table[] = {
    {"F32", DType::f32, 4},     {"F64", DType::f64, 8},  {"I32", DType::i32, 4},
    {"U8", DType::u8, 1},       {"U32", DType::u32, 4},  // in the order of DType
    {"F16", DType::f32, 2},     {"BF16", DType::f32, 2}, {"F8_E4M3", DType::f32, 1},
    {"F8_E5M2", DType::f32, 1}, {"I8", DType::i32, 1},   {"I16", DType::i32, 2},
    {"U16", DType::i32, 2},     {"I64", DType::i32, 8},  {"BOOL", DType::u8, 1}};

/// A binary float without its sign, whose bits lie at the places of an f32: other exponents count
/// from elsewhere, which a product with a power of two mends, subnormal numbers included.
float scaled(uint32_t bits, float power, uint32_t sign) {
  return std::bit_cast<float>(std::bit_cast<uint32_t>(std::bit_cast<float>(bits) * power) |
                              sign << 31);
}

float from_f16(uint16_t x) {
  const uint32_t bits = (x & 0x7fffu) << 13;
  if ((x & 0x7c00) != 0x7c00) return scaled(bits, 0x1p112f, x >> 15);
  return std::bit_cast<float>(bits | 0x7f800000u | uint32_t{x} >> 15 << 31);  // infinite or NaN
}

/// OCP 8-bit floating point, E4M3: no infinity, one NaN of each sign.
float from_e4m3(uint8_t x) {
  if ((x & 0x7f) == 0x7f) return std::bit_cast<float>(0x7fc00000u | uint32_t{x} >> 7 << 31);
  return scaled((x & 0x7fu) << 20, 0x1p120f, x >> 7);
}

uint16_t to_f16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value) & 0x7fffffffu;
  const uint32_t sign = std::bit_cast<uint32_t>(value) >> 31 << 15;
  uint32_t half = 0;
  if (bits > 0x7f800000u)  // NaN
    half = 0x7c00u | std::max((bits >> 13) & 0x3ffu, 1u);
  else if (bits < 0x38800000u)  // subnormal: the last bit of 0.5 is worth as much as theirs
    half = std::bit_cast<uint32_t>(std::bit_cast<float>(bits) + 0.5f) - 0x3f000000u;
  else
    half = std::min(((bits + 0xfffu + (bits >> 13 & 1u)) >> 13) - (112u << 10), 0x7c00u);
  return static_cast<uint16_t>(sign | half);
}

uint16_t to_bf16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
  // a NaN whose first bits are those of infinity gets one that is not
  if (nan) return static_cast<uint16_t>(bits >> 16 | (bits & 0x7f0000u ? 0u : 1u));
  return static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

template <class From, class To, class F>
void each(const void* from, size_t count, void* to, const F& f) {
  for (size_t i = 0; i < count; ++i) {
    From x;
    std::memcpy(&x, static_cast<const char*>(from) + i * sizeof x, sizeof x);
    static_cast<To*>(to)[i] = f(x);
  }
}

}  // namespace

const Stored* find_stored(std::string_view name) {
  const auto* found = std::find_if(std::begin(table), std::end(table),
                                   [&](const Stored& type) { return type.name == name; });
  return found == std::end(table) ? nullptr : found;
}

std::string stored_names() {
  std::string names;
  for (const Stored& type : table) names.append(names.empty() ? "" : ", ").append(type.name);
  return names;
}

const Stored& stored_as(DType dtype) {
  return table[static_cast<int>(dtype)];
}

void widen(const Stored& type, const void* from, size_t count, void* to, const std::string& what) {
  const auto same = [](auto x) { return x; };
  if (!converted(type)) std::memcpy(to, from, count * type.bytes);
  if (type.name == "F16") each<uint16_t, float>(from, count, to, from_f16);
  if (type.name == "BF16")
    each<uint16_t, float>(from, count, to,
                          [](uint32_t x) { return std::bit_cast<float>(x << 16); });
  if (type.name == "F8_E4M3") each<uint8_t, float>(from, count, to, from_e4m3);
  if (type.name == "F8_E5M2")
    each<uint8_t, float>(from, count, to,
                         [](uint8_t x) { return from_f16(static_cast<uint16_t>(x << 8)); });
  if (type.name == "I8") each<int8_t, int32_t>(from, count, to, same);
  if (type.name == "I16") each<int16_t, int32_t>(from, count, to, same);
  if (type.name == "U16") each<uint16_t, int32_t>(from, count, to, same);
  if (type.name == "BOOL")
    each<uint8_t, uint8_t>(from, count, to, [](uint8_t x) { return uint8_t{x != 0}; });
  if (type.name == "I64")
    each<int64_t, int32_t>(from, count, to, [&](int64_t x) {
      using I32 = std::numeric_limits<int32_t>;
      require(x >= I32::min() && x <= I32::max(), what, ": I64 is read as i32, which holds ",
              I32::min(), " to ", I32::max(), "; its number ", x, " is outside");
      return static_cast<int32_t>(x);
    });
}

void narrow(const Stored& type, const float* from, size_t count, void* to,
            const std::string& what) {
  const bool half = type.name == "F16";
  const uint32_t infinity = half ? 0x7c00 : 0x7f80;
  each<float, uint16_t>(from, count, to, [&](float x) {
    const uint16_t bits = half ? to_f16(x) : to_bf16(x);
    const bool grew =
        (bits & 0x7fffu) == infinity && (std::bit_cast<uint32_t>(x) & 0x7fffffffu) < 0x7f800000u;
    require(!grew, what, ": its number ", x, " is larger than ", type.name, " holds (",
            half ? "65504" : "3.3895e38", "); write it as F32");
    return bits;
  });
}

}  // namespace basin
