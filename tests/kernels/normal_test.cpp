// The quantile of the normal distribution that turns random words into variates.
#include "kernels/normal.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <utility>

using namespace basin;

TEST_CASE("normal variates: the quantile in f32 and f64, down to the last cell") {
  double centre = 0, tails = 0, exact = 0;
  const auto look_at = [&](uint32_t word) {
    const double z = standard_normal<double>(word), magnitude = std::abs(z);
    const double off = std::abs(static_cast<double>(standard_normal<float>(word)) - z);
    (magnitude < 1 ? centre : tails) =
        std::max(magnitude < 1 ? centre : tails, off / std::max(1.0, magnitude));
    // Newton's correction in long double says how far z is from the quantile of its cell's middle
    const long double p = (word + 0.5L) * 0x1p-32L, tail = std::min(p, 1 - p);
    const long double density = std::exp(-0.5L * z * z) * 0.39894228040143267794L;
    const long double correction =
        (std::erfc(magnitude * 0.70710678118654752440L) / 2 - tail) / density;
    if (magnitude > 1e-3)
      exact = std::max(exact, static_cast<double>(std::abs(correction)) / magnitude);
  };
  for (uint64_t word = 0; word < (uint64_t{1} << 32); word += 65537)
    look_at(static_cast<uint32_t>(word));
  for (uint32_t i = 0; i < 1000; ++i) look_at(i), look_at(~i);
  CHECK(centre < 5e-7);
  CHECK(tails < 5e-7);
  CHECK(exact < 1e-13);
  CHECK(standard_normal<double>(0) == doctest::Approx(-6.337957754554).epsilon(1e-12));
  CHECK(standard_normal<double>(5) == -standard_normal<double>(~5u));
  CHECK(standard_normal<double>(0x80000000u) > 0);
}

TEST_CASE("normal variates: to the ends of their words") {
  // mpmath; 1e-13 is what the approximation promises.
  const std::pair<uint32_t, double> exact[] = {
      {0u, -6.3379577545537893},         {1u, -6.1664295178197502},
      {1000u, -5.0398511259687115},      {0x6000000u, -1.9874278838270698},
      {0x7000000u, -1.9213507724456333}, {0x7fffffffu, -2.9180993729166227e-10},
      {0xffffffffu, 6.3379577545537893}};
  for (const auto& [word, z] : exact)
    CHECK(std::abs(standard_normal<double>(word) / z - 1) < 1e-13);
}
