// The dynamics of shallow autoencoders: right-hand sides, trajectories and limits against values
// computed independently (NumPy and an eighth-order integrator at 1e-12; reference/online_sgd.json
// says how).
#include <doctest/doctest.h>

#include <cmath>

#include "experiments/online_sgd/theory/densities.h"
#include "experiments/online_sgd/theory/equations.h"
#include "tests/experiments/online_sgd/online_reference.h"
#include "tests/files.h"

using namespace basin;
using namespace basin::online;
using test::error_of;
using test::formula_start;
using test::has;
using test::Json;
using test::model_of;
using test::reference;

namespace {

Vector vector_of(const Json& values) {
  const std::vector<double> v = values;
  return Eigen::Map<const Vector>(v.data(), static_cast<int64_t>(v.size()));
}

Matrix matrix_of(const Json& rows) {
  Matrix m(rows.size(), rows[0].size());
  for (size_t i = 0; i < rows.size(); ++i)
    m.row(static_cast<int64_t>(i)) = vector_of(rows[i]).transpose();
  return m;
}

double difference(const Matrix& a, const Matrix& b) {
  REQUIRE(a.rows() == b.rows());
  REQUIRE(a.cols() == b.cols());
  return (a - b).cwiseAbs().maxCoeff();
}

/// The 20-dimensional case: weights in its eigenbasis.
struct Small {
  Spectrum spectrum;
  Weights weights;
  explicit Small(const Json& b) {
    const Matrix e = matrix_of(b["eigenvectors_columns"]);  // columns are eigenvectors
    spectrum.dimension = 20;
    spectrum.modes = vector_of(b["eigenvalues"]) / 20;
    weights = {matrix_of(b["W"]) * e, matrix_of(b["V"]) * e / std::sqrt(20.0), Vector::Zero(2)};
  }
};

/// All integrals of the equations agree with the reference to 1e-12 of the largest entry: sums of
/// at most 20 terms of order one, some of them averages by closed forms with an error of 1e-15.
constexpr double exact = 1e-12;

}  // namespace

TEST_CASE("order parameters, error and right-hand sides of a small case") {
  const Json& b = reference()["b_small_case"];
  Small small(b);
  const OrderParameters o = order_parameters(small.weights, small.spectrum);
  CHECK(difference(o.q1, matrix_of(b["Q1"])) < exact);
  CHECK(difference(o.r1, matrix_of(b["R1"])) < exact);
  CHECK(difference(o.t1, matrix_of(b["T1"])) < exact);
  CHECK(difference(o.t0, matrix_of(b["T0"])) < exact);
  for (const auto& [name, c] : b["cases"].items()) {
    const bool biased = c.contains("bias");
    small.weights.bias = biased ? vector_of(c["bias"]) : Vector(Vector::Zero(2));
    for (const std::string& rule : {std::string("vanilla"), std::string("truncated")}) {
      const Model m =
          model_of(name == "relu_bias" ? "relu" : name,
                   rule == "vanilla" ? Rule::vanilla : Rule::truncated, b["eta"], 20, biased);
      const std::string what = name + ", " + rule;
      CAPTURE(what);
      CHECK(population_error(small.weights, small.spectrum, m.g) ==
            doctest::Approx(c["pmse"]).epsilon(exact));
      CHECK(error_by_mode(small.weights, small.spectrum, m.g).sum() ==
            doctest::Approx(c["pmse"]).epsilon(exact));
      const Json& expected = c[rule];
      const Weights v = velocity(m, small.weights, small.spectrum);
      CHECK(difference(v.encoder, matrix_of(expected["domega"])) < exact * 10);
      CHECK(difference(v.decoder, matrix_of(expected["dupsilon"])) < exact * 10);
      if (biased) CHECK(difference(v.bias, vector_of(expected["dbias"])) < exact * 10);
    }
  }
}

TEST_CASE("the published density equations say the same as those of the weights") {
  const Json& b = reference()["b_small_case"];
  const Small small(b);
  for (const std::string g : {"erf", "linear", "relu"})
    for (const Rule rule : {Rule::vanilla, Rule::truncated}) {
      const Model m = model_of(g, rule, 0.7, 20);
      CAPTURE(g);
      const Weights v = velocity(m, small.weights, small.spectrum);
      const Densities d = densities(small.weights);
      CHECK(population_error(d, small.spectrum, m.g) ==
            doctest::Approx(population_error(small.weights, small.spectrum, m.g)).epsilon(exact));
      for (const Coefficients form : {Coefficients::stein, Coefficients::determinant}) {
        const Densities dd = velocity(m, d, small.spectrum, form);
        for (int64_t i = 0; i < 20; ++i) {
          const auto outer = [&](const Matrix& x, const Matrix& y) -> Matrix {
            return x.col(i) * y.col(i).transpose();
          };
          const Weights& w = small.weights;
          const auto at = static_cast<size_t>(i);
          CHECK(difference(dd.q[at], outer(v.encoder, w.encoder) + outer(w.encoder, v.encoder)) <
                1e-11);
          CHECK(difference(dd.r[at], outer(v.decoder, w.encoder) + outer(w.decoder, v.encoder)) <
                1e-11);
          CHECK(difference(dd.t[at], outer(v.decoder, w.decoder) + outer(w.decoder, v.decoder)) <
                1e-11);
        }
      }
    }
}

