// Random programs: windows, sizes and borders of images.
#include <algorithm>

#include "tests/programs/generator.h"

namespace basin::programs {
namespace {

/// In each window one element is largest by far, so that no small step chooses another one.
bool stands_out(const Array& x, const Pooling& p, const Shape& y) {
  const std::vector<double> all = x.to_vector<double>();
  const int64_t height = x.dim(2), width = x.dim(3), points = y[2] * y[3];
  for (int64_t window = 0; window < y.size(); ++window) {
    const int64_t plane = window / points, top = window / y[3] % y[2] * p.stride[0] - p.padding[0],
                  left = window % y[3] * p.stride[1] - p.padding[1];
    std::vector<double> values;
    for (int64_t h = std::max<int64_t>(0, top); h < std::min(height, top + p.size[0]); ++h)
      for (int64_t w = std::max<int64_t>(0, left); w < std::min(width, left + p.size[1]); ++w)
        values.push_back(all[static_cast<size_t>((plane * height + h) * width + w)]);
    std::sort(values.begin(), values.end());
    if (values.size() > 1 && !(values.back() - values[values.size() - 2] >= near)) return false;
  }
  return true;
}

}  // namespace

int Generator::spatial() {
  const auto side = [&] { return dice_.between(1, settings_.large ? 40 : 5); };
  const int found = pick();
  const bool fits = shape(found).rank == 4 && shape(found)[2] > 0 && shape(found)[3] > 0;
  const int x = fits ? found
                     : of_shape({dice_.chance(0.03) ? 0 : dice_.between(1, 3), dice_.between(1, 4),
                                 side(), side()});
  const Shape image = shape(x);
  const auto few = [&] { return dice_.between(0, 3); };
  switch (dice_.below(5)) {
    case 0: {
      Pooling p;
      Shape y{image[0], image[1]};
      for (int i = 0; i < 2; ++i) {
        p.size[i] = dice_.between(1, settings_.large && dice_.chance(0.2) ? 17 : 3);
        p.stride[i] = dice_.between(1, 3);
        p.padding[i] = dice_.between(0, p.size[i] / 2);
        const int64_t room = image[2 + i] + 2 * p.padding[i] - p.size[i];
        if (room < 0) return -1;
        y.push_back(room / p.stride[i] + 1);
      }
      const std::string how = text(p.size[0], " x ", p.size[1], " stride ", p.stride[0], " ",
                                   p.stride[1], " padding ", p.padding[0], " ", p.padding[1]);
      if (dice_.chance(0.4)) {
        const bool count = dice_.chance(0.5);
        return add("avg_pool2d", text("mean of windows ", how, count ? "" : " without padding"),
                   {x}, [=](Context&, const Tensors& in) { return avg_pool2d(in[0], p, count); });
      }
      if (!stands_out(value(x), p, y)) return -1;
      return add("max_pool2d", text("largest of windows ", how), {x},
                 [=](Context& c, const Tensors& in) {
                   if (c.sides) {  // which elements are chosen
                     const auto call = [p](const Tensor& t) { return max_pool2d(t, p); };
                     const auto chosen = vjp(call, stop_gradient(in[0])).second;
                     c.note(chosen(full(y, 1, in[0].dtype(), in[0].device())), 0.5);
                   }
                   return max_pool2d(in[0], p);
                 });
    }
    case 1: {
      const std::array<int64_t, 2> size{side(), side()};
      const bool corners = dice_.chance(0.5);
      return add(
          "resize_bilinear",
          text("resize to ", size[0], " ", size[1], corners ? " by corners" : ""), {x},
          [=](Context&, const Tensors& in) { return resize_bilinear(in[0], size, corners); });
    }
    case 2: {
      const Margins m{few(), few(), few(), few()};
      const auto border = static_cast<Border>(dice_.below(3));
      if (border == Border::reflect &&
          (std::max(m.top, m.bottom) >= image[2] || std::max(m.left, m.right) >= image[3]))
        return -1;
      return add("pad2d",
                 text("borders ", m.top, " ", m.bottom, " ", m.left, " ", m.right, " kind ",
                      static_cast<int>(border)),
                 {x}, [=](Context&, const Tensors& in) { return pad2d(in[0], m, border); });
    }
    case 3: {
      const int64_t factor = dice_.between(1, 2);
      if (image[1] % (factor * factor) != 0) return -1;
      return add("pixel_shuffle", text("pixel shuffle ", factor), {x},
                 [=](Context&, const Tensors& in) { return pixel_shuffle(in[0], factor); });
    }
    default: {
      const int64_t factor = dice_.between(1, 3);
      if (image[2] % factor != 0 || image[3] % factor != 0) return -1;
      return add("pixel_unshuffle", text("pixel unshuffle ", factor), {x},
                 [=](Context&, const Tensors& in) { return pixel_unshuffle(in[0], factor); });
    }
  }
}

}  // namespace basin::programs
