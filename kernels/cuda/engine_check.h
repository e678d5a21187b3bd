// Which of several engines for one convolution is taken when they are timed. Only one that computes
// in f32 may win: each is run on operands whose every sum is exact in f32, in any order, and must
// give the bits of the im2col path. Operands rounded to TF32, BF16 or halves, and sums kept in
// fewer bits than 24, give others. Host only.
#pragma once
#include <algorithm>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace basin::cuda {

/// The device has no memory left for something that can be done without.
struct NoMemory : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Operands for one check: integers of `bits` bits in one operand and in the bias, -1, 0 and 1 in
/// the other operand.
struct Probe {
  int bits;       // of the wide operand and of the bias
  int64_t terms;  // of a sum that are not zero, on average
  bool second;    // the second operand is the wide one
};

/// 12 bits see a rounding to the 11 of TF32, and sums of 2,048 such terms need an accumulator of 23
/// bits; 20 bits see operands split into fewer parts than f32 needs. With a bias (2,048 + 1) * 2^12
/// and (15 + 1) * 2^20 are at most 2^24, the exact integers; that a sum of 1 term on average has
/// more than 15 happens twice in 10^14.
inline constexpr Probe probes[] = {
    {12, 2048, false}, {12, 2048, true}, {20, 1, false}, {20, 1, true}};

/// `size` numbers of one operand (0 or 1, or 2: the bias) of a probe, for sums of `length` terms.
inline std::vector<float> probe_operand(const Probe& probe, int operand, int64_t size,
                                        int64_t length) {
  const bool wide = operand == 2 || probe.second == (operand == 1);
  const double share = std::min(
      1.0, static_cast<double>(probe.terms) / static_cast<double>(std::max<int64_t>(length, 1)));
  uint64_t state = 0x9E3779B97F4A7C15u * static_cast<uint64_t>(3 * probe.bits + operand + 1);
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

struct Choice {
  std::optional<size_t> best;
  std::string note;  // what to say of it
};

/// The fastest of candidates, the first guess first, among those that accepted() has a flag for;
/// only these are timed. None: nothing. Where there is no memory for the check, the first guess, as
/// without timing.
template <class Accepted, class Time>
Choice fastest_accepted(Accepted&& accepted, Time&& time) {
  Choice choice;
  double best_time = 0;
  std::vector<bool> flags;
  try {
    flags = accepted();
  } catch (const NoMemory& error) {
    return {0, std::string("engines are neither checked nor timed: ") + error.what()};
  }
  for (size_t i = 0; i < flags.size(); ++i) {
    if (!flags[i]) continue;
    const double taken = time(i);
    if (choice.best && taken >= best_time) continue;
    choice.best = i;
    best_time = taken;
  }
  if (const auto refused = std::count(flags.begin(), flags.end(), false))
    choice.note = std::to_string(refused) + " of " + std::to_string(flags.size()) +
                  " timed engines do not compute in f32 and are refused";
  return choice;
}

}  // namespace basin::cuda
