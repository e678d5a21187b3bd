#include "data/textures.h"

#include <algorithm>
#include <cmath>

namespace basin {
namespace {

/// The value at (y, x) in [0, 1]^2 of a grid [points, points] whose corners lie in the corners.
double bilinear(const double* grid, int64_t points, double y, double x) {
  const double last = static_cast<double>(points - 1);
  const auto i = std::min(points - 2, static_cast<int64_t>(y * last));
  const auto j = std::min(points - 2, static_cast<int64_t>(x * last));
  const double v = y * last - static_cast<double>(i), u = x * last - static_cast<double>(j);
  const double* at = grid + i * points + j;
  return (1 - v) * ((1 - u) * at[0] + u * at[1]) + v * ((1 - u) * at[points] + u * at[points + 1]);
}

}  // namespace

Array texture_images(const Key& key, int64_t n, int64_t channels, int64_t side, DType dtype) {
  require(n > 0 && channels > 0 && side > 1 && is_floating(dtype),
          "texture_images: needs at least one image, one ",
          "channel, two pixels a side and a floating dtype, got ", n, ", ", channels, ", ", side,
          ", ", dtype);
  std::vector<double> pixels(static_cast<size_t>(n * channels * side * side), 0.0);
  constexpr std::pair<int64_t, double> octaves[] = {{2, 1.0}, {4, 0.8}, {8, 0.5}, {16, 0.2}};
  for (const auto& [points, weight] : octaves) {
    const std::vector<double> grids =
        normal(key.at(static_cast<uint64_t>(points)), {n, channels + 1, points, points}, DType::f64)
            .to_vector<double>();
    double* pixel = pixels.data();
    for (int64_t i = 0; i < n * channels; ++i) {
      const double* common = grids.data() + i / channels * (channels + 1) * points * points;
      const double* own = common + (1 + i % channels) * points * points;
      for (int64_t k = 0; k < side * side; ++k, ++pixel) {
        const double y = static_cast<double>(k / side) / static_cast<double>(side - 1);
        const double x = static_cast<double>(k % side) / static_cast<double>(side - 1);
        *pixel += weight * (2 * bilinear(common, points, y, x) + bilinear(own, points, y, x)) / 3;
      }
    }
  }
  const auto size = static_cast<std::ptrdiff_t>(channels * side * side);
  for (auto image = pixels.begin(); image != pixels.end(); image += size) {
    const auto [low, high] = std::minmax_element(image, image + size);
    const double from = *low, range = *high - *low;
    std::transform(image, image + size, image, [&](double p) { return (p - from) / range; });
  }
  return cast(from_vector(pixels, {n, channels * side * side}), dtype);
}

Array white_squares(const Key& key, int64_t n, int64_t channels, int64_t side, DType dtype) {
  require(n > 0 && channels > 0 && side > 1 && is_floating(dtype),
          "white_squares: needs at least one image, one ",
          "channel, two pixels a side and a floating dtype, got ", n, ", ", channels, ", ", side,
          ", ", dtype);
  const std::vector<double> u = uniform(key, {n, 3}, DType::f64).to_vector<double>();
  std::vector<double> pixels(static_cast<size_t>(n * channels * side * side), 0.0);
  const auto below = [](double v, int64_t count) {
    return static_cast<int64_t>(v * static_cast<double>(count));
  };
  for (int64_t i = 0; i < n; ++i) {
    const double* draw = u.data() + 3 * i;
    const int64_t edge = 2 + below(draw[0], std::max<int64_t>(1, side - 5));
    const int64_t top = below(draw[1], side - edge + 1), left = below(draw[2], side - edge + 1);
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t y = top; y < top + edge; ++y)
        for (int64_t x = left; x < left + edge; ++x)
          pixels[static_cast<size_t>(((i * channels + c) * side + y) * side + x)] = 1;
  }
  return cast(from_vector(pixels, {n, channels * side * side}), dtype);
}

Array shrink_images(const Array& rows, int64_t channels, int64_t side, int64_t factor) {
  require(
      rows.rank() == 2 && rows.dim(1) == channels * side * side && factor > 0 && side % factor == 0,
      "shrink_images: needs rows of ", channels, " x ", side, " x ", side,
      " pixels and a factor that divides ", side, ", got ", rows, " and ", factor);
  const int64_t n = rows.dim(0), small = side / factor;
  const std::vector<double> pixels = cast(rows, DType::f64).to_vector<double>();
  std::vector<double> means(static_cast<size_t>(n * channels * small * small), 0.0);
  for (size_t i = 0; i < pixels.size(); ++i) {
    const auto at = static_cast<int64_t>(i), line = at / side, image = line / side;
    const int64_t y = line % side / factor, x = at % side / factor;
    means[static_cast<size_t>((image * small + y) * small + x)] += pixels[i];
  }
  for (double& mean : means) mean /= static_cast<double>(factor * factor);
  return cast(from_vector(means, {n, channels * small * small}), rows.dtype());
}

}  // namespace basin
