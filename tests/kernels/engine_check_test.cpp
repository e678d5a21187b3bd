// The choice among timed engines for a convolution needs no GPU: the engines here are the CPU's
// convolutions on operands that were rounded first, as tensor cores round them, or summed in fewer
// bits.
#include "kernels/cuda/engine_check.h"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <functional>

#include "tests/kernels/conv_reference.h"

using namespace basin;
using namespace basin::cuda;

namespace {

/// x with `bits` significant bits, to nearest, ties to even.
float rounded(float x, int bits) {
  const int dropped = 24 - bits;
  const uint32_t word = std::bit_cast<uint32_t>(x);
  const uint32_t half = (uint32_t{1} << (dropped - 1)) - 1 + ((word >> dropped) & 1);
  return std::bit_cast<float>((word + half) >> dropped << dropped);
}

enum class Kind { forward, input_grad, weight_grad };

struct Problem {
  Kind kind;
  Shape out, a, b;
  Window window;
  int64_t terms;
};

std::vector<Problem> problems() {
  const Shape x{16, 8, 12, 12};
  const Shape w{6, 8, 3, 3};
  const Shape y{16, 6, 6, 6};
  const Window window{{2, 2}, {1, 1}};
  return {{Kind::forward, y, x, w, window, 8 * 9},
          {Kind::input_grad, x, y, w, window, 6 * 9},
          {Kind::weight_grad, w, x, y, window, 16 * 36},
          {Kind::weight_grad, {3, 2, 1, 1}, {64, 2, 32, 32}, {64, 3, 32, 32}, {}, 64 * 1024}};
}

using Engine =
    std::function<Array(const Problem&, const Array& a, const Array& b, const Array& bias)>;

Array convolution(const Problem& p, const Array& a, const Array& b, const Array& bias,
                  DType dtype) {
  const Array first = cast(a, dtype);
  const Array second = cast(b, dtype);
  const Array third = cast(bias, dtype);
  Array out(p.out, dtype, Device{});
  Backend& backend = Device{}.backend();
  if (p.kind == Kind::forward)
    backend.conv2d(out.view(), first.view(), second.view(), third.view(), {}, p.window);
  if (p.kind == Kind::input_grad)
    backend.conv2d_input_grad(out.view(), first.view(), second.view(), third.view(), {}, p.window);
  if (p.kind == Kind::weight_grad)
    backend.conv2d_weight_grad(out.view(), first.view(), second.view(), p.window);
  return cast(out, DType::f32);
}

/// An engine whose first and second operands, and its bias, have so many bits.
Engine with_operands_of(int first_bits, int second_bits, int bias_bits = 24) {
  return [=](const Problem& p, const Array& a, const Array& b, const Array& bias) {
    const auto cut = [](const Array& values, int bits) {
      std::vector<float> v = values.to_vector<float>();
      for (float& x : v)
        if (bits < 24) x = rounded(x, bits);
      return from_vector(v, values.shape());
    };
    return convolution(p, cut(a, first_bits), cut(b, second_bits), cut(bias, bias_bits),
                       DType::f32);
  };
}

/// Whether an engine gives the exact sums on every probe, as CudnnConvolutions asks.
bool passes(const Problem& p, const Engine& engine) {
  for (const Probe& probe : probes) {
    const Array a = from_vector(probe_operand(probe, 0, p.a.size(), p.terms), p.a);
    const Array b = from_vector(probe_operand(probe, 1, p.b.size(), p.terms), p.b);
    const Array bias = from_vector(probe_operand(probe, 2, p.out[1], p.terms), {p.out[1]});
    const std::vector<float> expected = convolution(p, a, b, bias, DType::f64).to_vector<float>();
    if (engine(p, a, b, bias).to_vector<float>() != expected) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("an engine that computes in f32 passes the check of convolution engines") {
  for (const Problem& p : problems()) {
    CAPTURE(static_cast<int>(p.kind));
    CHECK(passes(p, with_operands_of(24, 24)));
  }
}

TEST_CASE("engines with rounded operands, of either side, are refused") {
  // 8 bits: BF16, 11: TF32 and halves, 16: BF16 in two parts; 19 is the last that the probes of 20
  // bits see
  for (const Problem& p : problems())
    for (const int bits : {8, 11, 16, 19}) {
      CAPTURE(static_cast<int>(p.kind));
      CAPTURE(bits);
      CHECK_FALSE(passes(p, with_operands_of(bits, 24)));
      CHECK_FALSE(passes(p, with_operands_of(24, bits)));
      CHECK_FALSE(passes(p, with_operands_of(bits, bits)));
    }
}

TEST_CASE("engines with a rounded bias are refused") {
  for (const Problem& p : problems())
    for (const int bits : {8, 11, 16, 19}) {
      CAPTURE(bits);
      CHECK(passes(p, with_operands_of(24, 24, bits)) ==
            (p.kind == Kind::weight_grad));  // which has none
    }
}

TEST_CASE("engines whose sums are rounded, or that leave the result as it was, are refused") {
  const Engine rounds_sums = [](const Problem& p, const Array& a, const Array& b,
                                const Array& bias) {
    std::vector<float> sums = convolution(p, a, b, bias, DType::f32).to_vector<float>();
    for (float& sum : sums) sum = rounded(sum, 16);
    return from_vector(sums, p.out);
  };
  const Engine does_nothing = [](const Problem& p, const Array&, const Array&, const Array&) {
    return full(p.out, std::nan(""), DType::f32);
  };
  for (const Problem& p : problems()) {
    CHECK_FALSE(passes(p, rounds_sums));
    CHECK_FALSE(passes(p, does_nothing));
  }
}

TEST_CASE(
    "the fastest engine among those that are accepted wins; refused ones are not even timed") {
  const std::vector<double> times = {3, 1, 2, 2};
  std::vector<int> timed(times.size(), 0);
  const auto choose = [&](const std::vector<bool>& accepted) {
    return fastest_accepted([&] { return accepted; },
                            [&](size_t i) {
                              ++timed[i];
                              return times[i];
                            });
  };
  CHECK(choose({true, true, true, true}).best == 1);
  CHECK(choose({true, true, true, true}).note.empty());
  timed = std::vector<int>(times.size(), 0);
  const Choice some = choose({true, false, true, true});
  CHECK(some.best == 2);  // the first of two that are equal
  CHECK(some.note == "1 of 4 timed engines do not compute in f32 and are refused");
  CHECK(choose({false, false, false, false}).best == std::nullopt);
  CHECK(timed == std::vector<int>{1, 0, 1, 1});
  CHECK(choose({}).best == std::nullopt);
}

TEST_CASE("without memory for the check the first engine stays, untimed and with a note") {
  const auto full = []() -> std::vector<bool> {
    throw NoMemory("no device memory left for the check");
  };
  int timed = 0;
  const Choice choice = fastest_accepted(full, [&](size_t) { return ++timed; });
  CHECK(choice.best == 0);
  CHECK(choice.note ==
        "engines are neither checked nor timed: no device memory left for the check");
  CHECK(timed == 0);
  const auto fails = []() -> std::vector<bool> {
    throw std::runtime_error("a fault of another kind");
  };
  CHECK_THROWS_WITH_AS(fastest_accepted(fails, [](size_t) { return 1; }), "a fault of another kind",
                       std::runtime_error);
}
