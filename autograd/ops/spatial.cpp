// Windows, sizes and borders of images. Two kernels do the work: max-pooling, whose derivative
// moves elements to and from the places that it chose, and a linear map along one axis
// (kernels/resample.h), which is its own family: means, interpolation and borders along rows, then
// along columns.
#include <algorithm>
#include <limits>
#include <memory>

#include "autograd/op.h"
#include "kernels/resample.h"

namespace basin {
namespace {

constexpr int64_t most = std::numeric_limits<int32_t>::max();

/// The elements of x at the places that a pooling chose, or the transpose.
class PoolMove final : public LinearOp {
 public:
  PoolMove(const Pooling& pool, const Array& place, const Shape& x, bool spread)
      : pool_(pool), place_(place), x_(x), spread_(spread) {}
  const char* name() const override { return "max_pool2d"; }
  Ref<const Op> clone() const override { return Ref<const Op>(new PoolMove(*this)); }
  Array evaluate(Inputs in) const override {
    const Array from = contiguous(in[0].array());
    Array out(spread_ ? x_ : place_.shape(), from.dtype(), from.device());
    Backend& backend = from.device().backend();
    if (spread_)
      backend.pool_spread(out.view(), from.view(), place_.view(), pool_);
    else
      backend.pool_gather(out.view(), from.view(), place_.view(), pool_);
    return out;
  }
  Tensor transpose(const Tensor& ct) const override {
    return perform(PoolMove(pool_, place_, x_, !spread_), {ct});
  }

 private:
  Pooling pool_;
  Array place_;
  Shape x_;
  bool spread_;
};

class MaxPool final : public Op {
 public:
  /// `differentiated`: the places are wanted.
  MaxPool(const Pooling& pool, const Shape& x, const Shape& y, bool differentiated)
      : pool_(pool), x_(x), y_(y), places_(differentiated ? new Array : nullptr) {}
  const char* name() const override { return "max_pool2d"; }
  Ref<const Op> clone() const override { return Ref<const Op>(new MaxPool(*this)); }
  Array evaluate(Inputs in) const override {
    const Array x = contiguous(in[0].array());
    Array y(y_, x.dtype(), x.device());
    if (places_)
      *places_ =
          Array(y_, pool_.size[0] * pool_.size[1] > 256 ? DType::i32 : DType::u8, x.device());
    x.device().backend().max_pool(y.view(), places_ ? places_->view() : View{}, x.view(), pool_);
    return y;
  }
  Tensor jvp(Inputs tangents, Inputs, const Tensor&) const override {
    return perform(PoolMove(pool_, *places_, x_, false), {tangents[0]});
  }
  void vjp(const Tensor& ct, Inputs, const Tensor&, unsigned,
           std::span<Tensor> grads) const override {
    grads[0] = perform(PoolMove(pool_, *places_, x_, true), {ct});
  }

 private:
  Pooling pool_;
  Shape x_, y_;
  std::shared_ptr<Array> places_;  // of the one evaluation; its copies in nodes read them
};

/// A linear map along one axis, or its transpose.
class Resampling final : public LinearOp {
 public:
  Resampling(const char* name, const Resample& map, int axis, bool transposed = false)
      : name_(name), map_(map), axis_(axis), transposed_(transposed) {}
  const char* name() const override { return name_; }
  Ref<const Op> clone() const override { return Ref<const Op>(new Resampling(*this)); }
  Array evaluate(Inputs in) const override {
    const Array x = contiguous(in[0].array());
    Shape shape = x.shape(), three{1, shape[axis_], 1};
    for (int i = 0; i < shape.rank; ++i)
      if (i != axis_) three[i < axis_ ? 0 : 2] *= shape[i];
    shape[axis_] = transposed_ ? map_.from : map_.to;
    Array out(shape, x.dtype(), x.device());
    const Array from = reshape(x, three);
    three[1] = shape[axis_];
    x.device().backend().resample(reshape(out, three).view(), from.view(), map_, transposed_);
    return out;
  }
  Tensor transpose(const Tensor& ct) const override {
    return perform(Resampling(name_, map_, axis_, !transposed_), {ct});
  }

