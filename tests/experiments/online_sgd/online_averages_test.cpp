// Gaussian averages of hidden units against independent quadrature values, against quadrature of
// our own, and in the limits where units are copies of each other or do not vary.
#include "experiments/online_sgd/theory/averages.h"

#include <doctest/doctest.h>

#include <array>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/files.h"

using namespace basin;
using namespace basin::online;
using nlohmann::json;
using test::error_of;
using test::has;

namespace {

/// Values by composite Gauss-Legendre quadrature with the kinks on panel edges, which knows no
/// closed form.
const json& reference() {
  static const json values = [] {
    std::ifstream file(std::string(BASIN_TEST_DATA) + "/reference/online_sgd.json");
    REQUIRE(file);
    return json::parse(file).at("a_integrals");
  }();
  return values;
}
constexpr double reference_tolerance = 1e-10;

Vector vector(const json& values) {
  const auto v = values.get<std::vector<double>>();
  return Eigen::Map<const Vector>(v.data(), static_cast<Eigen::Index>(v.size()));
}

Matrix matrix(const json& rows) {
  Matrix m(rows.size(), rows.at(0).size());
  for (size_t i = 0; i < rows.size(); ++i)
    m.row(static_cast<Eigen::Index>(i)) = vector(rows[i]).transpose();
  return m;
}

Matrix covariance(double q11, double q22, double q12) {
  return (Matrix(2, 2) << q11, q12, q12, q22).finished();
}

Vector two(double first, double second) {
  return Eigen::Vector2d(first, second);
}

/// The largest difference over all averages.
double difference(const Averages& a, const Averages& b) {
  double worst = 0;
  const auto compare = [&](const Matrix& x, const Matrix& y) {
    REQUIRE(x.rows() == y.rows());
    REQUIRE(x.allFinite());
    REQUIRE(y.allFinite());
    worst = std::max(worst, (x - y).cwiseAbs().maxCoeff());
  };
  compare(a.slope, b.slope);
  compare(a.curvature, b.curvature);
  compare(a.third, b.third);
  compare(a.product, b.product);
  compare(a.slope_product, b.slope_product);
  compare(a.slope_value, b.slope_value);
  compare(a.curvature_value, b.curvature_value);
  return worst;
}

Transfer by_quadrature(const std::string& name, int nodes) {
  const Transfer closed(name);
  return Transfer(
      name + " by quadrature", [closed](double x) { return closed.value(x); },
      [closed](double x) { return closed.slope(x); }, nodes);
}

}  // namespace

TEST_CASE("the averages of the published equations, degenerate covariances included") {
  using Average = double (*)(const Transfer&, const Matrix&);
  const std::vector<std::pair<std::string, Average>> pairs{
      {"J2", average_j2}, {"I2", average_i2}, {"I21", average_i21}, {"I22", average_i22}};
  for (const std::string name : {"erf", "linear", "relu"}) {
    CAPTURE(name);
    const Transfer g(name);
    const json& expected = reference().at("values").at(name);
    for (const auto& [what, average] : pairs) {
      const std::string& which = what;  // clang captures no structured bindings
      CAPTURE(which);
      for (size_t i = 0; i < reference().at("C2").size(); ++i) {
        CAPTURE(i);
        CHECK(std::abs(average(g, matrix(reference()["C2"][i])) -
                       expected.at(what)[i].get<double>()) < reference_tolerance);
      }
    }
    for (size_t i = 0; i < reference().at("C3").size(); ++i) {
      CAPTURE(i);
      CHECK(std::abs(average_i3(g, matrix(reference()["C3"][i])) -
                     expected.at("I3")[i].get<double>()) < reference_tolerance);
    }
  }
}

TEST_CASE("averages with derivatives of g, no bias") {
  const json& section = reference().at("stein_coefficients");
  for (const std::string name : {"erf", "relu"}) {
    CAPTURE(name);
    for (size_t i = 0; i < section.at("C2").size(); ++i) {
      CAPTURE(i);
      const Averages a = averages(Transfer(name), matrix(section["C2"][i]), Vector::Zero(2));
      const auto check = [&](const std::string& what, double value) {
        CAPTURE(what);
        CHECK(std::abs(value - section.at(name).at(what)[i].get<double>()) < reference_tolerance);
      };
      check("P", a.slope_product(0, 1));
      check("S", a.curvature_value(0, 1));
      if (name == "relu") continue;
      check("m", a.slope[0]);
      check("h", a.third[0]);
    }
  }
}

