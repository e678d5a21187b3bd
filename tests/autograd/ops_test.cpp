// On the device of the run (tests/device.h). The list of operations is the list of checks: every
// sample of op_table() is differentiated to order 2 in f64 along random directions, forward against
// reverse against central differences.
#include <doctest/doctest.h>

#include <cmath>

#include "autograd/op.h"
#include "autograd/transforms.h"
#include "engine/allocator.h"
#include "tests/device.h"

using namespace basin;

namespace {

Tensors draw(const Sample& sample, const Key& key, double low, double high) {
  Tensors values;
  for (size_t i = 0; i < sample.shapes.size(); ++i)
    values.push_back(uniform(key.at(i), sample.shapes[i], DType::f64, low, high, test_device()));
  return values;
}

double dot(const Tensor& x, const Tensor& y) {
  return sum(x * y).item();
}

double dot(const Tensors& x, const Tensors& y) {
  double total = 0;
  for (size_t i = 0; i < x.size(); ++i) total += dot(x[i], y[i]);
  return total;
}

Tensors moved(const Tensors& x, const Tensors& v, double h) {
  Tensors result;
  for (size_t i = 0; i < x.size(); ++i) result.push_back(x[i] + v[i] * h);
  return result;
}

/// Checks a scalar function along v: reverse against forward, and both against a central
/// difference. With h = 1e-5 the truncation error is h^2 |f'''| / 6 and the rounding error eps |f|
/// / h: together below 1e-9 times the sizes of f and its derivatives on the intervals of the table
/// (third derivatives up to a few hundred): bound 2e-7. Forward and reverse are the same sums in
/// another order: 1e-11.
void check_derivative(const Function& f, const Tensors& x, const Tensors& v,
                      const std::string& what) {
  const double h = 1e-5;
  const double forward = jvp_flat(f, x, v).second.item();
  const double reverse = dot(value_and_grad_flat(f, x).second, v);
  const double numeric = (f(moved(x, v, h)).item() - f(moved(x, v, -h)).item()) / (2 * h);
  CAPTURE(what);
  const double size = 1 + std::abs(forward);
  CHECK(std::isfinite(forward));
  CHECK(std::abs(forward - reverse) <= 1e-11 * size);
  CHECK(std::abs(forward - numeric) <= 2e-7 * size);
}

void check_sample(const Sample& sample, const Key& key) {
  const double margin = 2e-5 * 4;  // central differences of second order move the point twice
  const Tensors x = draw(sample, key.at("x"), sample.low + margin, sample.high - margin);
  const Tensors v = draw(sample, key.at("v"), -1, 1), u = draw(sample, key.at("u"), -1, 1);
  const Tensor y = sample.call(x);
  const Tensor ct = uniform(key.at("ct"), y.shape(), DType::f64, -1, 1, test_device());

  // order 1: a random projection of the output
  const Function projected = [&](const Tensors& in) { return sum(sample.call(in) * ct); };
  check_derivative(projected, x, v, "first order");

  // the pullback against jvp: <ct, J v> = <J^T ct, v>
  const auto [value, pullback] = vjp_flat(sample.call, x);
  const Tensor pushed = jvp_flat(sample.call, x, v).second;
  CHECK(std::abs(dot(ct, pushed) - dot(pullback(ct), v)) <=
        1e-11 * (1 + std::abs(dot(ct, pushed))));

  // order 2, all four nestings: the derivative along u as a function of x
  const Function forward_slope = [&](const Tensors& in) {
    return jvp_flat(projected, in, u).second;
  };
  const Function reverse_slope = [&](const Tensors& in) {
    const Tensors g = value_and_grad_flat(projected, in).second;
    Tensor total = sum(g[0] * u[0]);
    for (size_t i = 1; i < g.size(); ++i) total = total + sum(g[i] * u[i]);
    return total;
  };
  check_derivative(forward_slope, x, v, "second order over forward");
  check_derivative(reverse_slope, x, v, "second order over reverse");
}

}  // namespace

