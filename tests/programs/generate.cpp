// Random programs: the skeleton, elementwise operations and those that move elements.
#include <algorithm>
#include <cmath>

#include "tests/programs/generator.h"

namespace basin::programs {
namespace {

const std::vector<OpEntry>& table() {
  static const std::vector<OpEntry>& entries = *new std::vector<OpEntry>(op_table());
  return entries;
}

bool one_of(const std::string& name, std::initializer_list<const char*> names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// Where an operation, with the parameters of the table, or a derivative of it has a kink.
std::vector<double> kinks_of(const std::string& name) {
  if (one_of(name, {"clamp", "in_interval"})) return {-1, 1};
  if (one_of(name, {"hardsigmoid", "hardswish"})) return {-3, 3};
  if (name == "relu6") return {0, 6};
  if (one_of(name, {"unit_step", "leaky_step", "sign", "abs", "relu", "leaky_relu", "selu", "elu",
                    "celu", "celu_step", "softsign"}))
    return {0};
  return {};
}

std::vector<double> numbers_of(const Array& x) {
  return cast(x, DType::f64).to_vector<double>();
}

}  // namespace

// ---- the skeleton ----

int Generator::add(const std::string& op, const std::string& line, const std::vector<int>& in,
                   Call call, std::shared_ptr<const Program> body) {
  Tensors values;
  for (const int i : in) {
    if (i < 0) return -1;
    values.push_back(value(i));
  }
  const Array result = call(plain_, values).array();
  if (result.size() > largest()) return -1;
  if (is_floating(result.dtype()))
    for (const double v : numbers_of(result))
      if (!(std::abs(v) <= largest_value)) return -1;
  program_.steps.push_back({op, line, in, std::move(call), -1, std::move(body), result});
  return static_cast<int>(program_.steps.size()) - 1;
}

int Generator::argument(const Array& value) {
  const int number = static_cast<int>(program_.arguments.size());
  program_.steps.push_back({"argument", text("x", number), {}, nullptr, number, nullptr, value});
  program_.arguments.push_back(value);
  return static_cast<int>(program_.steps.size()) - 1;
}

int Generator::constant(const Shape& shape, double low, double high) {
  if (shape.size() > largest()) return -1;
  const Array value = draw(dice_, shape, low, high);
  return add("constant", "constant", {},
             [value](Context& c, const Tensors&) { return c.constant(value); });
}

int Generator::fresh(const Shape& shape, double low, double high) {
  if (shape.size() > largest()) return -1;
  if (own_arguments_ && program_.arguments.size() < 8)
    return argument(draw(dice_, shape, low, high));
  return constant(shape, low, high);
}

int Generator::of_shape(const Shape& wanted) {
  if (dice_.chance(0.6))
    for (int tries = 0; tries < 6; ++tries)
      if (const int i = pick(); shape(i) == wanted) return i;
  return fresh(wanted);
}

int Generator::pick() {
  const auto n = static_cast<int64_t>(program_.steps.size());
  return static_cast<int>(dice_.chance(0.6) ? n - 1 - dice_.below(std::min<int64_t>(n, 2))
                                            : dice_.below(n));
}

int64_t Generator::dimension() {
  if (settings_.large && dice_.chance(0.5)) return dice_.between(60, 500);
  return dice_.chance(0.02) ? 0 : dice_.chance(0.2) ? 1 : dice_.between(2, 5);
}

Shape Generator::any_shape() {
  constexpr int ranks[] = {0, 0, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3, 3, 4, 4, 5, 6};
  for (;;) {
    Shape shape;
    const int rank = ranks[dice_.below(std::size(ranks))];
    for (int i = 0; i < rank; ++i) shape.push_back(dimension());
    if (shape.size() <= (settings_.large ? 200000 : 100)) return shape;
  }
}

bool Generator::within(int i, double low, double high) const {
  if (i < 0) return false;
  const std::vector<double> values = numbers_of(value(i));
  return std::all_of(values.begin(), values.end(), [&](double v) { return v >= low && v <= high; });
}

bool Generator::stays_away(int i, double kink) const {
  if (i < 0) return false;
  const std::vector<double> values = numbers_of(value(i));
  return std::all_of(values.begin(), values.end(),
                     [&](double v) { return v == kink || std::abs(v - kink) >= near; });
}

int Generator::reshaped(int i, const Shape& to) {
  if (i < 0 || shape(i) == to) return i;
  const int64_t size = to.size();
  Shape written = to;
  if (to.rank > 0 && size > 0 && dice_.chance(0.3))
    written[static_cast<int>(dice_.below(to.rank))] = -1;
  return add("reshape", text("reshape to ", written), {i},
             [written](Context&, const Tensors& in) { return reshape(in[0], written); });
}

int Generator::as_rank(int i, int rank) {
  if (i < 0 || shape(i).rank == rank) return i;
  Shape to;
  if (shape(i).rank < rank) {
    for (int k = shape(i).rank; k < rank; ++k) to.push_back(1);
    for (const int64_t dim : shape(i)) to.push_back(dim);
  } else {  // the first axes become one
    int64_t first = 1;
    const int joined = shape(i).rank - rank;
    for (int k = 0; k <= joined; ++k) first *= shape(i)[k];
    to.push_back(first);
    for (int k = joined + 1; k < shape(i).rank; ++k) to.push_back(shape(i)[k]);
  }
  return reshaped(i, to);
}

int Generator::positive(int i) {
  const bool by_square = dice_.chance(0.5);
  return add(by_square ? "square" : "softplus", by_square ? "0.3 + square" : "0.3 + softplus", {i},
             [by_square](Context&, const Tensors& in) {
               return 0.3 + (by_square ? square(in[0]) : softplus(in[0]));
             });
}

/// The result: a weighted sum of everything that nothing else reads.
void Generator::project(bool from_all) {
  std::vector<bool> read(program_.steps.size());
  for (const Step& step : program_.steps)
    for (const int source : step.in) read[static_cast<size_t>(source)] = true;
  const int n = static_cast<int>(program_.steps.size());
  int total = -1;
  for (int i = n - 1; i >= 0; --i) {
    if ((read[static_cast<size_t>(i)] || !from_all) && i != n - 1) continue;
    const Array weights = draw(dice_, shape(i), -1, 1);
    const int part = add("sum", "weighted sum", {i}, [weights](Context& c, const Tensors& in) {
      return sum(in[0] * c.constant(weights));
    });
    if (part < 0) continue;
    total = total < 0 ? part : add("add", "add", {total, part}, [](Context&, const Tensors& in) {
      return in[0] + in[1];
    });
    if (total < 0) total = part;
  }
  // not linear in any of them, so that no second derivative vanishes
  const int bent =
      total < 0 ? -1 : add("sin", "t + 0.5 sin", {total}, [](Context&, const Tensors& in) {
        return in[0] + 0.5 * sin(in[0]);
      });
  program_.result = bent < 0 ? total : bent;
}

void Generator::one_step() {
  using Kind = int (Generator::*)();
  constexpr Kind kinds[] = {
      &Generator::unary,   &Generator::unary,      &Generator::unary,     &Generator::unary,
      &Generator::binary,  &Generator::binary,     &Generator::binary,    &Generator::numbers,
      &Generator::choice,  &Generator::movement,   &Generator::movement,  &Generator::cut,
      &Generator::join,    &Generator::reduction,  &Generator::reduction, &Generator::along_axis,
      &Generator::product, &Generator::layer,      &Generator::indexing,  &Generator::convolution,
      &Generator::spatial, &Generator::conversion, &Generator::nested,    &Generator::nested,
      &Generator::nested};
  for (int tries = 0; tries < 8; ++tries)
    if ((this->*kinds[dice_.below(std::size(kinds))])() >= 0) return;
}

Program Generator::whole() {
  own_arguments_ = true;
  const int64_t arguments = dice_.between(1, 3);
  for (int64_t i = 0; i < arguments; ++i) argument(draw(dice_, any_shape(), -1.5, 1.5));
  const int64_t steps = settings_.large ? dice_.between(2, 5) : dice_.between(3, 10);
  for (int64_t i = 0; i < steps; ++i) one_step();
  program_.vector = static_cast<int>(program_.steps.size()) - 1;
  project(true);
  return std::move(program_);
}

std::optional<Program> Generator::body(const std::vector<Array>& arguments, int steps,
                                       bool scalar) {
  for (const Array& value : arguments) argument(value);
  for (int i = 0; i < steps; ++i) one_step();
  program_.result = static_cast<int>(program_.steps.size()) - 1;
  if (scalar) project(false);
  if (program_.result < 0) return {};
  return std::move(program_);
}

// ---- elementwise ----

int Generator::apply(const OpEntry& entry, int x) {
  const Sample& sample = entry.samples[0];
  const std::string& name = entry.name;
  const std::vector<double> kinks = kinks_of(name);
  for (const double kink : kinks)
    if (!stays_away(x, kink)) return -1;
  if (kinks.empty() && sample.low > 0 && !within(x, 0.2, largest_value)) x = positive(x);
  const auto call = sample.call;
  return add(name, name, {x}, [=](Context& c, const Tensors& in) {
    for (const double kink : kinks) c.note(in[0], kink);
    return call(in);
  });
}

int Generator::unary() {
  if (dice_.chance(0.15)) return with_parameters(pick());
  for (;;) {
    const OpEntry& entry =
        table()[static_cast<size_t>(dice_.below(static_cast<int64_t>(table().size())))];
    if (entry.samples[0].label == "dense") return apply(entry, pick());
  }
}

int Generator::with_parameters(int x) {
  const double a = dice_.real(0.01, 1.5), low = dice_.real(-1, 0), high = low + a;
  switch (dice_.below(5)) {
    case 0:
      return !stays_away(x, 0) ? -1
                               : add("leaky_relu", text("leaky_relu ", a), {x},
                                     [=](Context& c, const Tensors& in) {
                                       c.note(in[0]);
                                       return leaky_relu(in[0], a);
                                     });
    case 1:
      return !stays_away(x, low) || !stays_away(x, high)
                 ? -1
                 : add("clamp", text("clamp ", low, " ", high), {x},
                       [=](Context& c, const Tensors& in) {
                         c.note(in[0], low);
                         c.note(in[0], high);
                         return clamp(in[0], low, high);
                       });
    case 2: {
      constexpr double whole[] = {0, 1, 2, 3};
      const double p = whole[dice_.below(4)];
      return add("power", text("power ", p), {x},
                 [p](Context&, const Tensors& in) { return power(in[0], p); });
    }
    case 3: {
      constexpr double any[] = {-2, -1, -0.5, 0.5, 1.5, 2.5};
      const double p = any[dice_.below(6)];
      return add("power", text("power ", p), {positive(x)},
                 [p](Context&, const Tensors& in) { return power(in[0], p); });
    }
    default:
      return add("mul_scalar", text("mul_scalar ", low), {x},
                 [low](Context&, const Tensors& in) { return mul_scalar(in[0], low); });
  }
}

/// Operators with a C++ number on one side.
int Generator::numbers() {
  const double a =
      dice_.chance(0.3) ? static_cast<double>(dice_.between(1, 49)) : dice_.real(0.3, 2);
  const int64_t kind = dice_.below(6);
  const int x = kind == 5 ? positive(pick()) : pick();
  constexpr const char* names[] = {"x + a", "a - x", "x - a", "a x", "x / a", "a / x"};
  return add("operators", text(names[kind], ", a = ", a), {x}, [=](Context&, const Tensors& in) {
    switch (kind) {
      case 0:
        return in[0] + a;
      case 1:
        return a - in[0];
      case 2:
        return in[0] - a;
      case 3:
        return a * in[0];
      case 4:
        return in[0] / a;
      default:
        return a / in[0];
    }
  });
}

int Generator::binary() {
  int x = pick(), y = pick();
  for (int tries = 0; tries < 4; ++tries) {
    try {
      broadcast_shapes("", shape(x), shape(y));
      break;
    } catch (const Error&) {
      y = pick();
      if (tries < 3) continue;
      Shape other;  // fits: some of the last axes of x, some of them 1
      for (int i = static_cast<int>(dice_.below(shape(x).rank + 1)); i < shape(x).rank; ++i)
        other.push_back(dice_.chance(0.3) ? 1 : shape(x)[i]);
      y = fresh(other);
    }
  }
  if (y < 0 || broadcast_shapes("", shape(x), shape(y)).size() > largest()) return -1;
  if (dice_.chance(0.3)) std::swap(x, y);
  for (;;) {
    const OpEntry& entry =
        table()[static_cast<size_t>(dice_.below(static_cast<int64_t>(table().size())))];
    if (entry.samples[0].label != "equal shapes") continue;
    const std::string& name = entry.name;
    if (name == "div" && !within(y, 0.2, largest_value)) y = positive(y);
    if (y < 0) return -1;
    const bool compares = !one_of(name, {"add", "sub", "mul", "div"});
    if (compares) {
      const Array difference = sub(value(x), value(y)).array();
      for (const double d : numbers_of(difference))
        if (d != 0 && std::abs(d) < near) return -1;
    }
    const auto call = entry.samples[0].call;
    return add(name, name, {x, y}, [=](Context& c, const Tensors& in) {
      if (compares && c.sides) c.note(sub(stop_gradient(in[0]), stop_gradient(in[1])));
      return call(in);
    });
  }
}

int Generator::choice() {
  const int x = pick();
  const int y = of_shape(shape(x));
  int condition = dice_.chance(0.5) ? x : of_shape(shape(x));
  if (!stays_away(condition, 0)) return -1;
  const bool above = dice_.chance(0.5);
  return add("where", above ? "where 0 > 0, 1, 2" : "where 0 != 0, 1, 2", {condition, x, y},
             [above](Context& c, const Tensors& in) {
               c.note(in[0]);
               return where(above ? in[0] > 0 : in[0], in[1], in[2]);
             });
}

// ---- movement ----

int Generator::movement() {
  const int x = pick();
  const Shape& from = shape(x);
  switch (dice_.below(4)) {
    case 0: {  // new axes in front, axes of 1 stretched
      Shape to;
      if (from.rank < max_rank && dice_.chance(0.5)) to.push_back(dimension());
      for (const int64_t dim : from) to.push_back(dim == 1 ? dimension() : dim);
      return add("broadcast_to", text("broadcast to ", to), {x},
                 [to](Context&, const Tensors& in) { return broadcast_to(in[0], to); });
    }
    case 1: {
      Shape to;
      for (int i = static_cast<int>(dice_.below(from.rank + 1)); i < from.rank; ++i)
        to.push_back(dice_.chance(0.5) ? 1 : from[i]);
      return add("sum_to", text("sum to ", to), {x},
                 [to](Context&, const Tensors& in) { return sum_to(in[0], to); });
    }
    case 2: {
      Axes axes = Axes::all(from.rank);
      for (int i = from.rank - 1; i > 0; --i)
        std::swap(axes[i], axes[static_cast<int>(dice_.below(i + 1))]);
      return add("permute", text("permute ", axes), {x},
                 [axes](Context&, const Tensors& in) { return permute(in[0], axes); });
    }
    default: {
      Shape to{from.size()};
      for (const int64_t factor : {2, 3, 5})
        if (to.rank < 4 && from.size() > 0 && to[0] % factor == 0 && dice_.chance(0.7)) {
          to[0] /= factor;
          to.push_back(factor);
        }
      return reshaped(x, to);
    }
  }
}

int Generator::cut() {
  const int x = pick();
  if (shape(x).rank == 0) return -1;
  const int axis = axis_of(x);
  const int64_t n = shape(x)[axis], by = dice_.between(1, 3);
  const int named = dice_.chance(0.3) ? axis - shape(x).rank : axis;
  if (dice_.chance(0.5)) {
    const int64_t start = dice_.between(0, n), stop = dice_.between(start, n);
    return add("slice", text("slice axis ", named, " from ", start, " to ", stop, " by ", by), {x},
               [=](Context&, const Tensors& in) { return slice(in[0], named, start, stop, by); });
  }
  const int64_t start = dice_.between(0, 2), reach = n == 0 ? start : start + (n - 1) * by + 1;
  const int64_t length = reach + dice_.between(0, 2);
  return add("pad", text("pad axis ", named, " from ", start, " by ", by, " to ", length), {x},
             [=](Context&, const Tensors& in) { return pad(in[0], named, start, length, by); });
}

int Generator::join() {
  const int x = pick();
  if (shape(x).rank == 0) return -1;
  const int axis = axis_of(x);
  std::vector<int> parts{x};
  for (int64_t more = dice_.between(0, 2); more > 0; --more) {
    Shape other = shape(x);
    other[axis] = dice_.chance(0.5) ? other[axis] : dimension();
    parts.push_back(of_shape(other));
  }
  return add("concat", text("concat axis ", axis), parts,
             [axis](Context&, const Tensors& in) { return concat(in, axis); });
}

}  // namespace basin::programs