TEST_CASE("relu with a bias") {
  for (const json& one : reference().at("relu_bias").at("cases")) {
    const Matrix c = matrix(one.at("C"));
    const Vector b = vector(one.at("b"));
    CAPTURE(one.dump());
    const Averages a = averages(Transfer("relu"), c, b);
    const std::vector<std::pair<std::string, double>> values{
        {"m", a.slope[0]},          {"e2", a.curvature[0]},       {"h", a.third[0]},
        {"I2", a.product(0, 1)},    {"P", a.slope_product(0, 1)}, {"B12", a.slope_value(0, 1)},
        {"I2_11", a.product(0, 0)}, {"B21", a.slope_value(1, 0)}, {"S12", a.curvature_value(0, 1)}};
    for (const auto& [what, value] : values) {
      const std::string& which = what;
      CAPTURE(which);
      CHECK(std::abs(value - one.at(what).get<double>()) < reference_tolerance);
    }
    // The forms without a bias are those with one in the limit. Nothing here is steeper than 1 /
    // s^3 in the bias.
    const Transfer relu("relu");
    CHECK(difference(averages(relu, c, Vector::Zero(2)), averages(relu, c, two(1e-12, 1e-12))) <
          1e-10);
  }
}

TEST_CASE("a linear unit with a bias") {
  const Averages a = averages(Transfer("linear"), covariance(0.5, 2, 0.3), two(1, -3));
  CHECK(a.product == (Matrix(2, 2) << 1.5, -2.7, -2.7, 11).finished());
  CHECK(a.slope_value == (Matrix(2, 2) << 1, -3, 1, -3).finished());
  CHECK(a.slope == Vector::Ones(2));
  CHECK(a.slope_product == Matrix::Ones(2, 2));
  CHECK(a.curvature_value == Matrix::Zero(2, 2));
  const Transfer x(
      "x", [](double l) { return l; }, [](double) { return 1.0; }, 8);
  CHECK(difference(a, averages(x, covariance(0.5, 2, 0.3), two(1, -3))) < 1e-12);
}

TEST_CASE("a function that only has quadrature, by its example erf") {
  const Transfer erf("erf"), numeric = by_quadrature("erf", 48);
  for (const double variance : {0.01, 0.3, 1.0, 2.0, 4.0}) {
    for (const double c : {0.0, 0.6, -0.6, 0.999, 1.0, -1.0}) {
      CAPTURE(variance);
      CAPTURE(c);
      const Matrix q = covariance(variance, variance, c * variance);
      // Along either variable of the rule the integrand falls like exp(-variance z^2 / 2) or
      // slower. Polynomials of degree 95, which the rule integrates exactly, follow that to
      // rounding up to a variance of 2 and to 5e-9 at 4.
      const double tolerance = variance > 2 ? 1e-8 : 1e-12;
      CHECK(difference(averages(erf, q, Vector::Zero(2)), averages(numeric, q, Vector::Zero(2))) <
            tolerance);
      CHECK(difference(averages(erf, q, two(0.7, -1.2)), averages(numeric, q, two(0.7, -1.2))) <
            tolerance);
    }
  }
  // Unequal units, and three of them, so that rows and columns cannot be exchanged unseen.
  const Matrix w = (Matrix(3, 3) << 1.2, -0.3, 0.4, 0.1, 0.5, -0.2, 0.0, 0.3, 0.9).finished();
  const Matrix q = w * w.transpose();
  const Vector b = Eigen::Vector3d(-0.4, 1.1, 0.2);
  CHECK(difference(averages(erf, q, b), averages(numeric, q, b)) < 1e-12);
  const Averages a = averages(numeric, q, b);
  CHECK(std::abs(a.slope_value(0, 1) - a.slope_value(1, 0)) > 1e-2);
  CHECK(std::abs(a.curvature_value(0, 1) - a.curvature_value(1, 0)) > 1e-2);
  // A derivative by the mean of one unit is the average with one more derivative of its g.
  const double h = 1e-5;
  for (const Transfer& g : {erf, Transfer("relu"), numeric}) {
    CAPTURE(g.name());
    const Vector step = h * Vector::Unit(3, 1);
    const Averages at = averages(g, q, b), up = averages(g, q, b + step),
                   down = averages(g, q, b - step);
    CHECK(std::abs((up.product(1, 2) - down.product(1, 2)) / (2 * h) - at.slope_value(1, 2)) <
          1e-9);
    CHECK(std::abs((up.slope_value(1, 2) - down.slope_value(1, 2)) / (2 * h) -
                   at.curvature_value(1, 2)) < 1e-9);
    CHECK(std::abs((up.slope_value(2, 1) - down.slope_value(2, 1)) / (2 * h) -
                   at.slope_product(1, 2)) < 1e-9);
    CHECK(std::abs((up.slope[1] - down.slope[1]) / (2 * h) - at.curvature[1]) < 1e-9);
    CHECK(std::abs((up.curvature[1] - down.curvature[1]) / (2 * h) - at.third[1]) < 1e-9);
  }
}