 private:
  const char* name_;
  Resample map_;
  int axis_;
  bool transposed_;
};

bool changes(const Resample& map) {
  return map.kind == Resample::Kind::mean ? map.size * map.stride > 1 || map.padding > 0
                                          : map.from != map.to;
}

/// Along rows and columns. The inner axis costs more, so it has the smaller side when its turn
/// comes.
Tensor resampled(const char* name, const Tensor& x, const Resample (&maps)[2]) {
  Tensor y = x;
  const bool wider = maps[1].to > maps[1].from;
  for (const int direction : {wider ? 1 : 0, wider ? 0 : 1})
    if (changes(maps[direction]))
      y = perform(Resampling(name, maps[direction], 2 + direction), {y});
  return y;
}

void check_image(const char* name, const Tensor& x) {
  check_floating(name, x.array());
  require(x.rank() == 4 && x.dim(2) >= 1 && x.dim(3) >= 1, name,
          ": needs images [batch, channels, height, width] of at least one pixel, got ", x.array());
}

/// Sides of the result. Errors: windows that no image has, or that only see padding.
Shape pooled_shape(const char* name, const Tensor& x, const Pooling& pool) {
  check_image(name, x);
  Shape y{x.dim(0), x.dim(1)};
  for (int i = 0; i < 2; ++i) {
    const int64_t size = pool.size[i], stride = pool.stride[i], padding = pool.padding[i];
    require(size >= 1 && stride >= 1 && padding >= 0 && std::max(size, stride) <= most, name,
            ": window [", pool.size[0], ", ", pool.size[1], "] and stride [", pool.stride[0], ", ",
            pool.stride[1], "] must be at least 1 and at most ", most, ", padding [",
            pool.padding[0], ", ", pool.padding[1], "] not negative");
    require(padding <= size / 2, name, ": padding ", padding, " is more than half the window ",
            size, ": windows would hold nothing but padding; pad2d adds borders of any size");
    require(size <= x.dim(2 + i) + 2 * padding, name, ": the window ", size,
            " is larger than the side ", x.dim(2 + i), " of ", x.array(), " with padding ", padding,
            "; take a smaller window, or mean(x, {2, 3}) for whole images");
    y.push_back((x.dim(2 + i) + 2 * padding - size) / stride + 1);
  }
  require(pool.size[0] <= most / pool.size[1], name, ": a window of ", pool.size[0], " x ",
          pool.size[1], " has more than ", most, " elements");
  return y;
}

}  // namespace

Tensor max_pool2d(const Tensor& x, const Pooling& given) {
  const Pooling pool = given.resolved();
  const Shape y = pooled_shape("max_pool2d", x, pool);
  return perform(MaxPool(pool, x.shape(), y, !concrete({&x})), {x});
}

Tensor avg_pool2d(const Tensor& x, const Pooling& given, bool count_padding) {
  const Pooling pool = given.resolved();
  const Shape y = pooled_shape("avg_pool2d", x, pool);
  const auto along = [&](int i) -> Resample {
    return {Resample::Kind::mean, x.dim(2 + i),    y[2 + i],     pool.size[i],
            pool.stride[i],       pool.padding[i], count_padding};
  };
  return resampled("avg_pool2d", x, {along(0), along(1)});
}

Tensor resize_bilinear(const Tensor& x, std::array<int64_t, 2> size, bool align_corners) {
  check_image("resize_bilinear", x);
  const auto along = [&](int i) {
    Resample map{.from = x.dim(2 + i), .to = size[static_cast<size_t>(i)]};
    require(map.to >= 1 && map.to <= most, "resize_bilinear: the size [", size[0], ", ", size[1],
            "] of ", x.array(), " must be at least 1 and at most ", most);
    const auto from = static_cast<double>(map.from), to = static_cast<double>(map.to);
    map.scale = !align_corners ? from / to : map.to > 1 ? (from - 1) / (to - 1) : 0;
    map.shift = align_corners ? 0 : map.scale / 2 - 0.5;
    return map;
  };
  return resampled("resize_bilinear", x, {along(0), along(1)});
}

Tensor pixel_shuffle(const Tensor& x, int64_t factor) {
  require(x.rank() == 4 && factor >= 1 && factor <= 46340 && x.dim(1) % (factor * factor) == 0,
          "pixel_shuffle: needs [batch, channels, height, width] and a factor of at least 1 whose "
          "square divides the channels, got ",
          x.array(), " and ", factor);
  const int64_t b = x.dim(0), c = x.dim(1) / (factor * factor), h = x.dim(2), w = x.dim(3);
  return reshape(permute(reshape(x, {b, c, factor, factor, h, w}), {0, 1, 4, 2, 5, 3}),
                 {b, c, h * factor, w * factor});
}

Tensor pixel_unshuffle(const Tensor& x, int64_t factor) {
  require(x.rank() == 4 && factor >= 1 && factor <= 46340 && x.dim(2) % factor == 0 &&
              x.dim(3) % factor == 0,
          "pixel_unshuffle: needs [batch, channels, height, width] and a factor of at least 1 that "
          "divides height and width, got ",
          x.array(), " and ", factor);
  const int64_t b = x.dim(0), c = x.dim(1), h = x.dim(2) / factor, w = x.dim(3) / factor;
  return reshape(permute(reshape(x, {b, c, h, factor, w, factor}), {0, 1, 3, 5, 2, 4}),
                 {b, c * factor * factor, h, w});
}

Tensor pad2d(const Tensor& x, const Margins& m, Border border) {
  check_image("pad2d", x);
  const int64_t before[] = {m.top, m.left}, after[] = {m.bottom, m.right};
  Resample maps[2];
  for (int i = 0; i < 2; ++i) {
    const int64_t side = x.dim(2 + i), larger = std::max(before[i], after[i]);
    require(std::min(before[i], after[i]) >= 0 && larger <= most, "pad2d: margins (top ", m.top,
            ", bottom ", m.bottom, ", left ", m.left, ", right ", m.right,
            ") must not be negative, and at most ", most, "; slice cuts");
    require(border != Border::reflect || larger < side, "pad2d: a reflection of ", larger,
            " needs a side of at least ", larger + 1, ", got ", side, " of ", x.array(),
            "; Border::replicate has no limit");
    maps[i].kind = border == Border::reflect ? Resample::Kind::mirror : Resample::Kind::line;
    maps[i].from = side;
    maps[i].to = before[i] + side + after[i];
    maps[i].padding = before[i];
    maps[i].shift = -static_cast<double>(before[i]);
  }
  if (border != Border::zeros) return resampled("pad2d", x, maps);
  Tensor y = x;
  for (int i = 0; i < 2; ++i)
    if (changes(maps[i])) y = pad(y, 2 + i, before[i], maps[i].to);
  return y;
}

// ---- samples ----

std::vector<Sample> max_pool2d_samples() {
  const auto with = [](const Pooling& pool) {
    return [=](const Tensors& in) { return max_pool2d(in[0], pool); };
  };
  const Pooling two, overlapping{{3, 3}, {2, 2}, {1, 1}}, uneven{{2, 3}, {3, 1}, {0, 1}};
  // more than 256 elements: places as i32
  const Pooling large{{17, 17}, {5, 9}, {3, 0}};
  return {{"2 by 2", with(two), {{2, 3, 4, 5}}},
          {"overlapping", with(overlapping), {{2, 2, 7, 6}}},
          {"uneven", with(uneven), {{2, 1, 6, 4}}},
          {"in pieces", with(overlapping), {{1, 2, 9, 41}}},
          {"dense", with({{3, 3}, {1, 1}, {1, 1}}), {{1, 2, 5, 21}}},
          {"large windows", with(large), {{1, 1, 30, 26}}},
          {"strided",
           [=](const Tensors& in) { return max_pool2d(transpose(in[0]), two); },
           {{1, 2, 4, 6}}},
          {"empty", with(two), {{0, 2, 4, 4}}},
          {"larger than the image",
           with({{5, 2}, {1, 1}, {1, 0}}),
           {{1, 1, 2, 4}},
           -2,
           2,
           "larger than the side"},
          {"padding", with({{3, 3}, {1, 1}, {2, 1}}), {{1, 1, 9, 9}}, -2, 2, "more than half"},
          {"stride", with({{2, 2}, {-1, 1}, {0, 0}}), {{1, 1, 4, 4}}, -2, 2, "at least 1"},
          {"rank", with(two), {{4, 4}}, -2, 2, "needs images"}};
}

std::vector<Sample> avg_pool2d_samples() {
  const auto with = [](const Pooling& pool, bool count) {
    return [=](const Tensors& in) { return avg_pool2d(in[0], pool, count); };
  };
  const Pooling overlapping{{3, 2}, {2, 1}, {1, 1}};
  return {{"2 by 2", with({}, true), {{2, 3, 4, 5}}},
          {"padding counts", with(overlapping, true), {{2, 2, 7, 6}}},
          {"padding left out", with(overlapping, false), {{2, 2, 7, 6}}},
          {"gaps", with({{2, 1}, {3, 2}, {0, 0}}, true), {{1, 2, 7, 6}}},
          {"padding", with({{3, 3}, {1, 1}, {0, 2}}, true), {{1, 1, 9, 9}}, -2, 2, "half"},
          {"larger than the image", with({}, true), {{1, 1, 1, 4}}, -2, 2, "larger than the side"}};
}

std::vector<Sample> resize_bilinear_samples() {
  const auto to = [](std::array<int64_t, 2> size, bool corners) {
    return [=](const Tensors& in) { return resize_bilinear(in[0], size, corners); };
  };
  return {{"larger", to({7, 6}, false), {{2, 2, 3, 4}}},
          {"smaller", to({2, 3}, false), {{2, 2, 5, 7}}},
          {"both ways", to({5, 2}, true), {{1, 2, 3, 6}}},
          {"to one", to({1, 1}, true), {{1, 2, 3, 4}}},
          {"from one", to({3, 4}, true), {{1, 2, 1, 1}}},
          {"nothing", to({0, 4}, false), {{1, 2, 3, 4}}, -2, 2, "must be at least 1"},
          {"rank", to({2, 2}, false), {{3, 4}}, -2, 2, "needs images"}};
}

std::vector<Sample> pixel_shuffle_samples() {
  const auto call = [](const Tensors& in) { return pixel_shuffle(in[0], 2); };
  return {{"by 2", call, {{2, 8, 2, 3}}},
          {"channels", call, {{2, 6, 2, 3}}, -2, 2, "square divides the channels"}};
}

std::vector<Sample> pixel_unshuffle_samples() {
  const auto call = [](const Tensors& in) { return pixel_unshuffle(in[0], 3); };
  return {{"by 3", call, {{2, 2, 6, 3}}},
          {"sides", call, {{2, 2, 6, 4}}, -2, 2, "divides height and width"}};
}

std::vector<Sample> pad2d_samples() {
  const auto by = [](const Margins& margins, Border border) {
    return [=](const Tensors& in) { return pad2d(in[0], margins, border); };
  };
  const Margins margins{1, 0, 3, 2};
  return {
      {"zeros", by(margins, Border::zeros), {{2, 2, 3, 4}}},
      {"reflect", by(margins, Border::reflect), {{2, 2, 3, 4}}},
      {"reflect from both ends", by({2, 2, 3, 3}, Border::reflect), {{1, 2, 3, 4}}},
      {"replicate", by(margins, Border::replicate), {{2, 2, 1, 4}}},
      {"reflection", by({0, 0, 4, 0}, Border::reflect), {{1, 1, 3, 4}}, -2, 2, "reflection of 4"},
      {"negative", by({0, -1, 0, 0}, Border::zeros), {{1, 1, 3, 4}}, -2, 2, "not be negative"},
      {"rank", by({}, Border::zeros), {{3, 4}}, -2, 2, "needs images"}};
}

}  // namespace basin
