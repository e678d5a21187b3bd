#include "models/nets/tokens.h"

#include <cmath>

namespace basin {

int64_t patches(NetBuilder& net, int64_t image, const std::string& name, int64_t width,
                int64_t patch) {
  const Shape shape = net.shape(image);
  require(shape.rank == 3 && patch >= 1 && shape[1] % patch == 0 && shape[2] % patch == 0, name,
          ": patches of ", patch, " do not divide an image ", shape);
  const int64_t grid =
      net.conv(image, name, width, {.kernel = patch, .stride = patch, .padding = 0});
  return net.permute(net.reshape(grid, {width, -1}), {1, 0});
}

int64_t attention(NetBuilder& net, int64_t q, int64_t k, int64_t v, int64_t heads) {
  const Shape of_q = net.shape(q), of_k = net.shape(k), of_v = net.shape(v);
  require(of_q.rank == 2 && of_k.rank == 2 && of_k == of_v && of_k[1] == of_q[1], "attention: q ",
          of_q, ", k ", of_k, " and v ", of_v,
          " do not fit; needs [m, width], [n, width] and [n, width]");
  const int64_t width = of_q[1];
  require(heads >= 1 && width % heads == 0, "attention: ", heads, " heads do not divide the width ",
          width, " of q ", of_q);
  const int64_t each = width / heads;
  const auto split = [&](int64_t x, const Axes& axes) {
    return net.permute(net.reshape(x, {-1, heads, each}), axes);
  };
  const Activation scale{Unary::mul_scalar, 1 / std::sqrt(static_cast<double>(each))};
  const int64_t scores = net.matmul(split(q, {1, 0, 2}), split(k, {1, 2, 0}), scale);
  const int64_t mixed = net.matmul(net.softmax(scores), split(v, {1, 0, 2}));
  return net.reshape(net.permute(mixed, {1, 0, 2}), {-1, width});
}

Array position_table(int64_t rows, int64_t columns, int64_t width) {
  require(rows >= 1 && columns >= 1 && width >= 4 && width % 4 == 0, "position_table: ", rows,
          " x ", columns, " positions of width ", width,
          "; needs at least one, and a width that is a multiple of 4");
  const int64_t quarter = width / 4;
  std::vector<double> values;
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t column = 0; column < columns; ++column)
      for (int64_t i = 0; i < width; ++i) {
        const auto position = static_cast<double>(i < 2 * quarter ? column : row);
        const double frequency =
            std::pow(10000.0, -static_cast<double>(i % quarter) / static_cast<double>(quarter));
        const double angle = position * frequency;
        values.push_back(i / quarter % 2 == 0 ? std::sin(angle) : std::cos(angle));
      }
  return from_vector(values, {rows * columns, width});
}

}  // namespace basin