TEST_CASE("every operation: derivatives to order 2, error samples, no leak") {
  const Key key(2026);
  for (const OpEntry& entry : op_table()) {
    CAPTURE(entry.name);
    REQUIRE_FALSE(entry.samples.empty());
    int good = 0;
    for (size_t i = 0; i < entry.samples.size(); ++i) {
      const Sample& sample = entry.samples[i];
      CAPTURE(sample.label);
      const size_t live = memory_stats(test_device()).live;
      if (sample.error.empty()) {
        ++good;
        check_sample(sample, key.at(entry.name).at(i));
      } else {
        const Tensors x = draw(sample, key, -1, 1);
        std::string message = "no error";
        try {
          (void)sample.call(x);
        } catch (const Error& error) {
          message = error.what();
          CHECK(error.exit_code() == 2);
        }
        CAPTURE(message);
        CHECK(message.find(sample.error) != std::string::npos);
      }
      CHECK(memory_stats(test_device()).live == live);
    }
    CHECK(good > 0);
  }
}

TEST_CASE("elementwise operations in f32 agree with f64, dense and strided") {
  // The formulas are the same; f32 rounds each of a handful of operations, with condition numbers
  // below 100 on the intervals.
  const double bound = 100 * 8 * 6e-8;
  for (const OpEntry& entry : op_table()) {
    const Sample& sample = entry.samples[0];
    if (sample.shapes.size() != 1 || sample.label != "dense") continue;
    CAPTURE(entry.name);
    const Tensors x = draw(sample, Key(7), sample.low, sample.high);
    const Tensor exact = sample.call({cast(cast(x[0], DType::f32), DType::f64)});
    const Tensor single = sample.call({cast(x[0], DType::f32)});
    CHECK(single.dtype() == DType::f32);
    const Tensor difference = abs(cast(single, DType::f64) - exact) / (abs(exact) + 1.0);
    CHECK(max(difference, {0, 1}).item() <= bound);
    const Tensor strided = transpose(sample.call({transpose(x[0])}));
    CHECK(max(abs(strided - sample.call(x)), {0, 1}).item() == 0);
  }
}

TEST_CASE("mixed dtypes and integer operands are refused with both operands named") {
  const Device& device = test_device();
  const Tensor x = zeros({2, 3}, DType::f32, device), y = zeros({2, 3}, DType::f64, device),
               i = zeros({2, 3}, DType::i32, device);
  const std::string where = device.is_cpu() ? "" : " " + device.name();
  CHECK_THROWS_WITH_AS(
      x + y,
      ("add: dtypes differ: f32[2, 3]" + where + " and f64[2, 3]" + where + "; cast one of them")
          .c_str(),
      Error);
  CHECK_THROWS_WITH_AS(
      tanh(i), ("tanh: needs f32 or f64, got i32[2, 3]" + where + "; cast first").c_str(), Error);
  CHECK_THROWS_AS(matmul(x, y), Error);
}