TEST_CASE("units that are multiples of each other") {
  for (const Transfer& g :
       {Transfer("linear"), Transfer("erf"), Transfer("relu"), by_quadrature("erf", 48)}) {
    CAPTURE(g.name());
    for (const double bias : {0.0, 0.4}) {
      CAPTURE(bias);
      // Copies: a pair is a unit with itself.
      const Averages a = averages(g, Matrix::Constant(2, 2, 0.7), two(bias, bias));
      for (const Matrix* m : {&a.product, &a.slope_product, &a.slope_value, &a.curvature_value}) {
        CHECK(m->allFinite());
        CHECK((m->array() - (*m)(0, 0)).abs().maxCoeff() < 1e-14);
      }
      for (const double factor : {1.0, -1.0, 1 / 3.0, -2.5}) {
        CAPTURE(factor);
        const auto at = [&](double c) {
          return averages(g, covariance(0.7, 0.7 * factor * factor, c * 0.7 * factor),
                          two(bias, -0.3 * bias));
        };
        // 1 - c = 1e-10 leaves sqrt(1 - c^2) = 1e-5, of which relu averages are linear functions.
        CHECK(difference(at(1), at(1 - 1e-10)) < 2e-5);
        // A change of the covariance by rounding changes no more than rounding does.
        CHECK(difference(at(1), at(1 + 4e-16)) < 1e-13);
        CHECK(difference(at(1), at(1 - 4e-16)) < 1e-13);
      }
    }
  }
  const Averages copies = averages(Transfer("relu"), covariance(0.7, 2.8, 1.4), Vector::Zero(2));
  CHECK(std::abs(copies.product(0, 1) - 0.7) < 1e-14);  // E max(0, x)^2 times 2
  CHECK(std::abs(copies.slope_product(0, 1) - 0.5) < 1e-14);
  CHECK(copies.curvature_value == Matrix::Zero(2, 2));
  const Averages opposites =
      averages(Transfer("relu"), covariance(0.7, 2.8, -1.4), Vector::Zero(2));
  for (const Matrix* m : {&opposites.product, &opposites.slope_product, &opposites.slope_value})
    CHECK(std::abs((*m)(0, 1)) < 1e-15);
}

TEST_CASE("units that do not vary") {
  for (const Transfer& g :
       {Transfer("linear"), Transfer("erf"), Transfer("relu"), by_quadrature("erf", 48)}) {
    CAPTURE(g.name());
    for (const double other : {0.5, 0.0}) {
      CAPTURE(other);
      const auto at = [&](double variance) {
        return averages(g, covariance(variance, other, 0), two(0.3, -0.2));
      };
      const Averages none = at(0);
      CHECK(std::abs(none.product(0, 0) - g.value(0.3) * g.value(0.3)) < 1e-14);
      CHECK(std::abs(none.slope[0] - g.slope(0.3)) < 1e-14);
      CHECK(difference(none, at(1e-12)) < 1e-10);
      CHECK(difference(none, at(1e-320)) == 0);
    }
    const Averages nothing = averages(g, Matrix::Zero(2, 2), Vector::Zero(2));
    CHECK(difference(nothing, nothing) == 0);  // all of it finite
  }
  // For E g''' quadrature takes a small variance instead of none.
  const double b = 0.3, third = Transfer("erf").slope(b) * (b * b - 1);
  const auto h = [&](const Transfer& g) {
    return averages(g, Matrix::Zero(1, 1), Vector::Constant(1, b)).third[0];
  };
  CHECK(std::abs(h(Transfer("erf")) - third) < 1e-15);
  CHECK(std::abs(h(by_quadrature("erf", 48)) - third) < 1e-7);
  // A relu unit at its kink: half its slopes are one.
  const Averages relu = averages(Transfer("relu"), covariance(0, 2, 0), Vector::Zero(2));
  CHECK(relu.slope[0] == 0.5);
  CHECK(relu.slope_product(0, 0) == 0.5);
  CHECK(relu.slope_product(0, 1) == 0.25);
  CHECK(relu.product(0, 1) == 0);
  CHECK(std::abs(relu.slope_value(0, 1) - std::sqrt(2 / (8 * std::acos(-1.0)))) < 1e-15);
  CHECK(relu.curvature_value(0, 1) == 0);
}

