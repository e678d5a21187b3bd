// On the device of the run. Every line of kernels/ops.def over all numbers of its types, with their
// infinities, against values from 50 digits (reference/tails.py): value, first and second
// derivative, dense and fused into a layer.
#include <doctest/doctest.h>

#include <cmath>
#include <iomanip>
#include <limits>
#include <map>

#include "autograd/op.h"
#include "autograd/transforms.h"
#include "engine/safetensors.h"
#include "tests/device.h"
#include "tests/reference.h"

using namespace basin;

namespace {

struct Line {
  std::string name;
  Unary op;
  double a, b;
};

const std::vector<Line>& unary_lines() {
  static const std::vector<Line> lines{
#define UNARY(name, takes, reads, formula, derivative, a, b, ...) {#name, Unary::name, a, b},
#define FLAT(name, takes, formula, a, b, ...) {#name, Unary::name, a, b},
#include "kernels/ops.def"
  };
  return lines;
}

/// Operations whose derivative, in a layer, is a function of an output that comes to rest.
bool rests(Unary op) {
  for (const Unary one : {
#define BY_OUTPUT(name, ...) Unary::name,
#include "kernels/ops.def"
           Unary::tanh})
    if (op == one) return true;
  return false;
}

using Numbers = std::map<std::string, std::vector<double>>;

const Numbers& reference() {
  static const Numbers all = [] {
    Numbers read;
    for (const auto& [name, array] : test::reference("tails"))
      read[name] = cast(Tensor(array), DType::f64).array().to_vector<double>();
    return read;
  }();
  return all;
}

/// Precision and range of a type.
struct Type {
  DType dtype;
  const char* name;
  int bits, least, most;

  /// The unit in the last place of v.
  double unit(double v) const {
    int exponent = 0;
    std::frexp(std::isinf(v) ? 0.0 : v, &exponent);
    return std::ldexp(1.0, std::max((std::isinf(v) ? most : exponent) - bits, least));
  }
  /// |got - want| in units of the last place of `size`. An infinity counts as the number after the
  /// largest, so that both sides of an overflow are neighbours.
  double units(double got, double want, double size) const {
    if (std::isnan(got)) return std::numeric_limits<double>::infinity();
    if (got == want) return 0;
    const double end = std::ldexp(1.0, most - 1);
    const auto half = [&](double v) { return std::isinf(v) ? std::copysign(end, v) : v / 2; };
    return std::abs(half(got) - half(want)) / unit(size) * 2;
  }
};
constexpr Type types[] = {{DType::f32, "f32", 24, -149, 128}, {DType::f64, "f64", 53, -1074, 1024}};

/// One kind of number at all points of one line.
struct Check {
  std::string what;
  const Type& type;
  const std::vector<double>&x, &want, &term;  // `term` may be empty
  size_t row;
  double units;     // the bound
  double size = 0;  // of which number, where larger than `want` and `term`
  int lost = 0;  // powers of x that multiply what has become subnormal: each enlarges its rounding
  bool monotone = false;  // never of the wrong sign

  void operator()(const std::vector<double>& got) const {
    const size_t n = got.size();
    int shown = 0;
    for (size_t i = 0; i < n; ++i) {
      const double w = want[row * n + i], t = term.empty() ? 0 : term[row * n + i];
      if (std::isnan(w)) continue;
      const double from = std::max({std::abs(w), t, std::isinf(w) ? 0 : size});
      // `want` is rounded: half a unit; at infinity the limit is met, whatever a bound allows
      const double x_size = std::abs(x[i]) < 1000 ? std::abs(x[i]) : 0;  // beyond, all tails are 0
      const double beside =
          lost == 0 ? 0 : 2 * std::pow(1 + x_size, lost) * std::ldexp(1.0, type.least);
      const double off = std::max(0.0, type.units(got[i], w, from) - beside / type.unit(from));
      const bool limit = !std::isinf(x[i]) || got[i] == w || (w != 0 && size == 0);
      if (off <= units - 0.5 && limit && !(monotone && got[i] * w < 0)) continue;
      if (++shown <= 4)
        FAIL_CHECK(what << " " << std::string(type.name) << " at "
                        << text(std::setprecision(17), x[i], ": got ", got[i], ", right ", w, " (")
                        << off << " units)");
    }
    if (shown > 4)
      MESSAGE(what << " " << std::string(type.name) << ": " << shown << " points of " << n
                   << " in all");
  }
};

Tensor from_points(const std::vector<double>& x, const Shape& shape, const Type& type) {
  return cast(from_vector<double>(x, shape, test_device()), type.dtype);
}

std::vector<double> numbers(const Tensor& t) {
  return cast(t, DType::f64).array().to_vector<double>();
}

/// First derivative of f, and the second along all ones: the rule as a kernel, then as an
/// expression of tensors.
struct Derivatives {
  std::vector<double> first, expression, second;

