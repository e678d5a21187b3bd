#include "data/dead_leaves.h"

#include <algorithm>
#include <cmath>

namespace basin {
namespace {

constexpr double smallest = 2, largest = 64;

struct Disc {
  double y, x, radius, grey;
};

/// From four uniform numbers. The share of radii above r falls as r^-2.
Disc make_disc(const double* u, int64_t side) {
  const double span = static_cast<double>(side) + 2 * largest;
  const double from = 1 / (smallest * smallest), to = 1 / (largest * largest);
  return {u[0] * span - largest, u[1] * span - largest, 1 / std::sqrt(from + u[2] * (to - from)),
          u[3]};
}

/// Paints the pixels that nothing hides yet (negative), and counts them.
int64_t paint(const Disc& disc, int64_t side, double* pixels) {
  const auto first = [&](double centre) {
    return static_cast<int64_t>(std::ceil(std::max(0.0, centre - disc.radius)));
  };
  const auto last = [&](double centre) {
    return static_cast<int64_t>(
        std::floor(std::min(static_cast<double>(side - 1), centre + disc.radius)));
  };
  int64_t painted = 0;
  for (int64_t i = first(disc.y); i <= last(disc.y); ++i)
    for (int64_t j = first(disc.x); j <= last(disc.x); ++j) {
      const double dy = static_cast<double>(i) - disc.y, dx = static_cast<double>(j) - disc.x;
      double& pixel = pixels[i * side + j];
      if (pixel >= 0 || dy * dy + dx * dx > disc.radius * disc.radius) continue;
      pixel = disc.grey;
      ++painted;
    }
  return painted;
}

}  // namespace

Array dead_leaves_images(const Key& key, int64_t n, int64_t side, DType dtype) {
  require(n > 0 && side > 0 && is_floating(dtype),
          "dead_leaves_images: needs at least one image and one pixel and a ",
          "floating dtype, got ", n, ", ", side, ", ", dtype);
  constexpr int64_t batch = 512;
  const int64_t size = side * side;
  std::vector<double> pixels(static_cast<size_t>(n * size), -1.0);
  for (int64_t i = 0; i < n; ++i) {
    const Key own = key.at(static_cast<uint64_t>(i));
    // The last disc to fall lies on top, so going back in time each one shows where no later one
    // does.
    for (int64_t left = size, round = 0; left > 0; ++round) {
      const Array numbers = uniform(own.at(static_cast<uint64_t>(round)), {batch, 4}, DType::f64);
      for (int64_t d = 0; d < batch && left > 0; ++d)
        left -=
            paint(make_disc(numbers.data<double>() + 4 * d, side), side, pixels.data() + i * size);
    }
  }
  return cast(from_vector(pixels, {n, size}), dtype);
}

}  // namespace basin
