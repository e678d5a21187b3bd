// Convolution as three bilinear operations, each the transpose of the other two, and the fused
// layers made of them.
#include <algorithm>
#include <array>
#include <limits>

#include "autograd/op.h"
#include "autograd/trace.h"

namespace basin {
namespace {

/// The number <conv2d(x, w), y>, with x [B, C, H, W], w [O, C / groups, h, w] and y [B, O, H', W'],
/// is linear in each of the three. Its gradient by one of them is an operation on the other two:
/// conv2d_input_grad gives that by x, conv2d_weight_grad that by w, and conv2d itself that by y.
enum Place { place_x, place_w, place_y };

struct Geometry {
  Place gives;  // the gradient by which
  Shape shapes[3];
  Window window;
};

Array run(const Geometry& c, const Array& first, const Array& second, const Array& bias,
          const Activation& f) {
  const Array a = contiguous(first), b = contiguous(second),
              shift = bias.defined() ? contiguous(bias) : bias;
  Array out(c.shapes[c.gives], a.dtype(), a.device());
  Backend& backend = a.device().backend();
  if (c.gives == place_y) backend.conv2d(out.view(), a.view(), b.view(), shift.view(), f, c.window);
  if (c.gives == place_x)
    backend.conv2d_input_grad(out.view(), a.view(), b.view(), shift.view(), f, c.window);
  if (c.gives == place_w) backend.conv2d_weight_grad(out.view(), a.view(), b.view(), c.window);
  return out;
}

class Convolution final : public BilinearOp {
 public:
  explicit Convolution(const Geometry& geometry) : c_(geometry) {}
  const char* name() const override {
    return c_.gives == place_y   ? "conv2d"
           : c_.gives == place_x ? "conv2d_input_grad"
                                 : "conv2d_weight_grad";
  }
  Ref<const Op> clone() const override { return Ref<const Op>(new Convolution(*this)); }
  Array evaluate(Inputs in) const override { return run(c_, in[0].array(), in[1].array(), {}, {}); }

  // operands: (x, w) give y, (y, w) give x, (x, y) give w
  Tensor call(const Tensor& a, const Tensor& b) const override { return perform(*this, {a, b}); }
  Tensor transpose_x(const Tensor& ct, const Tensor& b) const override {
    if (c_.gives == place_y) return giving(place_x, ct, b);
    return c_.gives == place_x ? giving(place_y, ct, b) : giving(place_x, b, ct);
  }
  Tensor transpose_y(const Tensor& ct, const Tensor& a) const override {
    if (c_.gives == place_y) return giving(place_w, a, ct);
    return c_.gives == place_x ? giving(place_w, ct, a) : giving(place_y, a, ct);
  }

 private:
  Tensor giving(Place place, const Tensor& a, const Tensor& b) const {
    Geometry other = c_;
    other.gives = place;
    return perform(Convolution(other), {a, b});
  }
  Geometry c_;
};

/// activation(convolution + bias of the channel) in one kernel; the slope is a function of the
/// output alone.
class ConvolutionLayer final : public Op {
 public:
  ConvolutionLayer(const Geometry& geometry, const Activation& f) : c_(geometry), f_(f) {}
  const char* name() const override { return c_.gives == place_y ? "conv2d" : "conv_transpose2d"; }
  Ref<const Op> clone() const override { return Ref<const Op>(new ConvolutionLayer(*this)); }
  bool reads_input(int i) const override { return i < 2; }
  bool reads_output() const override { return f_.op != Unary::identity; }
  Array evaluate(Inputs in) const override {
    return run(c_, in[0].array(), in[1].array(), in[2].array(), f_);
  }

  Tensor jvp(Inputs tangents, Inputs in, const Tensor& out) const override {
    Tensor dz = Convolution(c_).jvp(tangents, in, out);
    if (tangents[2].defined()) {
      const Tensor shift = broadcast_to(reshape(tangents[2], {1, -1, 1, 1}), out.shape());
      dz = dz.defined() ? dz + shift : shift;
    }
    return f_.op != Unary::identity ? dz * slope_by_output(f_, out) : dz;
  }

  void vjp(const Tensor& ct, Inputs in, const Tensor& out, unsigned wanted,
           std::span<Tensor> grads) const override {
    const Tensor dz = layer_pullback(f_, ct, out, wanted & 4 ? &grads[2] : nullptr);
    Convolution(c_).vjp(dz, in, out, wanted & 3, grads);
  }

