// The formulas of the memorization paper against numbers computed independently (NumPy, double
// precision), and theorem 7's network against its formula.
#include "experiments/memorization/theory.h"

#include <doctest/doctest.h>

#include "autograd/transforms.h"
#include "experiments/memorization/construction.h"
#include "models/dynamics/dynamics.h"
#include "models/dynamics/spectrum.h"
#include "tests/files.h"

using namespace basin;
using test::error_of;
using test::has;

namespace {

double difference(const Tensor& a, const std::vector<double>& b) {
  const std::vector<double> x = a.array().to_vector<double>();
  REQUIRE(x.size() == b.size());
  double worst = 0;
  for (size_t i = 0; i < x.size(); ++i) worst = std::max(worst, std::abs(x[i] - b[i]));
  return worst;
}

// Columns are examples; rate 0.1 from zero.
const std::vector<double> linear_x{1.0, 0.0, 0.5, 1.0, -1.0, 2.0, 0.0, -0.5};
const std::vector<double> linear_s{1.0,  0.5, -1.0, 0.0,  0.5, 1.25, 1.5,  -0.5,
                                   -1.0, 1.5, 5.0,  -1.0, 0.0, -0.5, -1.0, 0.25};
const std::vector<double> linear_a1{
    0.1, 0.05, -0.1, 0.0,   0.05, 0.125, 0.15000000000000002, -0.05, -0.1, 0.15000000000000002,
    0.5, -0.1, 0.0,  -0.05, -0.1, 0.025};
const std::vector<double> linear_a2{0.17750000000000002,
                                    0.10375000000000001,
                                    -0.14750000000000002,
                                    -0.0075000000000000015,
                                    0.10375000000000001,
                                    0.206875,
                                    0.20625000000000002,
                                    -0.0775,
                                    -0.14750000000000002,
                                    0.20625000000000002,
                                    0.7075,
                                    -0.14,
                                    -0.0075000000000000015,
                                    -0.0775,
                                    -0.14,
                                    0.036875};
const std::vector<double> linear_a10{
    0.4604362308563809,   0.3503985775183721,  -0.22007530667601735, -0.06009023104509087,
    0.3503985775183722,   0.45536482648029425, 0.20993249792384436,  -0.1400827688605541,
    -0.22007530667601743, 0.20993249792384439, 0.8600156091997234,   -0.15998507563092654,
    -0.06009023104509088, -0.1400827688605541, -0.1599850756309265,  0.05501882666900433};
const std::vector<double> linear_a200{
    0.5490196078431372,   0.4313725490196075,  -0.2352941176470587, -0.07843137254901962,
    0.4313725490196076,   0.5294117647058822,  0.19607843137254902, -0.15686274509803913,
    -0.23529411764705901, 0.19607843137254927, 0.8627450980392155,  -0.15686274509803932,
    -0.07843137254901952, -0.1568627450980392, -0.1568627450980392, 0.05882352941176466};
const std::vector<double> linear_p{
    0.5490196078431373,   0.43137254901960786, -0.23529411764705893, -0.07843137254901959,
    0.43137254901960786,  0.5294117647058824,  0.196078431372549,    -0.1568627450980392,
    -0.23529411764705888, 0.196078431372549,   0.8627450980392157,   -0.1568627450980392,
    -0.0784313725490196,  -0.1568627450980392, -0.1568627450980392,  0.058823529411764705};
// Columns are examples; constant rate 1, adaptive gamma 0.1.
const std::vector<double> sigmoid_x{0.6, 0.9, 0.7, 0.6, 0.8, 0.75};
const std::vector<double> sigmoid_slopes{0.2466303462376432,  0.18204784532536747,
                                         0.23604450022876572, 0.2466303462376432,
                                         0.21640425613334452, 0.22755980665670938};
const std::vector<double> sigmoid_constant_1{
    0.10500000000000001, 0.0775,  0.095, 0.052499999999999984, 0.04999999999999999,
    0.05874999999999999, 0.10125, 0.09,  0.10687500000000001};
const std::vector<double> sigmoid_adaptive_1{
    0.22207811844674963, 0.16021603220774466, 0.19722905194886964,
    0.08732973135296698, 0.0836387567135941,  0.0981937119390886,
    0.1820527676473233,  0.16295734259847894, 0.19329947053969948};
const std::vector<double> sigmoid_constant_10{
    0.5065234541613941,  0.32140935188317543, 0.40582992757674113,
    0.21899089479255765, 0.23544928601841233, 0.2719477684838386,
    0.4448512127900331,  0.4099594878370765,  0.4841013566354154};
const std::vector<double> sigmoid_adaptive_10{
    0.741108690398402,   0.38701627223112306, 0.5105343872975234,
    0.22946577741204321, 0.2790417314065217,  0.3172860276418623,
    0.524715072500383,   0.5078831597104407,  0.5953356717938381};
const std::vector<double> sigmoid_b{5.020016383668147,    -2.1839201599434306, -1.3472507626654062,
                                    -0.9783642910693675,  1.0431766714476043,  0.8801159562693764,
                                    -0.40836338723230714, 1.1238405633934991,  1.0557799988547816};
const std::vector<double> sigmoid_y{1.0, -2.0, 0.5};
const std::vector<double> sigmoid_output{0.9998357951034265, 0.06756813057832224,
                                         0.10639031718269686};

}  // namespace

