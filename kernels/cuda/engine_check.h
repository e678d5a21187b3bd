// Which of several engines for one convolution is taken when they are timed. Only one that computes in f32 may win:
// each is run on operands whose every sum is exact in f32, in any order, and must give the bits of the im2col path.
// Operands rounded to TF32, BF16 or halves, and sums kept in fewer bits than 24, give others. Host only.
#pragma once
#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

namespace basin::cuda {

/// Operands for one check: integers of `bits` bits in one operand, -1, 0 and 1 in the other.
struct Probe {
  int bits;       // of the wide operand
  int64_t terms;  // of a sum that are not zero, on average
  bool second;    // the second operand is the wide one
};

/// 12 bits see a rounding to the 11 of TF32, and sums of 2,048 such terms need an accumulator of 23 bits; 20 bits see
/// operands split into fewer parts than f32 needs. 2,048 * 2^12 and 16 * 2^20 are at most 2^24, the exact integers;
/// that a sum of 1 term on average has more than 16 happens once in 10^14.
inline constexpr Probe probes[] = {{12, 2048, false}, {12, 2048, true}, {20, 1, false}, {20, 1, true}};

/// `size` numbers of one operand (0 or 1) of a probe, for sums of `length` terms.
inline std::vector<float> probe_operand(const Probe& probe, int operand, int64_t size, int64_t length) {
  const bool wide = probe.second == (operand == 1);
  const double share =
      std::min(1.0, static_cast<double>(probe.terms) / static_cast<double>(std::max<int64_t>(length, 1)));
  uint64_t state = 0x9E3779B97F4A7C15u * static_cast<uint64_t>(2 * probe.bits + operand + 1);
  std::vector<float> values(static_cast<size_t>(size));
  for (float& value : values) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    const uint64_t random = state >> 24;  // 40 bits
    const float sign = random & 1 ? 1.0f : -1.0f;
    const uint64_t low = (random >> 1) & ((uint64_t{1} << (probe.bits - 1)) - 1);
    const uint64_t integer = (uint64_t{1} << (probe.bits - 1)) | low | 1;  // all its bits count
    const bool taken = static_cast<double>(random >> 1) < share * 0x1p39;
    value = wide ? sign * static_cast<float>(integer) : taken ? sign : 0.0f;
  }
  return values;
}

/// The fastest of `count` candidates among those that are accepted. Only accepted ones are timed. None: nothing.
template <class Accept, class Time>
std::optional<size_t> fastest_accepted(size_t count, Accept&& accepts, Time&& time) {
  std::optional<size_t> best;
  double best_time = 0;
  for (size_t i = 0; i < count; ++i) {
    if (!accepts(i)) continue;
    const double taken = time(i);
    if (best && taken >= best_time) continue;
    best = i;
    best_time = taken;
  }
  return best;
}

}  // namespace basin::cuda