 private:
  Geometry c_;
  Activation f_;
};

std::string pair(const int64_t (&x)[2]) {
  return text("[", x[0], ", ", x[1], "]");
}

/// Two operands of rank 4, and a window that makes sense.
void check_operands(const char* name, const Tensor& a, const Tensor& b, const Window& w) {
  check_same(name, a.array(), b.array());
  check_floating(name, a.array());
  require(a.rank() == 4 && b.rank() == 4, name,
          ": needs two operands of rank 4 (images [batch, channels, height, width], ",
          "weights [outputs, inputs / groups, height, width]), got ", a.array(), " and ",
          b.array());
  const int64_t most = std::numeric_limits<int32_t>::max();
  for (int i = 0; i < 2; ++i)
    require(std::min(w.stride[i], w.dilation[i]) >= 1 && w.padding[i] >= 0 &&
                std::max({w.stride[i], w.padding[i], w.dilation[i], a.dim(2 + i), b.dim(2 + i)}) <=
                    most,
            name, ": stride ", pair(w.stride), " and dilation ", pair(w.dilation),
            " must be at least 1, padding ", pair(w.padding), " not negative, and these and the",
            " sides of ", a.array(), " and ", b.array(), " at most ", most);
}

void check_groups(const char* name, const Shape& x, const Shape& w, const Window& window) {
  const int64_t groups = window.groups, least = std::min(x[1], w[0]);
  require(groups == 1 || (groups >= 1 && groups <= least && x[1] % groups + w[0] % groups == 0),
          name, ": groups ", groups, " must be at least 1 and divide the ", x[1], " channels of x ",
          x, " and the ", w[0], " of w ", w);
}

/// The output that belongs to x and w, which must fit each other.
Shape output_shape(const char* name, const Shape& x, const Shape& w, const Window& window) {
  check_groups(name, x, w, window);
  require(x[1] / window.groups == w[1], name, ": channels differ: x ", x, ", w ", w, ", groups ",
          window.groups,
          "; weights are [outputs, inputs / groups, height, width] of the convolution from x");
  Shape y{x[0], w[0]};
  for (int i = 0; i < 2; ++i) {
    const int64_t kernel = w[2 + i], padded = x[2 + i] + 2 * window.padding[i];
    require(kernel >= 1 && padded >= 1 && (kernel - 1) <= (padded - 1) / window.dilation[i], name,
            ": the kernel of w ", w, " is empty or larger than the padded image of x ", x,
            ", padding ", pair(window.padding), ", dilation ", pair(window.dilation));
    y.push_back(window.output(i, x[2 + i], kernel));
  }
  return y;
}

Tensor bilinear(const char* name, Place gives, const Tensor& a, const Tensor& b, const Shape& x,
                const Shape& w, const Shape& y, const Window& window) {
  require(x.rank == 4 && w.rank == 4, name, ": the shape asked for must have rank 4, got ",
          gives == place_x ? x : w);
  const Shape reached = output_shape(name, x, w, window);
  require(reached == y, name, ": not reachable: x ", x, " and w ", w, " have an output ", reached,
          ", not ", y);
  return perform(Convolution({gives, {x, w, y}, window}), {a, b});
}

Tensor layer(const char* name, const Geometry& c, const Tensor& a, const Tensor& w,
             const Tensor& bias, const Activation& f) {
  if (bias.defined()) {
    check_same(name, a.array(), bias.array());
    require(bias.shape() == Shape{c.shapes[c.gives][1]}, name, ": bias ", bias.array(),
            " does not fit w ", w.array(), "; it needs one entry per channel of the output");
  }
  const Tensor z = !bias.defined() && (f.op == Unary::identity || !fuses(f.op))
                       ? perform(Convolution(c), {a, w})
                       : perform(ConvolutionLayer(c, fuses(f.op) ? f : Activation{}), {a, w, bias});
  return fuses(f.op) ? z : apply_activation(f, z);
}

}  // namespace

Tensor conv2d(const Tensor& x, const Tensor& w, const Tensor& bias, const Activation& f,
              const Window& window) {
  check_operands("conv2d", x, w, window);
  return layer("conv2d",
               {place_y,
                {x.shape(), w.shape(), output_shape("conv2d", x.shape(), w.shape(), window)},
                window},
               x, w, bias, f);
}

Tensor conv_transpose2d(const Tensor& x, const Tensor& w, const Tensor& bias, const Activation& f,
                        const Window& window, std::array<int64_t, 2> output_padding) {
  check_operands("conv_transpose2d", x, w, window);
  require(x.dim(1) == w.dim(0), "conv_transpose2d: channels differ: x ", x.array(), ", w ",
          w.array(), "; weights are [inputs, outputs / groups, height, width]");
  check_groups("conv_transpose2d", x.shape(), w.shape(), window);
  Shape out{x.dim(0), w.dim(1) * window.groups};
  for (int i = 0; i < 2; ++i) {
    const int64_t extra = output_padding[static_cast<size_t>(i)];
    require(extra >= 0 && extra < window.stride[i], "conv_transpose2d: output padding [",
            output_padding[0], ", ", output_padding[1],
            "] must be at least 0 and below the stride ", pair(window.stride));
    out.push_back(window.input(i, x.dim(2 + i), w.dim(2 + i)) + extra);
    require(x.dim(2 + i) >= 1 && w.dim(2 + i) >= 1 && out[2 + i] >= 1,
            "conv_transpose2d: nothing is left of x ", x.array(), " with w ", w.array(),
            " and padding ", pair(window.padding));
  }
  return layer("conv_transpose2d", {place_x, {out, w.shape(), x.shape()}, window}, x, w, bias, f);
}

namespace {

/// Sequences and their weights as images of one row.
template <class F>
Tensor as_images(const char* name, const char* weight, const Tensor& x, const Tensor& w, F&& call) {
  require(x.rank() == 3 && w.rank() == 3, name, ": needs x [batch, channels, length] and w ",
          weight, ", got ", x.array(), " and ", w.array());
  const auto image = [](const Tensor& t) { return reshape(t, {t.dim(0), t.dim(1), 1, t.dim(2)}); };
  const Tensor y = call(image(x), image(w));
  return reshape(y, {y.dim(0), y.dim(1), y.dim(3)});
}

}  // namespace

Tensor conv1d(const Tensor& x, const Tensor& w, const Tensor& bias, const Activation& f,
              int64_t stride, int64_t padding, int64_t dilation, int64_t groups) {
  const Window window{{1, stride}, {0, padding}, {1, dilation}, groups};
  return as_images("conv1d", "[outputs, inputs / groups, length]", x, w,
                   [&](auto a, auto b) { return conv2d(a, b, bias, f, window); });
}

Tensor conv_transpose1d(const Tensor& x, const Tensor& w, const Tensor& bias, const Activation& f,
                        int64_t stride, int64_t padding, int64_t dilation, int64_t groups,
                        int64_t output_padding) {
  const Window window{{1, stride}, {0, padding}, {1, dilation}, groups};
  return as_images("conv_transpose1d", "[inputs, outputs / groups, length]", x, w,
                   [&](auto a, auto b) {
                     return conv_transpose2d(a, b, bias, f, window, {0, output_padding});
                   });
}

Tensor conv2d_input_grad(const Tensor& g, const Tensor& w, const Shape& x, const Window& window) {
  check_operands("conv2d_input_grad", g, w, window);
  return bilinear("conv2d_input_grad", place_x, g, w, x, w.shape(), g.shape(), window);
}

Tensor conv2d_weight_grad(const Tensor& x, const Tensor& g, const Shape& w, const Window& window) {
  check_operands("conv2d_weight_grad", x, g, window);
  return bilinear("conv2d_weight_grad", place_w, x, g, x.shape(), w, g.shape(), window);
}

Tensor upsample_nearest(const Tensor& x, int64_t factor) {
  require(
      x.rank() == 4 && factor >= 1,
      "upsample_nearest: needs [batch, channels, height, width] and a factor of at least 1, got ",
      x.array(), " and ", factor);
  const int64_t b = x.dim(0), c = x.dim(1), h = x.dim(2), w = x.dim(3);
  return reshape(broadcast_to(reshape(x, {b, c, h, 1, w, 1}), {b, c, h, factor, w, factor}),
                 {b, c, h * factor, w * factor});
}

std::vector<Sample> conv2d_samples() {
  const auto with = [](const Activation& f, const Window& window) {
    return [=](const Tensors& in) {
      return conv2d(in[0], in[1], in.size() > 2 ? in[2] : Tensor(), f, window);
    };
  };
  const Window plain, two{{2, 2}, {1, 1}}, uneven{{2, 1}, {0, 2}}, apart{{2, 1}, {2, 1}, {2, 3}};
  const auto grouped = [](int64_t groups) { return Window{{2, 1}, {1, 1}, {1, 2}, groups}; };
  return {
      {"plain", with({}, plain), {{2, 3, 5, 4}, {4, 3, 3, 2}}},
      {"stride 2, bias", with({}, two), {{2, 2, 5, 6}, {3, 2, 3, 3}, {3}}},
      {"uneven", with({Unary::tanh}, uneven), {{2, 2, 6, 3}, {3, 2, 2, 3}, {3}}},
      {"pointwise", with({Unary::sigmoid}, plain), {{2, 3, 2, 3}, {4, 3, 1, 1}}},
      {"leaky relu", with({Unary::leaky_relu, 0.2}, two), {{2, 2, 4, 4}, {3, 2, 3, 3}, {3}}},
      {"silu, not fused", with({Unary::silu}, two), {{1, 2, 4, 4}, {2, 2, 3, 3}, {2}}},
      {"dilation", with({Unary::tanh}, apart), {{2, 2, 6, 7}, {3, 2, 3, 2}, {3}}},
      {"groups", with({Unary::tanh}, grouped(2)), {{2, 4, 5, 6}, {6, 2, 3, 3}, {6}}},
      {"depthwise", with({Unary::tanh}, grouped(3)), {{2, 3, 5, 6}, {6, 1, 3, 3}, {6}}},
      {"channels", with({}, plain), {{1, 2, 4, 4}, {2, 3, 3, 3}}, -2, 2, "channels differ"},
      {"channels of a group",
       with({}, grouped(2)),
       {{1, 4, 4, 4}, {2, 4, 3, 3}},
       -2,
       2,
       "channels differ: x [1, 4, 4, 4], w [2, 4, 3, 3], groups 2"},
      {"groups of inputs",
       with({}, grouped(2)),
       {{1, 3, 4, 4}, {2, 1, 3, 3}},
       -2,
       2,
       "groups 2 must be at least 1 and divide the 3 channels of x [1, 3, 4, 4]"},
      {"groups of outputs",
       with({}, grouped(2)),
       {{1, 4, 4, 4}, {3, 2, 3, 3}},
       -2,
       2,
       "divide the 4 channels of x [1, 4, 4, 4] and the 3 of w [3, 2, 3, 3]"},
      {"no groups",
       with({}, grouped(0)),
       {{1, 2, 4, 4}, {2, 2, 3, 3}},
       -2,
       2,
       "groups 0 must be at least 1"},
      {"no dilation",
       with({}, {{1, 1}, {0, 0}, {1, 0}}),
       {{1, 2, 4, 4}, {2, 2, 3, 3}},
       -2,
       2,
       "dilation [1, 0] must be at least 1"},
      {"dilated kernel",
       with({}, {{1, 1}, {0, 1}, {2, 1}}),
       {{1, 2, 4, 4}, {2, 2, 3, 3}},
       -2,
       2,
       "larger than the padded image of x [1, 2, 4, 4], padding [0, 1], dilation [2, 1]"},
      {"kernel",
       with({}, plain),
       {{1, 2, 2, 4}, {2, 2, 3, 3}},
       -2,
       2,
       "larger than the padded image"},
      {"rank", with({}, plain), {{2, 4, 4}, {2, 2, 3, 3}}, -2, 2, "needs two operands of rank 4"},
      {"stride",
       with({}, {{0, 1}, {0, 0}}),
       {{1, 2, 4, 4}, {2, 2, 3, 3}},
       -2,
       2,
       "must be at least 1"},
      {"bias misfit",
       with({}, plain),
       {{1, 2, 4, 4}, {3, 2, 3, 3}, {2}},
       -2,
       2,
       "one entry per channel"}};
}

std::vector<Sample> conv2d_input_grad_samples() {
  const auto with = [](const Shape& x, const Window& window) {
    return [=](const Tensors& in) { return conv2d_input_grad(in[0], in[1], x, window); };
  };
  return {
      {"stride 1", with({2, 2, 4, 5}, {}), {{2, 3, 2, 4}, {3, 2, 3, 2}}},
      {"stride 2", with({2, 2, 6, 5}, {{2, 2}, {1, 1}}), {{2, 3, 3, 3}, {3, 2, 3, 3}}},
      {"groups", with({2, 4, 6, 5}, {{2, 1}, {1, 2}, {2, 3}, 2}), {{2, 6, 2, 3}, {6, 2, 3, 3}}},
      {"depthwise", with({2, 3, 6, 5}, {{2, 1}, {1, 2}, {2, 3}, 3}), {{2, 6, 2, 3}, {6, 1, 3, 3}}},
      {"shape",
       with({2, 2, 8, 5}, {{2, 2}, {1, 1}}),
       {{2, 3, 3, 3}, {3, 2, 3, 3}},
       -2,
       2,
       "not reachable"}};
}

std::vector<Sample> conv2d_weight_grad_samples() {
  const auto with = [](const Shape& w, const Window& window) {
    return [=](const Tensors& in) { return conv2d_weight_grad(in[0], in[1], w, window); };
  };
  return {
      {"stride 1", with({3, 2, 3, 2}, {}), {{2, 2, 4, 5}, {2, 3, 2, 4}}},
      {"stride 2", with({3, 2, 3, 3}, {{2, 2}, {1, 1}}), {{2, 2, 6, 5}, {2, 3, 3, 3}}},
      {"groups", with({6, 2, 3, 3}, {{2, 1}, {1, 2}, {2, 3}, 2}), {{2, 4, 6, 5}, {2, 6, 2, 3}}},
      {"depthwise", with({6, 1, 3, 3}, {{2, 1}, {1, 2}, {2, 3}, 3}), {{2, 3, 6, 5}, {2, 6, 2, 3}}},
      {"shape",
       with({3, 2, 1, 1}, {{2, 2}, {1, 1}}),
       {{2, 2, 6, 5}, {2, 3, 3, 3}},
       -2,
       2,
       "not reachable"}};
}

std::vector<Sample> conv_transpose2d_samples() {
  const auto with = [](const Activation& f, const Window& window, std::array<int64_t, 2> extra) {
    return [=](const Tensors& in) {
      return conv_transpose2d(in[0], in[1], in.size() > 2 ? in[2] : Tensor(), f, window, extra);
    };
  };
  const Window two{{2, 2}, {1, 1}};
  return {{"plain", with({}, {}, {}), {{2, 3, 3, 2}, {3, 2, 2, 3}}},
          {"output padding", with({Unary::tanh}, two, {1, 0}), {{2, 3, 3, 2}, {3, 2, 3, 3}, {2}}},
          {"groups and dilation",
           with({Unary::tanh}, {{2, 1}, {1, 1}, {2, 2}, 2}, {1, 0}),
           {{2, 4, 3, 2}, {4, 3, 2, 3}, {6}}},
          {"depthwise", with({}, {{2, 2}, {1, 1}, {1, 1}, 3}, {}), {{2, 3, 3, 2}, {3, 1, 3, 3}}},
          {"groups",
           with({}, {{1, 1}, {0, 0}, {1, 1}, 2}, {}),
           {{2, 3, 3, 2}, {3, 2, 3, 3}},
           -2,
           2,
           "groups 2 must be at least 1 and divide the 3 channels"},
          {"output padding",
           with({}, two, {2, 0}),
           {{2, 3, 3, 2}, {3, 2, 3, 3}},
           -2,
           2,
           "below the stride"},
          {"channels", with({}, two, {}), {{2, 3, 3, 2}, {2, 3, 3, 3}}, -2, 2, "[inputs, outputs"},
          {"nothing",
           with({}, {{1, 1}, {1, 1}}, {}),
           {{2, 3, 1, 1}, {3, 2, 2, 2}},
           -2,
           2,
           "nothing is left"}};
}

std::vector<Sample> conv1d_samples() {
  const auto with = [](int64_t stride, int64_t padding, int64_t dilation, int64_t groups) {
    return [=](const Tensors& in) {
      return conv1d(in[0], in[1], in[2], {Unary::tanh}, stride, padding, dilation, groups);
    };
  };
  return {{"plain", with(1, 0, 1, 1), {{2, 3, 6}, {4, 3, 3}, {4}}},
          {"groups", with(2, 2, 2, 2), {{2, 4, 7}, {6, 2, 3}, {6}}},
          {"rank", with(1, 0, 1, 1), {{2, 3, 1, 6}, {4, 3, 3}, {4}}, -2, 2, "conv1d: needs x"},
          {"kernel",
           with(1, 0, 3, 1),
           {{2, 3, 6}, {4, 3, 3}, {4}},
           -2,
           2,
           "larger than the padded image of x [2, 3, 1, 6]"}};
}

std::vector<Sample> conv_transpose1d_samples() {
  const auto with = [](int64_t stride, int64_t groups, int64_t extra) {
    return [=](const Tensors& in) {
      return conv_transpose1d(in[0], in[1], in[2], {Unary::tanh}, stride, 1, 2, groups, extra);
    };
  };
  return {
      {"groups", with(2, 2, 1), {{2, 4, 5}, {4, 3, 3}, {6}}},
      {"rank", with(1, 1, 0), {{2, 3, 4}, {3, 2, 1, 3}, {2}}, -2, 2, "conv_transpose1d: needs"}};
}

std::vector<Sample> upsample_nearest_samples() {
  return {{"by 2", [](const Tensors& in) { return upsample_nearest(in[0], 2); }, {{2, 2, 2, 3}}},
          {"rank",
           [](const Tensors& in) { return upsample_nearest(in[0], 2); },
           {{2, 3}},
           -2,
           2,
           "upsample_nearest"}};
}

}  // namespace basin
