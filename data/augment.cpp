#include "data/augment.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/strided.h"
#include "kernels/threads.h"

namespace basin {
namespace {

struct Size {
  int64_t channels, height, width;
  int64_t plane() const { return height * width; }
};

/// A number of 0 ... count - 1 from u in [0, 1).
int64_t choice(double u, int64_t count) {
  return std::min(static_cast<int64_t>(u * static_cast<double>(count)), count - 1);
}

/// Calls f(pixel of the result, row, column), row after row.
template <class F>
void each_pixel(const Size& size, const F& f) {
  for (int64_t i = 0; i < size.height; ++i)
    for (int64_t j = 0; j < size.width; ++j) f(i * size.width + j, i, j);
}

/// 0 ... n - 1, mirrored at both ends without repeating them.
int64_t reflected(int64_t i, int64_t n) {
  if (i < 0) return -i;
  return i < n ? i : 2 * (n - 1) - i;
}

/// Two neighbours of a place along one side, and the weight of the second.
struct Between {
  int64_t first, second;
  double weight;
};
Between between(double place, int64_t begin, int64_t end) {
  const double inside = std::clamp(place, static_cast<double>(begin), static_cast<double>(end - 1));
  const auto first = static_cast<int64_t>(inside);
  return {first, std::min(first + 1, end - 1), inside - static_cast<double>(first)};
}

/// One image. The numbers of `u` are used in a fixed order, so that none depends on what is off.
template <class T>
class Image {
 public:
  Image(T* values, const Size& size, const double* u)
      : values_(values), size_(size), u_(u), before_(static_cast<size_t>(size.plane())) {}

  void change(const Augmentation& how) {
    if (how.pad > 0) crop(how.pad);
    if (how.least_area < 1) crop_and_resize(how.least_area);
    if (u_[6] < how.flip)
      remap([this](const T* from, int64_t i, int64_t j) {
        return from[i * size_.width + size_.width - 1 - j];
      });
    if (u_[7] < how.grey) grey();
    if (how.cutout > 0) cut_out(how.cutout);
  }

 private:
  /// value(the channel as it was, row, column) for every pixel.
  template <class F>
  void remap(const F& value) {
    for (int64_t c = 0; c < size_.channels; ++c) {
      T* plane = values_ + c * size_.plane();
      std::copy(plane, plane + size_.plane(), before_.begin());
      each_pixel(size_, [&](int64_t pixel, int64_t i, int64_t j) {
        plane[pixel] = value(before_.data(), i, j);
      });
    }
  }

  void crop(int64_t pad) {
    const int64_t down = choice(u_[0], 2 * pad + 1) - pad, right = choice(u_[1], 2 * pad + 1) - pad;
    remap([&](const T* from, int64_t i, int64_t j) {
      return from[reflected(i + down, size_.height) * size_.width +
                  reflected(j + right, size_.width)];
    });
  }

  void crop_and_resize(double least_area) {
    const auto tall = static_cast<double>(size_.height), wide = static_cast<double>(size_.width);
    const double area = (least_area + u_[2] * (1 - least_area)) * tall * wide;
    // width over height: between 3/4 and 4/3 where the crop then fits into the image
    const double lowest = std::log(std::max(3.0 / 4, area / (tall * tall))),
                 highest = std::log(std::min(4.0 / 3, wide * wide / area));
    const double ratio =
        lowest <= highest ? std::exp(std::lerp(lowest, highest, u_[3])) : wide / tall;
    const auto side = [](double length, int64_t most) {
      return std::clamp<int64_t>(std::llround(length), 1, most);
    };
    const int64_t height = side(std::sqrt(area / ratio), size_.height),
                  width = side(std::sqrt(area * ratio), size_.width);
    const int64_t top = choice(u_[4], size_.height - height + 1),
                  left = choice(u_[5], size_.width - width + 1);
    // the centres of the pixels of the result in those of the crop
    const auto place = [](int64_t i, int64_t from, int64_t to, int64_t begin) {
      const double unit = static_cast<double>(from) / static_cast<double>(to);
      return between(static_cast<double>(begin) + (static_cast<double>(i) + .5) * unit - .5, begin,
                     begin + from);
    };
    remap([&](const T* from, int64_t i, int64_t j) {
      const Between row = place(i, height, size_.height, top),
                    column = place(j, width, size_.width, left);
      const auto along = [&](int64_t at) {
        const T* line = from + at * size_.width;
        return std::lerp(static_cast<double>(line[column.first]),
                         static_cast<double>(line[column.second]), column.weight);
      };
      return static_cast<T>(std::lerp(along(row.first), along(row.second), row.weight));
    });
  }

  void grey() {
    const int64_t n = size_.plane();
    for (int64_t p = 0; p < n; ++p) {
      const double luma = .299 * static_cast<double>(values_[p]) +
                          .587 * static_cast<double>(values_[n + p]) +
                          .114 * static_cast<double>(values_[2 * n + p]);
      for (int64_t c = 0; c < 3; ++c) values_[c * n + p] = static_cast<T>(luma);
    }
  }

  void cut_out(int64_t side) {
    const int64_t top = choice(u_[8], size_.height) - side / 2,
                  left = choice(u_[9], size_.width) - side / 2;
    each_pixel(size_, [&](int64_t pixel, int64_t i, int64_t j) {
      if (i < top || i >= top + side || j < left || j >= left + side) return;
      for (int64_t c = 0; c < size_.channels; ++c) values_[c * size_.plane() + pixel] = 0;
    });
  }

  T* values_;
  Size size_;
  const double* u_;
  std::vector<T> before_;
};

constexpr int64_t draws = 10;  // of one image

}  // namespace

Array augment(const Array& images, const Key& key, const Augmentation& how) {
  require(images.defined() && images.rank() == 4 && is_floating(images.dtype()) &&
              images.device().is_cpu(),
          "augment: needs images [B, C, H, W] of f32 or f64 on the CPU, got ", images);
  const Size size{images.dim(1), images.dim(2), images.dim(3)};
  const auto share = [](double p) { return p >= 0 && p <= 1; };
  require(how.pad >= 0 && how.pad < std::max<int64_t>(1, std::min(size.height, size.width)),
          "augment: a border of ", how.pad, " pixels of ", images,
          "; it must be smaller than the sides");
  require(share(how.least_area) && how.least_area > 0 && share(how.flip) && share(how.grey),
          "augment: least_area ", how.least_area, ", flip ", how.flip, " and grey ", how.grey,
          " must lie in [0, 1], least_area above 0");
  require(how.cutout >= 0, "augment: cutout ", how.cutout, " is negative");
  require(how.grey == 0 || size.channels == 3, "augment: grey needs three channels, got ", images);
  const Array out = copy_of(images), u = uniform(key, {images.dim(0), draws}, DType::f64);
  with_float(out.dtype(), [&](auto zero) {
    using T = decltype(zero);
    T* values = out.data<T>();
    const double* numbers = u.data<double>();
    parallel_for(images.dim(0), [&](int64_t i) {
      Image<T>(values + i * size.channels * size.plane(), size, numbers + i * draws).change(how);
    });
  });
  return out;
}

}  // namespace basin