namespace {
/// Values of the elementwise operations (with the parameters of the table) at 0.75 and at a second
/// point, computed with Python's math module from the definitions: a formula that is wrong together
/// with its derivative is caught here.
constexpr struct {
  const char* name;
  double at_three_quarters, second_point, at_second_point;
} published[] = {
    {"unit_step", 1.0, -1.25, 0.0},
    {"leaky_step", 1.0, -1.25, 0.1},
    {"sign", 1.0, -1.25, -1.0},
    {"in_interval", 1.0, -1.25, 0.0},
    {"full_like", 0.7, -1.25, 0.7},
    {"is_finite", 1.0, -1.25, 1.0},
    {"identity", 0.75, -1.25, -1.25},
    {"neg", -0.75, -1.25, 1.25},
    {"mul_scalar", 1.275, -1.25, -2.125},
    {"div_scalar", 0.4411764705882353, -1.25, -0.7352941176470588},
    {"scalar_div", 2.2666666666666666, -1.25, -1.36},
    {"add_scalar", 1.05, -1.25, -0.95},
    {"exp", 2.117000016612675, -1.25, 0.2865047968601901},
    {"log", -0.2876820724517809, 0.375, -0.9808292530117262},
    {"exp_above_tangent", 0.3670000166126747, -1.25, 0.5365047968601901},
    {"expm1", 1.1170000166126748, -1.25, -0.7134952031398099},
    {"log1p", 0.5596157879354227, 0.375, 0.3184537311185346},
    {"sqrt", 0.8660254037844386, 0.375, 0.6123724356957945},
    {"abs", 0.75, -1.25, 1.25},
    {"square", 0.5625, -1.25, 1.5625},
    {"reciprocal", 1.3333333333333333, -1.25, -0.8},
    {"power", 0.48713928962874675, 0.375, 0.0861148737697211},
    {"sin", 0.6816387600233341, -1.25, -0.9489846193555862},
    {"cos", 0.7316888688738209, -1.25, 0.3153223623952687},
    {"clamp", 0.75, -1.25, -1.0},
    {"erf", 0.7111556336535151, -1.25, -0.9229001282564582},
    {"scaled_erf", 0.5467452952462636, -1.25, -0.7887004526662894},
    {"relu", 0.75, -1.25, 0.0},
    {"leaky_relu", 0.75, -1.25, -0.0125},
    {"sigmoid", 0.679178699175393, -1.25, 0.22270013882530884},
    {"tanh", 0.6351489523872873, -1.25, -0.8482836399575129},
    {"selu", 0.7880257405166103, -1.25, -1.2543954463378648},
    {"elu", 0.75, -1.25, -0.4994466421978669},
    {"celu", 0.75, -1.25, -0.8850804372178694},
    {"celu_step", 1.0, -1.25, 0.4793644486953708},
    {"log_sigmoid", -0.38687100611489994, -1.25, -1.501929081345373},
    {"mish", 0.6100183352182934, -1.25, -0.30841396114152775},
    {"softsign", 0.42857142857142855, -1.25, -0.5555555555555556},
    {"relu6", 0.75, -1.25, 0.0},
    {"hardsigmoid", 0.625, -1.25, 0.2916666666666667},
    {"hardswish", 0.46875, -1.25, -0.3645833333333333},
    {"softplus", 1.1368710061148999, -1.25, 0.2519290813453729},
    {"silu", 0.5093840243815447, -1.25, -0.27837517353163604},
    {"gelu", 0.5800294857173488, -1.25, -0.1320622170835691},
    {"cosid", -0.018311131126179103, -1.25, 1.5653223623952686},
    {"sine_ripple", 0.9375999953549478, -1.25, -1.23673562052976},
    {"bell", 0.7548396019890073, -1.25, 0.45783336177161427},
    {"x_bell", 0.5661297014917555, -1.25, -0.5722917022145179},
    {"normal_cdf", 0.7733726476231318, -1.25, 0.10564977366685525},
    {"cos_ten", 0.3466353178350258, -1.25, 0.9977982791785807},
    {"sin_ten", 0.9379999767747389, -1.25, 0.06632189735120068},
};
}  // namespace

TEST_CASE("elementwise operations have the values of their definitions") {
  size_t checked = 0;
  for (const OpEntry& entry : op_table()) {
    const Sample& sample = entry.samples[0];
    if (sample.label != "dense") continue;
    CAPTURE(entry.name);
    bool listed = false;
    for (const auto& known : published) {
      if (entry.name != known.name) continue;
      listed = true;
      ++checked;
      const Tensor x = from_vector<double>({0.75, known.second_point}, {2}, test_device());
      const std::vector<double> y = sample.call({x}).array().to_vector<double>();
      const double bound = 4e-16 * 8;  // a handful of roundings of numbers up to 4
      CHECK(std::abs(y[0] - known.at_three_quarters) <= bound);
      CHECK(std::abs(y[1] - known.at_second_point) <= bound);
    }
    CHECK(listed);
  }
  CHECK(checked == std::size(published));
}