TEST_CASE("theory: the linear autoencoder along gradient descent, and its limit") {
  const Array x = contiguous(transpose(Tensor(from_vector(linear_x, {4, 2}))).array());
  CHECK(difference(theory::covariance(x), linear_s) < 1e-15);
  CHECK(difference(theory::trained_linear_map(x, 0.1, 1), linear_a1) < 1e-14);
  CHECK(difference(theory::trained_linear_map(x, 0.1, 2), linear_a2) < 1e-14);
  CHECK(difference(theory::trained_linear_map(x, 0.1, 10), linear_a10) < 1e-14);
  CHECK(difference(theory::trained_linear_map(x, 0.1, 200), linear_a200) < 1e-13);
  CHECK(difference(theory::projection(x), linear_p) < 1e-14);
  const Tensor examples(x);
  Tensor a(zeros({4, 4}, DType::f64));  // the engine's own gradient descent
  const auto loss = [&](const Tensor& map) {
    return squared_error(linear(examples, map, {}), examples, 0.5);
  };
  for (int t = 0; t < 10; ++t) a = a - grad(loss, a) * 0.1;
  CHECK(difference(a, linear_a10) < 1e-14);
}

TEST_CASE("theory: the nonlinear layer under both rates, and the least-norm solution") {
  const Activation phi{Unary::sigmoid};
  const Array x = contiguous(transpose(Tensor(from_vector(sigmoid_x, {3, 2}))).array());
  const Tensor examples(x);
  const auto loss = [&](const Tensor& map) {
    return squared_error(linear(examples, map, {}, phi), examples, 0.5);
  };
  Tensor constant(zeros({3, 3}, DType::f64)), adaptive = constant;
  const Array slopes = theory::chord_slopes(phi, x);
  CHECK(difference(transpose(Tensor(slopes)), sigmoid_slopes) < 1e-15);
  for (int t = 1; t <= 10; ++t) {
    constant = constant - grad(loss, constant) * 1.0;
    adaptive = theory::adaptive_step(adaptive.array(), x, phi, slopes, 0.1);
    if (t == 1) CHECK(difference(constant, sigmoid_constant_1) < 1e-15);
    if (t == 1) CHECK(difference(adaptive, sigmoid_adaptive_1) < 1e-15);
  }
  CHECK(difference(constant, sigmoid_constant_10) < 1e-14);
  CHECK(difference(adaptive, sigmoid_adaptive_10) < 1e-14);
  const Tensor b(theory::minimum_norm_map(x, theory::preimage(phi, x)));
  CHECK(difference(b, sigmoid_b) < 1e-12);
  CHECK(difference(linear(Tensor(from_vector(sigmoid_y, {1, 3})), b, {}, phi), sigmoid_output) <
        1e-12);
  const Tensor y(normal(Key(1), {5, 3}, DType::f64));
  for (const double r : theory::span_residuals(linear(y, b, {}).array(), theory::preimage(phi, x)))
    CHECK(r < 1e-12);
  CHECK(theory::span_residuals(y.array(), theory::preimage(phi, x))[0] > 1e-3);
  CHECK(has(error_of([&] { theory::preimage({Unary::relu}, x); }), "only for sigmoid and tanh"));
}

