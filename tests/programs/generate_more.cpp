// Random programs: reductions, products, convolutions, indexing, conversions and nested transforms.
#include <algorithm>
#include <cmath>

#include "tests/programs/generator.h"

namespace basin::programs {
namespace {

/// Some axes of a shape, some counted from the end.
Axes some_axes(Dice& dice, int rank) {
  Axes axes;
  for (int i = 0; i < rank; ++i)
    if (dice.chance(0.5)) axes.push_back(dice.chance(0.3) ? i - rank : i);
  return axes;
}

/// Every element of the reduced shape has elements to be made of.
bool has_elements(const Shape& shape, const Axes& axes) {
  Shape reduced = shape;
  for (const int axis : axes) reduced[axis < 0 ? axis + shape.rank : axis] = 1;
  return shape.size() > 0 || reduced.size() == 0;
}

/// The largest element of each run along the axes stands out, or every element is a tie.
bool stands_out(const Array& x, const Axes& axes, bool largest) {
  const Tensor signed_x = largest ? Tensor(x) : neg(x);
  const Tensor gap = max(signed_x, axes, true) - signed_x;
  for (const double d : gap.array().to_vector<double>())
    if (d != 0 && d < near) return false;
  return true;
}

void note_extremum(Context& c, const Tensor& x, const Tensor& y) {
  if (c.sides) c.note(sub(stop_gradient(x), stop_gradient(y)));
}

std::string window_text(const Window& w) {
  return text("stride ", w.stride[0], " ", w.stride[1], " padding ", w.padding[0], " ",
              w.padding[1], " dilation ", w.dilation[0], " ", w.dilation[1], " groups ", w.groups);
}

}  // namespace

int Generator::reduction() {
  const int x = pick();
  const Axes axes = some_axes(dice_, shape(x).rank);
  const bool keep = dice_.chance(0.4), all = dice_.chance(0.15);
  const std::string how = text(all ? "" : text("axes ", axes), keep ? " keep" : "");
  const int64_t kind = dice_.below(4);
  if (kind == 0)
    return add("sum", text("sum ", how), {x}, [=](Context&, const Tensors& in) {
      return all ? sum(in[0]) : sum(in[0], axes, keep);
    });
  if (!has_elements(shape(x), axes) || (all && value(x).size() == 0)) return -1;
  if (kind == 1)
    return add("mean", text("mean ", how), {x}, [=](Context&, const Tensors& in) {
      return all ? mean(in[0]) : mean(in[0], axes, keep);
    });
  const bool largest = kind == 2;
  if (!stands_out(value(x), axes, largest)) return -1;
  return add("extremum", text(largest ? "max axes " : "min axes ", axes, keep ? " keep" : ""), {x},
             [=](Context& c, const Tensors& in) {
               const Tensor y = largest ? max(in[0], axes, true) : min(in[0], axes, true);
               note_extremum(c, in[0], y);
               return keep ? y : largest ? max(in[0], axes) : min(in[0], axes);
             });
}

int Generator::along_axis() {
  const int x = pick();
  if (shape(x).rank == 0) return -1;
  const int axis = axis_of(x);
  const int named = dice_.chance(0.3) ? axis - shape(x).rank : axis;
  switch (dice_.below(5)) {
    case 3:
      return add("log_softmax", text("log_softmax axis ", named), {x},
                 [named](Context&, const Tensors& in) { return log_softmax(in[0], named); });
    case 4: {
      const Axes axes = some_axes(dice_, shape(x).rank);
      int64_t count = 1;
      for (const int a : axes) count *= shape(x)[a < 0 ? a + shape(x).rank : a];
      if (count < 2) return -1;  // refused, or empty
      const double eps = dice_.real(0.1, 1);
      return add("standardise", text("standardise axes ", axes, " eps ", eps), {x},
                 [=](Context&, const Tensors& in) { return standardise(in[0], axes, eps); });
    }
    case 0:
      return add("softmax", text("softmax axis ", named), {x},
                 [named](Context&, const Tensors& in) { return softmax(in[0], named); });
    case 1: {
      if (!has_elements(shape(x), {axis})) return -1;
      const bool keep = dice_.chance(0.5);
      return add("logsumexp", text("logsumexp axis ", named, keep ? " keep" : ""), {x},
                 [=](Context&, const Tensors& in) { return logsumexp(in[0], named, keep); });
    }
    default: {
      const int y = of_shape(shape(x));
      const double factor = dice_.real(0.05, 0.5);
      return add(
          "squared_error", text("squared error times ", factor), {x, y},
          [factor](Context&, const Tensors& in) { return squared_error(in[0], in[1], factor); });
    }
  }
}

int Generator::product() {
  const bool batched = dice_.chance(0.3);
  const int rank = batched ? 3 : 2;
  int x = as_rank(pick(), rank);
  if (x < 0) return -1;
  if (dice_.chance(0.3))
    x = add("transpose", "transpose", {x},
            [](Context&, const Tensors& in) { return transpose(in[0]); });
  if (x < 0) return -1;
  const int64_t k = shape(x)[rank - 1], n = dimension();
  if (k > 0 && value(x).size() / k * n > largest()) return -1;
  const bool turned = dice_.chance(0.5);
  Shape wanted = turned ? Shape{n, k} : Shape{k, n};
  if (batched) wanted = {shape(x)[0], wanted[0], wanted[1]};
  const bool itself = turned && dice_.chance(0.2);
  const int y = itself ? x : of_shape(wanted);
  return add("matmul", turned ? "matmul with the second transposed" : "matmul", {x, y},
             [turned](Context&, const Tensors& in) {
               return matmul(in[0], turned ? transpose(in[1]) : in[1]);
             });
}

/// Any smooth elementwise operation, or a kinked one whose output tells the side.
Activation Generator::activation(std::string& name) {
  constexpr struct {
    const char* name;
    Activation f;
  } known[] = {{"identity", {}},
               {"tanh", {Unary::tanh}},
               {"sigmoid", {Unary::sigmoid}},
               {"relu", {Unary::relu}},
               {"leaky relu", {Unary::leaky_relu, 0.2}},
               {"selu", {Unary::selu}},
               {"celu", {Unary::celu, 1.3}},
               {"softsign", {Unary::softsign}},
               {"mish", {Unary::mish}},
               {"exp", {Unary::exp}},
               {"silu", {Unary::silu}},
               {"gelu", {Unary::gelu}},
               {"softplus", {Unary::softplus}},
               {"scaled erf", {Unary::scaled_erf}},
               {"cosid", {Unary::cosid}},
               {"sine ripple", {Unary::sine_ripple}}};
  const auto& chosen = known[dice_.below(std::size(known))];
  name = chosen.name;
  return chosen.f;
}

namespace {
bool kinked(const Activation& f) {
  return f.op == Unary::relu || f.op == Unary::leaky_relu || f.op == Unary::selu ||
         f.op == Unary::celu || f.op == Unary::softsign;
}
}  // namespace

int Generator::layer() {
  const int x = as_rank(pick(), 2);
  if (x < 0) return -1;
  std::string name;
  const Activation f = activation(name);
  const int64_t outputs = dimension();
  if (shape(x)[0] * outputs > largest()) return -1;
  const bool biased = dice_.chance(0.6);
  std::vector<int> in{x, of_shape({outputs, shape(x)[1]})};
  if (biased) in.push_back(of_shape({outputs}));
  const int y = add("linear", text("linear ", name), in, [=](Context& c, const Tensors& t) {
    const Tensor z = linear(t[0], t[1], biased ? t[2] : Tensor(), f);
    if (kinked(f)) c.note(z);
    return z;
  });
  return y >= 0 && kinked(f) && !stays_away(y, 0) ? -1 : y;
}

int Generator::convolution() {
  Window window;
  for (int i = 0; i < 2; ++i) {
    window.stride[i] = dice_.between(1, 3);
    window.padding[i] = dice_.between(0, 2);
    if (dice_.chance(0.2)) window.dilation[i] = 2;
  }
  const auto small = [&] { return dice_.between(1, 3); };
  const auto side = [&] { return dice_.between(1, settings_.large ? 40 : 5); };
  const int found = pick();
  const int x = shape(found).rank == 4
                    ? found
                    : of_shape({dice_.chance(0.03) ? 0 : small(), small(), side(), side()});
  const Shape image = shape(x);  // of_shape moves the steps
  if (image[1] > 0 && dice_.chance(0.3))
    window.groups = image[1] % 2 == 0 && dice_.chance(0.5) ? 2 : image[1];
  const int64_t kernel[2] = {small(), small()};
  const Shape w{small() * window.groups, image[1] / window.groups, kernel[0], kernel[1]};
  Shape y{image[0], w[0]};
  for (int i = 0; i < 2; ++i) {
    if (image[2 + i] + 2 * window.padding[i] < window.span(i, kernel[i])) return -1;
    y.push_back(window.output(i, image[2 + i], kernel[i]));
  }
  const std::string how = window_text(window);
  const int64_t kind = dice_.below(6);
  if (kind == 0) {
    const int64_t factor = small();
    return add("upsample_nearest", text("upsample by ", factor), {x},
               [factor](Context&, const Tensors& in) { return upsample_nearest(in[0], factor); });
  }
  if (kind == 1)
    return add("conv2d_weight_grad", text("weight gradient of a convolution, ", how, " to ", w),
               {x, of_shape(y)}, [=](Context&, const Tensors& in) {
                 return conv2d_weight_grad(in[0], in[1], w, window);
               });
  if (kind == 2) {
    const Shape wanted = image;
    return add("conv2d_input_grad", text("input gradient of a convolution, ", how, " to ", wanted),
               {of_shape(y), of_shape(w)}, [=](Context&, const Tensors& in) {
                 return conv2d_input_grad(in[0], in[1], wanted, window);
               });
  }
  if (kind == 3 && dice_.chance(0.5)) {
    if (window.input(1, image[3], kernel[1]) < 1) return -1;
    return add("conv_transpose1d", text("transposed convolution of sequences, ", how),
               {of_shape({image[0], image[1], image[3]}), of_shape({image[1], small(), kernel[1]})},
               [=](Context&, const Tensors& in) {
                 return conv_transpose1d(in[0], in[1], {}, {}, window.stride[1], window.padding[1],
                                         window.dilation[1], window.groups);
               });
  }
  if (kind == 3)
    return add("conv1d", text("convolution of sequences, ", how),
               {of_shape({image[0], image[1], image[3]}), of_shape({w[0], w[1], w[3]})},
               [=](Context&, const Tensors& in) {
                 return conv1d(in[0], in[1], {}, {}, window.stride[1], window.padding[1],
                               window.dilation[1], window.groups);
               });
  std::string name;
  const Activation f = activation(name);
  const bool biased = dice_.chance(0.5), transposed = kind == 4;
  std::array<int64_t, 2> extra{dice_.below(window.stride[0]), dice_.below(window.stride[1])};
  const int64_t seen = small(), channels = transposed ? seen * window.groups : w[0];
  if (transposed)
    for (int i = 0; i < 2; ++i)
      if (window.input(i, image[2 + i], kernel[i]) + extra[static_cast<size_t>(i)] < 1) return -1;
  std::vector<int> in{x, of_shape(transposed ? Shape{image[1], seen, kernel[0], kernel[1]} : w)};
  if (biased) in.push_back(of_shape({channels}));
  return add(transposed ? "conv_transpose2d" : "conv2d",
             text(transposed ? "transposed convolution, " : "convolution, ", how, ", ", name,
                  transposed ? " extra " : "", transposed ? text(extra[0], " ", extra[1]) : ""),
             in, [=](Context& c, const Tensors& t) {
               const Tensor bias = biased ? t[2] : Tensor();
               const Tensor z = transposed ? conv_transpose2d(t[0], t[1], bias, f, window, extra)
                                           : conv2d(t[0], t[1], bias, f, window);
               if (kinked(f)) c.note(z);
               return z;
             });
}

int Generator::indexing() {
  const int x = pick();
  if (shape(x).rank == 0) return -1;
  const int64_t rows = shape(x)[0], kind = dice_.below(3);
  if (kind == 0) {  // columns by the place of each row's largest element
    const int m = as_rank(x, 2);
    if (m < 0 || shape(m)[1] == 0 || shape(m)[0] * shape(m)[0] > largest()) return -1;
    if (!stands_out(value(m), {1}, true)) return -1;
    return add("argmax", "columns by argmax", {m}, [](Context& c, const Tensors& in) {
      const Array index = argmax(in[0], 1);
      if (c.sides)
        for (const int32_t i : index.to_vector<int32_t>()) c.note_number(static_cast<uint64_t>(i));
      return gather(transpose(in[0]), index);
    });
  }
  std::vector<int32_t> index(
      static_cast<size_t>(kind == 1 && rows > 0 ? dice_.between(0, 6) : rows));
  const int64_t most = kind == 1 ? rows : dice_.between(1, 5);
  for (int32_t& i : index) i = static_cast<int32_t>(dice_.below(most));
  const Array chosen = from_vector(index, {static_cast<int64_t>(index.size())});
  if (kind == 1) {
    if (rows == 0) return -1;
    return add("gather", "gather rows", {x},
               [chosen](Context&, const Tensors& in) { return gather(in[0], chosen); });
  }
  return add("scatter_add", text("scatter rows into ", most), {x},
             [=](Context&, const Tensors& in) { return scatter_add(in[0], chosen, most); });
}

int Generator::conversion() {
  const int x = pick();
  switch (dice_.below(3)) {
    case 0:  // in f64 nothing happens; in f32 one operation is done in f64
      return add("cast", "tanh in f64", {x}, [](Context&, const Tensors& in) {
        return cast(tanh(cast(in[0], DType::f64)), in[0].dtype());
      });
    case 1:  // on a device one operation is done on the CPU
      return add("copy_to", "sine on the CPU", {x}, [](Context& c, const Tensors& in) {
        return copy_to(sin(copy_to(in[0], Device())), c.device);
      });
    default:
      return add("stop_gradient", "stop gradient", {x},
                 [](Context& c, const Tensors& in) { return c.stopped(in[0]); });
  }
}

// ---- nested transforms ----

namespace {

/// A body as a function of its first argument; what it captured follows.
Function function_of(const std::shared_ptr<const Program>& body, Context& c, const Tensors& in,
                     size_t captured_from) {
  const Tensors captured(in.begin() + static_cast<std::ptrdiff_t>(captured_from), in.end());
  return [body, &c, captured](const Tensors& x) {
    Tensors arguments = x;
    arguments.insert(arguments.end(), captured.begin(), captured.end());
    return run(*body, c, arguments, body->result);
  };
}

}  // namespace

int Generator::nested() {
  enum { by_grad, by_hvp, by_jvp, by_vjp, by_linearize, by_jacobian };
  const auto kind = static_cast<int>(dice_.below(6));
  const int takes = kind == by_hvp ? 2 : 1;
  if (order_left_ < takes || depth_ >= 3 || settings_.large) return -1;
  if (kind == by_jacobian) return nested_jacobian();
  const int x = pick();
  std::vector<Array> arguments{value(x)};
  std::vector<int> captured;
  for (int64_t i = dice_.between(0, 2); i > 0; --i) {
    captured.push_back(pick());
    arguments.push_back(value(captured.back()));
  }
  const bool scalar = kind == by_grad || kind == by_hvp;
  Generator inner(dice_, settings_, depth_ + 1, order_left_ - takes);
  const auto made = inner.body(arguments, static_cast<int>(dice_.between(1, 4)), scalar);
  if (!made) return -1;
  const auto body = std::make_shared<const Program>(*made);
  const Shape& result = body->steps[static_cast<size_t>(body->result)].value.shape();
  std::vector<int> in{x};
  if (kind == by_jvp || kind == by_linearize || kind == by_hvp) in.push_back(of_shape(shape(x)));
  if (kind == by_vjp) in.push_back(of_shape(result));
  const size_t from = in.size();
  in.insert(in.end(), captured.begin(), captured.end());
  constexpr const char* names[] = {"grad", "hvp", "jvp", "vjp", "linearize"};
  const int y = add(
      names[kind], text(names[kind], " of"), in,
      [=](Context& c, const Tensors& t) -> Tensor {
        const Function f = function_of(body, c, t, from);
        switch (kind) {
          case by_grad:
            return value_and_grad_flat(f, {t[0]}).second[0];
          case by_hvp:
            return hvp(f, Tensors{t[0]}, Tensors{t[1]})[0];
          case by_jvp:
            return jvp_flat(f, {t[0]}, {t[1]}).second;
          case by_vjp:
            return vjp_flat(f, {t[0]}).second(t[1])[0];
          default:
            return linearize([&](const Tensor& p) { return f({p}); }, t[0]).second(t[1]);
        }
      },
      body);
  if (y >= 0) program_.order = std::max(program_.order, takes + body->order);
  return y;
}

int Generator::nested_jacobian() {
  const int x = as_rank(pick(), 2);
  if (x < 0 || shape(x)[1] == 0) return -1;
  const int captured = of_shape({shape(x)[1]});
  if (captured < 0) return -1;
  Generator inner(dice_, settings_, depth_ + 1, 0);
  const auto made =
      inner.rowwise({value(x), value(captured)}, static_cast<int>(dice_.between(1, 3)));
  if (!made) return -1;
  const auto body = std::make_shared<const Program>(*made);
  const int64_t chunk = dice_.between(1, 4);
  const int y = add(
      "jacobian", text("jacobian by ", chunk, " columns of"), {x, captured},
      [=](Context& c, const Tensors& t) {
        const Function f = function_of(body, c, t, 1);
        return jacobian([&](const Tensor& p) { return f({p}); }, t[0], chunk);
      },
      body);
  if (y >= 0) program_.order = std::max(program_.order, 1);
  return y;
}

std::optional<Program> Generator::rowwise(const std::vector<Array>& arguments, int steps) {
  for (const Array& value : arguments) argument(value);
  int x = 0;
  for (int i = 0; i < steps && x >= 0; ++i) {
    std::string name;
    const Activation f = activation(name);
    if (kinked(f)) continue;
    const int64_t kind = dice_.below(3);
    if (kind == 0) {
      const int w = constant({dice_.between(1, 4), shape(x)[1]});
      x = add("linear", text("linear ", name), {x, w},
              [f](Context&, const Tensors& in) { return linear(in[0], in[1], {}, f); });
    } else if (kind == 1 && shape(x)[1] == shape(1)[0]) {
      x = add("mul", "mul", {x, 1}, [](Context&, const Tensors& in) { return in[0] * in[1]; });
    } else {
      x = add("softmax", "softmax", {x},
              [](Context&, const Tensors& in) { return softmax(in[0], 1); });
    }
  }
  if (x < 0) return {};
  program_.result = x;
  return std::move(program_);
}

Program generate(uint64_t seed, const Settings& settings) {
  Dice dice(seed * 2 + (settings.large ? 1 : 0));
  for (;;) {
    Generator generator(dice, settings, 0, static_cast<int>(dice.below(3)));
    Program program = generator.whole();
    if (program.result >= 0) return program;
  }
}

}  // namespace basin::programs