TEST_CASE("velocity is the downhill gradient of the error") {
  const Small small(reference()["b_small_case"]);
  Weights w = small.weights;
  w.bias << 0.3, -0.2;
  for (const std::string g : {"erf", "linear", "relu"}) {
    const Model m = model_of(g, Rule::vanilla, 1, 20, true);
    const Weights v = velocity(m, w, small.spectrum);
    // A direction by formula; the central difference of the error along it.
    Weights along = formula_start(small.spectrum, 2);
    along.bias << 0.4, 0.7;
    const double h = 1e-5;
    const auto moved = [&](double by) {
      return population_error({w.encoder + by * along.encoder, w.decoder + by * along.decoder,
                               w.bias + by * along.bias},
                              small.spectrum, m.g);
    };
    const double slope = (moved(h) - moved(-h)) / (2 * h);
    const double expected = -(v.encoder.cwiseProduct(along.encoder).sum() +
                              v.decoder.cwiseProduct(along.decoder).sum() + v.bias.dot(along.bias));
    CHECK(slope == doctest::Approx(expected).epsilon(1e-8));  // h^2 and rounding over h: both 1e-10
  }
}

TEST_CASE("trajectories of three units at D = 1000") {
  const Json& common = reference()["cd_common"];
  const Spectrum all = Spectrum::canonical(1000, 3);
  CHECK(difference(all.modes.head(3), vector_of(common["rt_spikes"])) < 1e-16);
  for (int64_t k = 0; k < 4; ++k)
    CHECK(all.pca_error(k) ==
          doctest::Approx(common["PCA_errors_k0..3"][static_cast<size_t>(k)]).epsilon(exact));
  const std::vector<double> times = common["t"];
  const Lumped few = lump(formula_start(all, 3), all, 3);
  CHECK(few.spectrum.modes.size() == 9);
  const std::vector<std::pair<std::string, Model>> cases{
      {"c_trajectory_erf_vanilla", model_of("erf", Rule::vanilla, 1, 1000)},
      {"c2_trajectory_linear_vanilla", model_of("linear", Rule::vanilla, 1, 1000)},
      {"c3_trajectory_relu_vanilla", model_of("relu", Rule::vanilla, 1, 1000)},
      {"d_trajectory_erf_truncated", model_of("erf", Rule::truncated, 1, 1000)},
      {"d2_trajectory_linear_truncated", model_of("linear", Rule::truncated, 1, 1000)}};
  for (const auto& entry : cases)
    for (const bool implicit : {true, false}) {
      const std::string& name = entry.first;
      CAPTURE(name);
      IntegrateOptions options;
      options.implicit = implicit;
      options.relative = implicit ? 1e-9 : 1e-10, options.absolute = options.relative * 1e-3;
      const Trajectory path = solve(entry.second, few.weights, few.spectrum, times, options);
      REQUIRE(path.failure == "");
      REQUIRE(path.weights.size() == times.size());
      const Json& expected = reference()[name];
      double worst = 0;
      for (size_t i = 0; i < times.size(); ++i) {
        worst = std::max(worst,
                         std::abs(population_error(path.weights[i], few.spectrum, entry.second.g) -
                                  expected["pmse"][i].get<double>()));
        const OrderParameters o = order_parameters(path.weights[i], few.spectrum);
        for (const auto& [key, m] :
             {std::pair{"Q1_diag", o.q1}, {"R1_diag", o.r1}, {"T1_diag", o.t1}, {"T0_diag", o.t0}})
          worst = std::max(worst, difference(m.diagonal(), vector_of(expected[key][i])));
      }
      CHECK(worst < 1e-6);
    }
}