  Derivatives(const std::function<Tensor(const Tensor&)>& f, const Tensor& x) {
    const auto total = [&](const Tensor& at) { return sum(f(at)); };
    const auto slope = [&](const Tensors& at) { return grad(total, at[0]); };
    first = numbers(grad(total, x));
    const auto [value, along] =
        jvp_flat(slope, {x}, {full(x.shape(), 1, x.dtype(), test_device())});
    expression = numbers(value), second = numbers(along);
  }
};

void check_unary(const Line& line, const std::string& name, double a, const Type& type) {
  const std::string key = name + "." + type.name;
  REQUIRE_MESSAGE(reference().count(key + ".x") == 1,
                  "reference/tails.py has no " << key << ": add it");
  static const std::vector<double> none;
  const std::vector<double>&x = reference().at(key + ".x"), &want = reference().at(key + ".want");
  const std::vector<double>& term =
      reference().count(key + ".term") ? reference().at(key + ".term") : none;
  const auto n = static_cast<int64_t>(x.size());
  double steepest = 0;
  for (size_t i = x.size(); i < 2 * x.size(); ++i)
    if (std::isfinite(want[i])) steepest = std::max(steepest, std::abs(want[i]));

  const Tensor at = from_points(x, {n}, type);
  const auto f = [&](const Tensor& t) { return elementwise(line.op, t, a, line.b); };
  const std::vector<double> y = numbers(f(at));
  Check{name, type, x, want, term, 0, 4}(y);
  CHECK(std::isnan(y.back()) == std::isnan(want[x.size() - 1]));  // NaN, the last point
  const Derivatives d(f, at);
  // A term of a second derivative is a product of two numbers within 4 units: 8. What the
  // derivatives of x_bell, and of all that is made of it, multiply by x may be subnormal.
  const bool bells = line.op == Unary::x_bell;
  const double size = line.op == Unary::tanh ? steepest : 0;
  Check{name + "'", type, x, want, term, 1, 4, size, bells, size > 0}(d.first);
  Check{name + "' (tensors)", type, x, want, term, 1, 4, size, bells, size > 0}(d.expression);
  Check{name + "''", type, x, want, term, 2, 8, size, 1 + bells}(d.second);

  // in a layer of one weight, which makes 0 of -0
  std::vector<double> layer_want = want;
  for (size_t i = 0; i < want.size(); ++i)
    if (x[i % x.size()] == 0 && std::signbit(x[i % x.size()])) layer_want[i] = std::nan("");
  const Tensor one = full({1, 1}, 1, type.dtype, test_device()),
               column = from_points(x, {n, 1}, type);
  const auto layer = [&](const Tensor& t) { return linear(t, one, {}, {line.op, a, line.b}); };
  Check{name + " of a layer", type, x, layer_want, term, 0, 4}(numbers(layer(column)));
  const Derivatives fused(layer, column);
  const double largest = rests(line.op) ? steepest : 0;
  Check{name + "' of a layer", type, x, layer_want, term, 1, 4, largest, bells, largest > 0}(
      fused.first);
  Check{name + "' of a layer (tensors)",
        type,
        x,
        layer_want,
        term,
        1,
        4,
        largest,
        bells,
        largest > 0}(fused.expression);
  Check{name + "'' of a layer", type, x, layer_want, term, 2, 8, largest, 1 + bells}(fused.second);
}

}  // namespace

TEST_CASE("every operation of one argument has its values and derivatives on the whole line") {
  size_t variants = 0;
  for (const Line& line : unary_lines())
    for (const Type& type : types) {
      check_unary(line, line.name, line.a, type);
      // the same line with other parameters: "power:3"
      for (const auto& [key, values] : reference()) {
        const size_t colon = key.find(':'), end = key.rfind("." + std::string(type.name) + ".x");
        if (colon == std::string::npos || end == std::string::npos ||
            key.substr(0, colon) != line.name)
          continue;
        check_unary(line, key.substr(0, end), std::stod(key.substr(colon + 1, end - colon - 1)),
                    type);
        ++variants;
      }
    }
  CHECK(variants == 14);
}

TEST_CASE("every operation of two arguments has its values and derivatives on the whole plane") {
  struct Pair {
    std::string name;
    Tensor (*call)(const Tensor&, const Tensor&);
    bool flat;
  };
  const std::vector<Pair> lines{
#define BINARY(name, ...) {#name, &basin::name, false},
#define COMPARISON(name, ...) {#name, &basin::name, true},
#include "kernels/ops.def"
  };
  for (const Pair& line : lines)
    for (const Type& type : types) {
      const std::string key = line.name + "." + type.name;
      REQUIRE_MESSAGE(reference().count(key + ".x") == 1,
                      "reference/tails.py has no " << key << ": add it");
      const std::vector<double>&points = reference().at(key + ".x"),
            &want = reference().at(key + ".want");
      const auto n = static_cast<int64_t>(points.size() / 2);
      const std::vector<double> first(points.begin(), points.begin() + n),
          second(points.begin() + n, points.end());
      const Tensors at{from_points(first, {n}, type), from_points(second, {n}, type)};
      const auto check = [&](const char* what, size_t row, double units, const Tensor& got) {
        Check{line.name + what, type, first, want, {}, row, units}(numbers(got));
      };
      const Tensor z = line.call(at[0], at[1]);
      check("", 0, 4, z);
      for (const int64_t i : {n - 2, n - 1})
        CHECK(std::isnan(numbers(z)[static_cast<size_t>(i)]) == !line.flat);
      const Function total = [&](const Tensors& in) { return sum(line.call(in[0], in[1])); };
      const Tensors slopes = value_and_grad_flat(total, at).second;
      check(" by x", 1, 4, slopes[0]);
      check(" by y", 2, 4, slopes[1]);
      const auto by = [&](const Tensors& in) { return value_and_grad_flat(total, in).second; };
      const Tensor ones = full({n}, 1, type.dtype, test_device());
      const auto [x_values, along_x] = jvp_many(by, at, {ones, {}});
      check(" by x (tensors)", 1, 4, x_values[0]);
      check(" by x, x", 3, 8, along_x[0]);
      const auto [y_values, along_y] = jvp_many(by, at, {{}, ones});
      check(" by y (tensors)", 2, 4, y_values[1]);
      check(" by x, y", 4, 8, along_y[0]);
      check(" by y, y", 5, 8, along_y[1]);
    }
}
