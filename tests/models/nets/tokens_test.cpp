// Sequences of tokens: patches, positions and attention against their formulas.
#include "models/nets/tokens.h"

#include <doctest/doctest.h>

#include <cmath>

#include "models/nets/layers.h"
#include "tests/files.h"

using namespace basin;
using namespace basin::test;

namespace {

/// softmax(q k^T / sqrt(d)) v of one head, by loops. q [m, d], k and v [n, d] from column `first`
/// on.
std::vector<double> head_by_loops(const Tensor& q, const Tensor& k, const Tensor& v, int64_t first,
                                  int64_t d) {
  const auto at = [&](const Tensor& x, int64_t row, int64_t column) {
    return x[row][first + column].item();
  };
  std::vector<double> out;
  for (int64_t i = 0; i < q.dim(0); ++i) {
    std::vector<double> weights;
    double sum = 0;
    for (int64_t j = 0; j < k.dim(0); ++j) {
      double score = 0;
      for (int64_t c = 0; c < d; ++c) score += at(q, i, c) * at(k, j, c);
      weights.push_back(std::exp(score / std::sqrt(static_cast<double>(d))));
      sum += weights.back();
    }
    for (int64_t c = 0; c < d; ++c) {
      double value = 0;
      for (int64_t j = 0; j < k.dim(0); ++j)
        value += weights[static_cast<size_t>(j)] / sum * at(v, j, c);
      out.push_back(value);
    }
  }
  return out;
}

}  // namespace

TEST_CASE("attention is its formula, head by head, for every example") {
  for (const int64_t heads : {1, 3}) {
    CAPTURE(heads);
    NetBuilder b({5, 6});
    const int64_t q = b.dense(0, "q", 6), k = b.dense(0, "k", 6), v = b.dense(0, "v", 6);
    b.name("output", attention(b, q, k, v, heads));
    const Net net = b.drawn(Key(2), {}, DType::f64);
    const Tensor x = normal(Key(3), {2, 5, 6}, DType::f64);
    const Tensor y = net(x);
    REQUIRE(y.shape() == Shape{2, 5, 6});
    for (int64_t example = 0; example < 2; ++example) {
      const auto rows = [&](int64_t value) { return net.between(x, 0, value)[example]; };
      const int64_t each = 6 / heads;
      for (int64_t head = 0; head < heads; ++head) {
        const std::vector<double> want =
            head_by_loops(rows(q), rows(k), rows(v), head * each, each);
        for (int64_t i = 0; i < 5; ++i)
          for (int64_t c = 0; c < each; ++c)
            // some forty rounded operations on numbers of order one
            CHECK(std::abs(y[example][i][head * each + c].item() -
                           want[static_cast<size_t>(i * each + c)]) <= 1e-14);
      }
    }
  }
}

TEST_CASE("patches are the rows of a convolution, a class token stands before them") {
  const Tensor x = normal(Key(4), {3, 2, 4, 6}, DType::f64);
  NetBuilder c({2, 4, 6});
  const int64_t tokens = patches(c, 0, "patch", 8, 2);
  const int64_t table = c.constant("positions", position_table(2, 3, 8)),
                token = c.constant("token", full({1, 8}, 0.5, DType::f64));
  CHECK(c.shape(tokens) == Shape{6, 8});
  c.name("output", c.concat({token, c.add(tokens, table)}));
  const Net net = c.drawn(Key(1), {}, DType::f64);
  const Tensor y = net(x);
  REQUIRE(y.shape() == Shape{3, 7, 8});
  CHECK(y[2][0].array().to_vector<double>() == std::vector<double>(8, 0.5));
  // the second row of patches, its third: rows 2 and 3, columns 4 and 5
  const Tensor weight = net.parameters()[0], bias = net.parameters()[1];
  for (int64_t unit = 0; unit < 8; ++unit) {
    double want = bias[unit].item() +
                  position_table(2, 3, 8)[5].to_vector<double>()[static_cast<size_t>(unit)];
    for (int64_t channel = 0; channel < 2; ++channel)
      for (int64_t i = 0; i < 2; ++i)
        for (int64_t j = 0; j < 2; ++j)
          want += weight[unit][channel][i][j].item() * x[1][channel][2 + i][4 + j].item();
    CHECK(std::abs(y[1][6][unit].item() - want) <= 1e-14);
  }
  // a program of its own carries both constants
  const TemporaryFolder folder;
  save_net(folder / "n.safetensors", net);
  CHECK(load_net(folder / "n.safetensors", DType::f64)(x).array().to_vector<double>() ==
        y.array().to_vector<double>());
}

TEST_CASE("positions: sines and cosines of column and row") {
  const std::vector<double> table = position_table(3, 2, 8).to_vector<double>();
  // row 2, column 1: the position 2 * 2 + 1; frequencies 1 and 1/100
  const double want[] = {std::sin(1), std::sin(.01), std::cos(1), std::cos(.01),
                         std::sin(2), std::sin(.02), std::cos(2), std::cos(.02)};
  for (size_t i = 0; i < 8; ++i) CHECK(std::abs(table[5 * 8 + i] - want[i]) <= 1e-15);
  CHECK_THROWS_WITH_AS(position_table(2, 2, 6), doctest::Contains("multiple of 4"), Error);
}

TEST_CASE("tokens: what does not fit is named") {
  NetBuilder b({5, 6});
  CHECK_THROWS_WITH_AS(attention(b, 0, 0, 0, 4), doctest::Contains("4 heads do not divide"), Error);
  const int64_t wide = b.dense(0, "wide", 12);
  CHECK_THROWS_WITH_AS(attention(b, 0, wide, wide, 2), doctest::Contains("do not fit"), Error);
  CHECK_THROWS_WITH_AS(attention(b, 0, 0, wide, 2), doctest::Contains("v [5, 12]"), Error);
  NetBuilder odd({1, 28, 28});
  CHECK_THROWS_WITH_AS(patches(odd, 0, "patch", 8, 16),
                       doctest::Contains("patches of 16 do not divide"), Error);
  CHECK_THROWS_WITH_AS(b.matmul(0, 0), doctest::Contains("equal sides before them"), Error);
  const int64_t token = b.constant("token", full({1, 7}, 1, DType::f64));
  CHECK_THROWS_WITH_AS(b.concat({token, 0}), doctest::Contains("cannot put [5, 6] beside [1, 7]"),
                       Error);
  CHECK_THROWS_WITH_AS(b.concat({token, token}), doctest::Contains("beside a value that is none"),
                       Error);
}