TEST_CASE("what is no covariance is refused") {
  const Transfer g("erf");
  const auto error = [&](const Matrix& q, const Vector& b) {
    return error_of([&] { averages(g, q, b); });
  };
  CHECK(has(error(Matrix::Identity(2, 2), Vector::Zero(3)), "a covariance of 2 x 2 and 3 biases"));
  CHECK(has(error(Matrix::Identity(2, 3), Vector::Zero(2)), "a covariance of 2 x 3 and 2 biases"));
  CHECK(has(error(covariance(1, -0.1, 0), Vector::Zero(2)), "unit 1 has variance -0.1"));
  CHECK(has(error(covariance(std::nan(""), 1, 0), Vector::Zero(2)), "unit 0 has variance nan"));
  CHECK(has(error(covariance(1, 1, 0), two(0, INFINITY)), "unit 1 has bias inf"));
  Matrix q = Matrix::Identity(4, 4);
  q(3, 1) = q(1, 3) = 1.000001;
  CHECK(has(error(q, Vector::Zero(4)), "units 1 and 3 have covariance 1"));
  q(3, 1) = q(1, 3) = std::nan("");
  CHECK(has(error(q, Vector::Zero(4)), "units 1 and 3 have covariance nan"));
  q(3, 1) = q(1, 3) = -(1 + 1e-10);  // rounding
  CHECK(error(q, Vector::Zero(4)) == "no error");
  CHECK(has(error_of([&] { average_i3(g, Matrix::Identity(2, 2)); }),
            "I3 needs a covariance of 3 variables, not 2 x 2"));
  CHECK(has(error_of([&] { average_i2(g, covariance(1, 1, 2)); }), "units 0 and 1"));
  CHECK(has(error_of([&] { average_j2(by_quadrature("erf", 8), Matrix::Identity(2, 2)); }),
            "not for erf by quadrature"));
  CHECK(has(error_of([] { Transfer("tanh"); }), "no hidden unit is called tanh"));
  CHECK(has(error_of([] { Transfer("f", nullptr, nullptr); }),
            "f needs a function and its derivative"));
  CHECK(has(error_of([] { by_quadrature("erf", 1); }), "at least 2 nodes, not 1"));
  CHECK(has(error_of([] { gauss_hermite(0); }), "with 0 nodes"));
  CHECK(has(error_of([] { bivariate_normal(0, 0, 1.1); }), "a correlation of 1.1"));
}

TEST_CASE("the bivariate normal distribution function") {
  // h, k, c and the probability by quadrature in 30 digits.
  const std::vector<std::array<double, 4>> values{
      {0.3, -0.7, 0.5, 0.2065237797857390111},
      {1.2, 0.4, -0.95, 0.5403520759480521387},
      {0.5, 0.5001, 0.999999, 0.6912809411040509397},
      {-1.0, 1.0005, -0.999999, 0.0002054032351297466616},
      {-0.8, -2.1, 0.97, 0.01786442022915590094},
      {0, 0.7, 0.3, 0.416677393848614831}};
  for (const auto& row : values) {
    const double h = row[0], k = row[1], c = row[2], p = row[3];
    CAPTURE(h);
    CAPTURE(k);
    CAPTURE(c);
    CHECK(std::abs(bivariate_normal(h, k, c) - p) < 1e-15);
    CHECK(std::abs(bivariate_normal(k, h, c) - p) < 1e-15);
    // P(z1 < h) splits into z2 < k and -z2 < -k.
    const double one = 0.5 * std::erfc(-h / std::sqrt(2.0));
    CHECK(std::abs(bivariate_normal(h, -k, -c) - (one - p)) < 1e-15);
    CHECK(bivariate_normal(h, INFINITY, c) == one);
    CHECK(bivariate_normal(h, -INFINITY, c) == 0);
    CHECK(bivariate_normal(h, h, 1) == one);
    CHECK(bivariate_normal(h, -h, -1) == 0);
    CHECK(bivariate_normal(-40, h, c) >= 0);
  }
  for (const double c : {-1.0, -0.99999, -0.3, 0.0, 0.8, 1.0}) {
    CAPTURE(c);
    const double quadrant = 0.25 + std::asin(c) / (2 * std::acos(-1.0));
    for (const double h : {1e-300, -1e-300, 0.0, -0.0})
      for (const double k : {1e-300, -1e-300, 0.0, -0.0})
        CHECK(std::abs(bivariate_normal(h, k, c) - quadrant) < 1e-15);
  }
}

TEST_CASE("Gauss-Hermite rules integrate polynomials") {
  for (const int n : {1, 2, 5, 48, 150}) {
    CAPTURE(n);
    const GaussHermite rule = gauss_hermite(n);
    double moment = 1;  // E z^(2 j) = 1 3 5 ... (2 j - 1)
    for (int j = 0; j < std::min(n, 8); moment *= 2 * j + 1, ++j) {
      CAPTURE(j);
      double even = 0, odd = 0;
      for (Eigen::Index i = 0; i < n; ++i) {
        even += rule.weights[i] * std::pow(rule.nodes[i], 2 * j);
        odd += rule.weights[i] * std::pow(rule.nodes[i], 2 * j + 1);
      }
      CHECK(even == doctest::Approx(moment).epsilon(1e-13));
      CHECK(std::abs(odd) < 1e-12 * moment);
    }
  }
}