TEST_CASE("theory: preimage inverts tanh, and the limit of theorem 3") {
  const Array y = from_vector<double>({-0.9, -0.1, 0.0, 0.3, 0.95}, {5, 1});
  CHECK(difference(tanh(Tensor(theory::preimage({Unary::tanh}, y))), y.to_vector<double>()) <
        1e-15);
  CHECK(theory::infinite_width_eigenvalue(5) == doctest::Approx(25.0 / 26).epsilon(1e-15));
}

TEST_CASE(
    "theory: theorem 7's network is its formula, with attractors at the points and an error of "
    "epsilon") {
  const Array points = from_vector<double>({0.31, 0.52, 0.11, 0.9, 0.7}, {5, 1});
  const double delta = 0.18 / 4;  // gaps .2 .21 .18 .2
  const theory::PiecewiseLinear f(points, delta / 2);
  CHECK(f.delta[0] == doctest::Approx(delta));
  const Mlp net = f.network();
  CHECK(net.widths() == std::vector<int64_t>{1, 11, 1});  // 2 n + 1 units
  std::vector<double> grid, expected;
  for (int i = 0; i <= 10000; ++i)
    grid.push_back(i / 10000.0), expected.push_back(f(0, grid.back()));
  const Tensor x(from_vector(grid, {10001, 1}));
  CHECK(difference(net(x), expected) < 1e-12);
  double worst = 0;
  for (size_t i = 0; i < grid.size(); ++i) worst = std::max(worst, std::abs(expected[i] - grid[i]));
  CHECK(worst <= delta / 2 + 1e-12);
  CHECK(difference(net(Tensor(points)), points.to_vector<double>()) < 1e-14);
  for (const double slope : spectral_radius(net, Tensor(points)))
    CHECK(slope == doctest::Approx(0.5).epsilon(1e-9));
  const Array starts = uniform(Key(3), {200, 1}, DType::f64, 0.01, 0.99);
  IterateOptions options;
  options.max_iterations = 1000;
  const Nearest end = nearest(iterate(net, starts, options).points, points);
  CHECK(fraction_within(end, 1e-6) == 1);
}

TEST_CASE(
    "theory: theorem 7 in two dimensions makes every combination of coordinates a fixed point") {
  const Array points = from_vector<double>({0.2, 0.3, 0.8, 0.3, 0.5, 0.7},
                                           {3, 2});  // the second coordinate has two values
  const Mlp net = theory::PiecewiseLinear(points, 0.02).network();
  CHECK(net.widths() == std::vector<int64_t>{2, 7 + 5, 2});
  const std::vector<double> mixed{0.2, 0.7, 0.8, 0.7, 0.5, 0.3};
  CHECK(difference(net(Tensor(from_vector(mixed, {3, 2}))), mixed) < 1e-14);
  CHECK(has(error_of([&] { theory::PiecewiseLinear(points, 0.2); }), "must be in (0, delta]"));
  CHECK(has(error_of([&] {
              theory::PiecewiseLinear(from_vector<double>({0.001, 0.9}, {2, 1}), 0.01);
            }),
            "rescale"));
}

TEST_CASE(
    "theory: the construction takes random points of every key, all of them far enough apart") {
  int again = 0;
  for (uint64_t seed = 0; seed < 300; ++seed) {
    CAPTURE(seed);
    const Array points = spaced_points(Key(seed), 2, 2, 0.1);
    const theory::PiecewiseLinear f =
        piecewise_linear(points, 0.5);  // an error where a point lies too near to an end
    for (const std::vector<double>& v : f.values) {
      CHECK(v[0] >= 0.1);
      CHECK(v[1] - v[0] >= 0.1 - 1e-15);  // a difference of two rounded numbers below 1
      CHECK(v[1] <= 0.9 + 1e-15);
    }
    const std::vector<double> u =
        uniform(Key(seed).at(0).at("values"), {2}, DType::f64).to_vector<double>();
    again += std::abs(f.values[0][0] - (0.1 + 0.7 * std::min(u[0], u[1]))) > 1e-12;
  }
  CHECK(again > 0);  // the first draw of some keys does not fit, of most it does
  CHECK(again < 99);
  CHECK(has(error_of([&] { spaced_points(Key(0), 20, 1, 0.1); }), "use a smaller gap"));
}
