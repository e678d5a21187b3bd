#include "experiments/memorization/theory.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "models/dynamics/spectrum.h"

namespace basin::theory {
namespace {

Array identity(int64_t d) {
  Array eye = zeros({d, d}, DType::f64);
  fill(eye.with({d}, {d + 1}, 0), 1.0);
  return eye;
}

void check_examples(const char* what, const Array& x) {
  require(x.rank() == 2 && x.dtype() == DType::f64, what, ": needs examples f64 [n, d], got ", x);
}

}  // namespace

Array covariance(const Array& x) {
  check_examples("covariance", x);
  return matmul(transpose(Tensor(x)), Tensor(x)).array();
}

Array trained_linear_map(const Array& x, double gamma, int64_t t) {
  check_examples("trained_linear_map", x);
  require(t >= 0, "trained_linear_map: step ", t, " is negative");
  const Tensor eye(identity(x.dim(1)));
  Tensor factor = eye - gamma * Tensor(covariance(x)), power = eye;
  for (; t > 0; t /= 2, factor = matmul(factor, factor))
    if (t % 2 == 1) power = matmul(power, factor);
  return (eye - power).array();
}

Array projection(const Array& x) {
  check_examples("projection", x);
  return matmul(Tensor(pseudo_inverse(x)), Tensor(x)).array();
}

Array minimum_norm_map(const Array& x, const Array& y) {
  check_examples("minimum_norm_map", x);
  require(y.rank() == 2 && y.dim(0) == x.dim(0), "minimum_norm_map: x ", x, " and y ", y,
          " differ in rows");
  return contiguous(transpose(matmul(Tensor(pseudo_inverse(x)), Tensor(y))).array());
}

std::vector<double> span_residuals(const Array& z, const Array& y) {
  const Tensor rows(cast(z, DType::f64)), spanning(cast(y, DType::f64));
  const Tensor inside = matmul(matmul(rows, Tensor(pseudo_inverse(spanning.array()))), spanning);
  const std::vector<double> all = rows.array().to_vector<double>();
  const std::vector<double> outside = (rows - inside).array().to_vector<double>();
  const auto d = static_cast<size_t>(rows.dim(1));
  std::vector<double> residuals(static_cast<size_t>(rows.dim(0)));
  for (size_t row = 0; row < residuals.size(); ++row) {
    double largest = 0, part = 0,
           whole = 0;  // in units of the largest number: no square leaves the range of double
    for (size_t i = row * d; i < (row + 1) * d; ++i) {
      require(std::isfinite(all[i]), "span_residuals: row ", row, " of ", z, " is not finite");
      largest = std::max(largest, std::abs(all[i]));
    }
    if (largest == 0) continue;
    for (size_t i = row * d; i < (row + 1) * d; ++i) {
      part += (outside[i] / largest) * (outside[i] / largest);
      whole += (all[i] / largest) * (all[i] / largest);
    }
    residuals[row] = std::sqrt(part / whole);
  }
  return residuals;
}

namespace {

/// phi^-1, to rounding also where phi is near phi(0).
double inverse(const Activation& phi, double y) {
  if (phi.op == Unary::tanh) return std::atanh(y);
  return y < 0.25 || y > 0.75 ? std::log(y) - std::log1p(-y) : 2 * std::atanh(2 * y - 1);
}

/// f of every number of an array.
Array each(const char* what, const Activation& phi, const Array& y,
           const std::function<double(double)>& f) {
  require(phi.op == Unary::sigmoid || phi.op == Unary::tanh, what,
          ": only for sigmoid and tanh, got ", to_string(phi));
  std::vector<double> values = cast(y, DType::f64).to_vector<double>();
  std::transform(values.begin(), values.end(), values.begin(), f);
  return cast(from_vector(values, y.shape(), y.device()), y.dtype());
}

}  // namespace

Array preimage(const Activation& phi, const Array& y) {
  return each("preimage", phi, y, [&](double t) { return inverse(phi, t); });
}

Array chord_slopes(const Activation& phi, const Array& x) {
  const bool logistic = phi.op == Unary::sigmoid;
  const double at_zero = logistic ? 0.5 : 0.0, slope_at_zero = logistic ? 0.25 : 1.0;
  return each("chord_slopes", phi, x, [&](double t) {
    return t == at_zero ? slope_at_zero : (t - at_zero) / inverse(phi, t);
  });
}

Array adaptive_step(const Array& a, const Array& x, const Activation& phi, const Array& slopes,
                    double gamma) {
  const Tensor examples(x);
  const Tensor residual =
      (examples - linear(examples, Tensor(a), {}, phi)) * gamma / Tensor(slopes);
  return (Tensor(a) + matmul(transpose(residual), examples)).array();
}

double adaptive_rate_bound(const Array& x) {
  const Tensor rows(x);
  const double ratio = max(max(rows, {1}) / min(rows, {1}), {0}).item();
  return 1 / (static_cast<double>(x.dim(0) * x.dim(1)) * ratio);
}

double infinite_width_eigenvalue(double norm) {
  const double square = norm * norm;
  return std::isinf(square) ? 1 : square / (square + 1);
}

double forced_zeros(int64_t side, int64_t depth) {
  int64_t near = 0;
  for (int64_t i = 0; i < side; ++i)
    for (int64_t j = 0; j < side; ++j) near += std::abs(i - j) <= depth;
  return static_cast<double>(side * side * side * side - near * near);
}

PiecewiseLinear::PiecewiseLinear(const Array& points, double allowed) : epsilon(allowed) {
  check_examples("piecewise linear autoencoder", points);
  const std::vector<double> all = points.to_vector<double>();
  const auto d = static_cast<size_t>(points.dim(1));
  for (size_t c = 0; c < d; ++c) {
    std::vector<double> v;
    for (size_t i = c; i < all.size(); i += d) v.push_back(all[i]);
    std::sort(v.begin(), v.end());
    v.erase(std::unique(v.begin(), v.end()),
            v.end());  // coordinates that examples share count once
    require(!v.empty(), "piecewise linear autoencoder: no points");
    double gap = 2 * std::min(v.front(), 1 - v.back());
    if (v.size() > 1) gap = 1;
    for (size_t i = 1; i < v.size(); ++i) gap = std::min(gap, v[i] - v[i - 1]);
    delta.push_back(gap / 4);
    require(epsilon > 0 && epsilon <= delta[c] && v.front() > delta[c] && v.back() < 1 - delta[c],
            "piecewise linear autoencoder: in coordinate ", c, " epsilon ", epsilon,
            " must be in (0, delta] and all ",
            "values in (delta, 1 - delta) with delta = ", delta[c],
            "; use a smaller epsilon or rescale the points");
    values.push_back(v);
  }
}

std::vector<PiecewiseLinear::Piece> PiecewiseLinear::pieces(size_t c) const {
  const std::vector<double>& v = values[c];
  const double h = delta[c];
  std::vector<Piece> result{{0, (v[0] - h + epsilon) / (v[0] - h), 0}};
  for (size_t i = 0; i < v.size(); ++i) {
    result.push_back({v[i] - h, 1 - epsilon / h, v[i] - h + epsilon});
    const double begin = v[i] + h, end = i + 1 < v.size() ? v[i + 1] - h : 1;
    const double rise = end - begin + (i + 1 < v.size() ? 2 : 1) * epsilon;
    result.push_back({begin, rise / (end - begin), begin - epsilon});
  }
  return result;
}

double PiecewiseLinear::operator()(size_t coordinate, double x) const {
  const std::vector<Piece> all = pieces(coordinate);
  size_t i = all.size() - 1;
  while (i > 0 && x < all[i].begin) --i;
  return all[i].value + all[i].slope * (x - all[i].begin);
}

Mlp PiecewiseLinear::network() const {
  const auto d = static_cast<int64_t>(values.size());
  std::vector<double> in, bias;
  std::vector<std::pair<int64_t, double>> out;  // coordinate and weight of each unit
  for (int64_t c = 0; c < d; ++c) {
    double slope = 0;
    for (const Piece& piece : pieces(static_cast<size_t>(c))) {
      for (int64_t k = 0; k < d; ++k) in.push_back(k == c ? 1 : 0);
      bias.push_back(-piece.begin);
      out.emplace_back(c, piece.slope - slope);
      slope = piece.slope;
    }
  }
  const auto units = static_cast<int64_t>(bias.size());
  std::vector<double> weights(static_cast<size_t>(d * units), 0.0);
  for (int64_t u = 0; u < units; ++u) {
    const auto& [coordinate, weight] = out[static_cast<size_t>(u)];
    weights[static_cast<size_t>(coordinate * units + u)] = weight;
  }
  Mlp mlp;
  mlp.activation = {Unary::relu};
  mlp.layers = {{Tensor(from_vector(in, {units, d})), Tensor(from_vector(bias, {units}))},
                {Tensor(from_vector(weights, {d, units})), {}}};
  return mlp;
}

}  // namespace basin::theory