TEST_CASE("NaN is not swallowed, and slopes survive at the ends") {
  const Device& device = test_device();
  const Tensor nan = full({1}, std::nan(""), DType::f32, device),
               one = full({1}, 1, DType::f32, device);
  for (const Tensor& y :
       {relu(nan), leaky_relu(nan, 0.1), abs(nan), maximum(nan, one), maximum(one, nan),
        minimum(nan, one), minimum(one, nan), clamp(nan, -1, 1), selu(nan), softplus(nan),
        elu(nan, 1), celu(nan, 1), mish(nan), softsign(nan), relu6(nan), hardsigmoid(nan),
        hardswish(nan), log_sigmoid(nan)})
    CHECK(std::isnan(y.item()));
  const Tensor x = full({1}, -20, DType::f32, device);
  CHECK(grad([](const Tensor& t) { return sum(softplus(t)); }, x).item() ==
        doctest::Approx(2.0611536e-9).epsilon(1e-6));
  const Tensor zero = full({1}, 0, DType::f64, device);
  CHECK(grad([](const Tensor& t) { return sum(power(t, 1)); }, zero).item() == 1);
  CHECK(grad([](const Tensor& t) { return sum(power(t, 0)); }, zero).item() == 0);
}

namespace {
/// How many numbers beside x a call takes.
template <class Call>
constexpr int parameters_of(Call) {
  using X = const Tensor&;
  constexpr bool takes[] = {std::is_invocable_v<Call, X>, std::is_invocable_v<Call, X, double>,
                            std::is_invocable_v<Call, X, double, double>,
                            std::is_invocable_v<Call, X, double, double, double>};
  static_assert(takes[0] + takes[1] + takes[2] + takes[3] == 1);
  return takes[0] ? 0 : takes[1] ? 1 : takes[2] ? 2 : 3;
}

template <class... Numbers>
concept exp_takes = requires(const Tensor& x, Numbers... numbers) {
  exp(x, numbers...);
};
template <class... Numbers>
concept clamp_takes = requires(const Tensor& x, Numbers... numbers) {
  clamp(x, numbers...);
};
static_assert(exp_takes<> && !exp_takes<double> && !exp_takes<int, int>);
static_assert(clamp_takes<double, double> && clamp_takes<int, int> && !clamp_takes<> &&
              !clamp_takes<double>);

#define UNARY(name, takes, ...)                                              \
  static_assert(parameters_of([](const Tensor& x, auto... numbers) requires( \
                    requires { basin::name(x, numbers...); }){}) == takes);
#define FLAT(name, takes, ...) UNARY(name, takes)
#include "kernels/ops.def"
}  // namespace

TEST_CASE("comparisons are elementwise operations, of tensors and of numbers") {
  const Device device = test_device();
  const double nan = std::nan("");
  const Tensor x = from_vector<float>({1, 2, 3, static_cast<float>(nan)}, {4}, device);
  const Tensor y = from_vector<float>({2, 2, 2, 2}, {4}, device);
  const auto is = [](const Tensor& got, const std::vector<float>& wanted) {
    CHECK(got.array().to_vector<float>() == wanted);
  };
  is(x < y, {1, 0, 0, 0});
  is(x <= y, {1, 1, 0, 0});
  is(x > y, {0, 0, 1, 0});
  is(x >= y, {0, 1, 1, 0});
  is(x == y, {0, 1, 0, 0});
  is(x != y, {1, 0, 1, 1});
  is(x < 2, {1, 0, 0, 0});
  is(2 < x, {0, 0, 1, 0});
  is(2 <= x, {0, 1, 1, 0});
  is(x == 2, {0, 1, 0, 0});
  is(2 != x, {1, 0, 1, 1});
  is(reshape(x, {4, 1}) > reshape(y, {1, 4}) * 0.75,
     {0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0});
  // a number is rounded to the dtype of the tensor
  is(Tensor(full({1}, 0.1, DType::f32, device)) == 0.1, {1});
  // as a mask: where x < 2, the gradient of x^2, else 0
  const Tensor g = grad([](const Tensor& t) { return sum(where(t < 2, square(t), t * 0.0)); },
                        slice(x, 0, 0, 3));
  is(g, {2, 0, 0});
  CHECK_THROWS_WITH_AS((void)(x < Tensor()), doctest::Contains("less"), Error);
  CHECK_THROWS_WITH_AS((void)(Tensor() < 1), doctest::Contains("undefined"), Error);
  CHECK_THROWS_WITH_AS((void)(x < Tensor(full({3}, 0, DType::f32, device))),
                       doctest::Contains("do not broadcast"), Error);
}