TEST_CASE("a trajectory with trained biases, all modes and lumped ones") {
  const Json& c = reference()["c4_trajectory_relu_bias"];
  const Spectrum all = [&] {
    Spectrum s;
    s.dimension = 200;
    s.modes = Vector::Constant(200, c["rt_bulk_each"]);
    s.modes.head(2) = vector_of(c["rt_spikes"]);
    return s;
  }();
  Weights start = formula_start(all, 3);
  start.bias = vector_of(c["bias0"]);
  const Model m = model_of("relu", Rule::vanilla, 1, 200, true);
  const Lumped few = lump(start, all, 2);
  const std::vector<double> times = c["t"];
  const Trajectory path = solve(m, few.weights, few.spectrum, times);
  IntegrateOptions krylov;  // 1,206 unknowns: no dense Jacobian
  const Trajectory whole = solve(m, start, all, times, krylov);
  REQUIRE(path.failure == "");
  REQUIRE(whole.failure == "");
  for (size_t i = 0; i < times.size(); ++i) {
    CHECK(std::abs(population_error(path.weights[i], few.spectrum, m.g) -
                   c["pmse"][i].get<double>()) < 1e-6);
    CHECK(std::abs(population_error(whole.weights[i], all, m.g) - c["pmse"][i].get<double>()) <
          1e-6);
    CHECK(difference(path.weights[i].bias, vector_of(c["bias"][i])) < 1e-6);
  }
}

TEST_CASE("the reduced equations, the best decoder and the tied minimum") {
  const Json& r = reference()["reduced_erf"];
  const Aligned one;
  IntegrateOptions options;
  options.relative = 1e-11, options.absolute = 1e-14;
  const std::vector<double> times = r["t"];
  const Path path = integrate(
      [&](double, const Vector& y, Vector& dy) {
        const auto [w, v] = one.velocity(y[0], y[1]);
        dy << w, v;
      },
      Vector::Ones(2), times, options);
  REQUIRE(path.failure == "");
  for (size_t i = 0; i < times.size(); ++i) {
    CHECK(path.states[i][0] == doctest::Approx(r["alpha_W"][i]).epsilon(1e-6));
    CHECK(path.states[i][1] == doctest::Approx(r["alpha_V"][i]).epsilon(1e-6));
    CHECK(one.excess(path.states[i][0], path.states[i][1]) ==
          doctest::Approx(r["excess_pmse"][i]).epsilon(1e-6));
  }
  // The law of long times: one per cent at t = 1e6, as its next term says.
  CHECK(one.late_alpha_w(1, 1e6) == doctest::Approx(path.states.back()[0]).epsilon(0.01));
  CHECK(one.late_excess(1, 1e6) == doctest::Approx(r["excess_pmse"].back()).epsilon(0.01));
  for (const Json& star : r["alphaV_star"]) {
    Aligned at_rt;
    at_rt.rt = star["rho_tilde"];
    const double alpha_w = star["alpha_W"], best = at_rt.best_decoder(alpha_w);
    CHECK(best == doctest::Approx(star["alpha_V_star"]).epsilon(1e-10));
    CHECK(at_rt.excess(alpha_w, best) ==
          doctest::Approx(star["f_min"]).epsilon(1e-7));  // a difference of order-one terms
  }
  for (const Json& c : reference()["tied_erf_K1_minimum"]["cases"]) {
    const auto [at, least] = tied_minimum(c["rho_tilde"], c["D"]);
    CHECK(at == doctest::Approx(c["c_star"]).epsilon(1e-6));  // flat there: half of the digits
    CHECK(least == doctest::Approx(c["f_min"]).epsilon(1e-10));
  }
}

TEST_CASE("what the dynamics refuse") {
  CHECK(has(error_of([] { Spectrum::spiked(2, Vector::Ones(3), 0.1); }),
            "3 spikes need a dimension of as many or more"));
  CHECK(
      has(error_of([] { Spectrum::spiked(5, -Vector::Ones(2), 0.1); }), "no negative eigenvalues"));
  CHECK(has(error_of([] {
              integrate([](double, const Vector&, Vector&) {}, Vector::Ones(1), {0, 1, 1});
            }),
            "must rise"));
  const Spectrum s = Spectrum::canonical(50, 3);
  Weights same = formula_start(s, 2);
  same.encoder.row(1) = same.encoder.row(0);
  CHECK(has(error_of([&] {
              velocity(model_of("erf", Rule::vanilla, 1, 50), densities(same), s,
                       Coefficients::determinant);
            }),
            "of units 0 and 1 is singular"));
  // An explosion is reported with the time it came to, and what came before is kept.
  const Path path = integrate([](double, const Vector& y, Vector& dy) { dy = y.cwiseProduct(y); },
                              Vector::Ones(1), {0, 0.5, 0.9, 2});  // y = 1 / (1 - t)
  CHECK(path.states.size() == 3);
  CHECK(path.states[2][0] == doctest::Approx(10).epsilon(1e-6));
  CHECK(has(path.failure, "stopped at t = "));
}
