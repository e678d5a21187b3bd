// Max-pooling, plane by plane, as many windows of a row at a time as a register holds. A plane over
// whose border windows reach gets a frame, so that the border is like the middle. Sums run over
// windows in their order.
#include <limits>
#include <type_traits>
#include <vector>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/loops.h"
#include "kernels/cpu/vectors.h"
#include "kernels/pool_shape.h"
#include "kernels/unrolled.h"

namespace basin::cpu {
namespace {

template <class T>
using Whole = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;
template <class T, int n>
using Some = std::conditional_t<n == 1, T, Vec<T, n>>;

/// What the compiler knows of windows: their columns' stride, and where side is not 0, that they
/// are side x side elements with that stride along rows too.
template <int side_, int stride_>
struct Windows {
  static constexpr int side = side_, stride = stride_;
  static constexpr int together = side > 0 ? stride : 1;  // image rows
  Pooling pool;

  static int whole(int64_t n) { return static_cast<int>(n); }
  int rows() const { return side > 0 ? side : whole(pool.size[0]); }
  int cols() const { return side > 0 ? side : whole(pool.size[1]); }
  int down() const { return side > 0 ? stride : whole(pool.stride[0]); }
  int across() const { return stride > 0 ? stride : whole(pool.stride[1]); }
};

/// The elements number j of n windows that are `across` columns apart; a stride of 0: any.
template <int stride, int n, class T>
[[gnu::always_inline]] inline Some<T, n> every(const T* from, int j, int64_t across) {
  if constexpr (stride == 1 || n == 1) {
    return read<Some<T, n>>(from + j);
  } else if constexpr (stride == 0) {
    Vec<T, n> v;
    for (int l = 0; l < n; ++l) v[l] = from[j + l * across];
    return v;
  } else {  // no element before or behind those of the windows is read, which have two at least
    const T* pairs = from + (j > 0 ? j - 1 : 0);
    const Vec<T, n> low = load<T, n>(pairs), high = load<T, n>(pairs + n);
    return [&]<int... l>(std::integer_sequence<int, l...>) {
      return j > 0 ? __builtin_shufflevector(low, high, (2 * l + 1)...)
                   : __builtin_shufflevector(low, high, (2 * l)...);
    }
    (std::make_integer_sequence<int, n>());
  }
}

/// n windows side by side from x on, whose first places inside the image are `at`.
template <int n, class W, class T, class Place>
[[gnu::always_inline]] inline void largest_of(T* y, Place* place, const T* x, int64_t pitch,
                                              Some<Whole<T>, n> at, const W& w) {
  Some<T, n> best = every<W::stride, n>(x, 0, w.across());
  for (int i = 0; i < w.rows(); ++i, x += pitch) {
    for (int q = 0; q < n * W::stride && i + w.down() >= w.rows(); q += 64 / sizeof(T))
      __builtin_prefetch(x + 2048 + q);  // the processor itself stops at the end of a page
    for (int j = i == 0; j < w.cols(); ++j) {
      const Some<T, n> v = every<W::stride, n>(x, j, w.across());
      const auto stays = (!(v > best)) & (v == v);  // a NaN is taken
      best = stays ? best : v;
      at = stays ? at : Some<Whole<T>, n>{} + (i * w.cols() + j);
    }
  }
  store(y, best);
  if constexpr (n == 1)
    *place = static_cast<Place>(at);
  else
    store(place, __builtin_convertvector(at, Vec<Place, n>));
}

/// Image rows down m - padding + q, q = 0 ... down - 1, are group number m, and so are columns.
/// Row q of it is number q + down b of the windows in row m - b. Writes rows q ... of n groups of
/// columns, whose last windows are those at y and place.
template <int n, class W, class T, class Place>
[[gnu::always_inline]] inline void chosen_of(T* x, int64_t x_pitch, const T* y, const Place* place,
                                             int64_t pitch, int q, const W& w) {
  constexpr int rows = W::together, cols = std::max(1, W::stride);
  using Number = Some<Whole<T>, n>;
  for (int first = 0; first < w.across(); first += cols) {
    Some<T, n> sum[rows][cols] = {};
    for (int b = (w.rows() - 1) / w.down(); b >= 0; --b)
      for (int d = (w.cols() - 1) / w.across(); d >= 0; --d) {
        const auto v = read<Some<T, n>>(y - b * pitch - d);
        const auto number = converted<Number>(place - b * pitch - d);
        unrolled<rows * cols>([&](auto k) {
          const int i = b * w.down() + q + k / cols, j = d * w.across() + first + k % cols;
          if (i < w.rows() && j < w.cols())
            sum[k / cols][k % cols] += number == Number{} + (i * w.cols() + j) ? v : Some<T, n>{};
        });
      }
    unrolled<rows>([&](auto f) {
      const auto& s = sum[f];
      T* to = x + f * x_pitch + first;
      if constexpr (n > 1 && cols == 2) {
        [&]<int... l>(std::integer_sequence<int, l...>) {
          store(to, __builtin_shufflevector(s[0], s[1], (l / 2 + l % 2 * n)...));
          store(to + n, __builtin_shufflevector(s[0], s[1], (n / 2 + l / 2 + l % 2 * n)...));
        }
        (std::make_integer_sequence<int, n>());
      } else if constexpr (n == 1 || W::stride == 1) {
        std::memcpy(to, s, sizeof s);
      } else {
        for (int l = 0; l < n; ++l) to[l * w.across()] = s[0][l];
      }
    });
  }
}

/// A plane of rows x cols with elements around it; where there are none, the plane itself.
template <class T>
struct Framed {
  int64_t rows, cols, pitch, corner;  // from the first element of the frame to that of the plane
  std::vector<T> all;

  Framed(int64_t h, int64_t w, const int64_t (&before)[2], int64_t below, int64_t right, T border)
      : rows(h),
        cols(w),
        pitch(before[1] + w + right),
        corner(before[0] * pitch + before[1]),
        all(static_cast<size_t>(corner + below + right > 0 ? (before[0] + h + below) * pitch : 0),
            border) {}

  /// The first element of the frame, or of the plane; with the plane's elements.
  template <class P>
  P* begin(P* plane) {
    return all.empty() ? plane : all.data();
  }
  const T* filled(const T* plane) {
    for (int64_t r = 0; r < rows && !all.empty(); ++r)
      std::copy_n(plane + r * cols, cols, all.data() + corner + r * pitch);
    return begin(plane);
  }
  void take_out(T* plane) const {
    for (int64_t r = 0; r < rows && !all.empty(); ++r)
      std::copy_n(all.data() + corner + r * pitch, cols, plane + r * cols);
  }
};

/// f(c) for pieces of n that cover `count` columns, the last of which begins early enough.
template <int n, class F>
[[gnu::always_inline]] inline void in_pieces(int64_t count, F&& f) {
  for (int64_t c = 0; c < count; c += n) f(std::min<int64_t>(c, count - n));
}

/// f(n): the most lanes of a register, or of a half, a quarter, ... that so many columns fill.
template <class T, int n = lanes<T>, class F>
void with_lanes(int64_t columns, F&& f) {
  if constexpr (n > 1)
    if (columns < n) return with_lanes<T, n / 2>(columns, f);
  f(std::integral_constant<int, n>());
}

/// f(windows, n, first plane, end) for tasks of planes.
template <class T, class Place, class F>
void for_planes(const PoolShape& s, int64_t columns, F&& f) {
  const auto run = [&](auto w) {
    with_lanes<T>(columns, [&](auto n) {
      const int64_t each = grain / (s.pixels() + 1) + 1;
      parallel_for((s.planes + each - 1) / each, [&](int64_t task) {
        f(w, n, task * each, std::min(s.planes, (task + 1) * each));
      });
    });
  };
  const auto& [size, stride, padding] = s.pool;
  if constexpr (sizeof(Place) == 1) {
    if (size[0] == 2 && size[1] == 2 && stride[0] == 2 && stride[1] == 2)
      return run(Windows<2, 2>{s.pool});
    if (stride[1] == 2 && size[1] >= 2) return run(Windows<0, 2>{s.pool});
    if (stride[1] == 1) return run(Windows<0, 1>{s.pool});
  }
  run(Windows<0, 0>{s.pool});
}

template <class T, class Place>
void largest(T* all_y, Place* all_places, const T* all_x, const PoolShape& shape) {
  const auto& border = shape.pool.padding;
  std::vector<Whole<T>> first(static_cast<size_t>(shape.cols));  // places inside the image
  for (int64_t c = 0; c < shape.cols; ++c)
    first[static_cast<size_t>(c)] = static_cast<Whole<T>>(shape.inside(1, c).from);
  for_planes<T, Place>(shape, shape.cols, [&](auto w, auto n, int64_t plane, int64_t end) {
    const PoolShape s = shape;
    const Whole<T>* before = first.data();
    std::vector<Place> unwanted(static_cast<size_t>(all_places ? 0 : s.points()));
    Framed<T> image(s.height, s.width, border, border[0], border[1],
                    -std::numeric_limits<T>::infinity());
    const int64_t pitch = image.pitch;
    for (; plane < end; ++plane) {
      const T* x = image.filled(all_x + plane * s.pixels());
      T* y = all_y + plane * s.points();
      Place* place = all_places ? all_places + plane * s.points() : unwanted.data();
      for (int64_t r = 0; r < s.rows; ++r) {
        const auto above = static_cast<Whole<T>>(s.inside(0, r).from * w.cols());
        in_pieces<n>(s.cols, [&](int64_t c) {
          largest_of<n>(y + c, place + c, x + c * w.across(), pitch,
                        read<Some<Whole<T>, n>>(before + c) + above, w);
        });
        x += w.down() * pitch;
        y += s.cols;
        place += s.cols;
      }
    }
  });
}

template <class T, class Place>
void chosen(T* all_x, const T* all_y, const Place* all_places, PoolShape s) {
  const int64_t side[2] = {s.height, s.width};
  int64_t depth[2], groups[2], behind[2];
  for (int i = 0; i < 2; ++i) {
    int64_t& stride = s.pool.stride[i];
    stride = std::min(stride, side[i] + 2 * s.pool.padding[i]);  // of the only window
    depth[i] = (s.pool.size[i] - 1) / stride;
    groups[i] = (side[i] + s.pool.padding[i] + stride - 1) / stride;
    behind[i] = groups[i] * stride - s.pool.padding[i] - side[i];
  }
  for_planes<T, Place>(s, groups[1], [&](auto w, auto n, int64_t plane, int64_t end) {
    const int64_t below = groups[0] - s.rows, across = groups[1], right = across - s.cols;
    Framed<T> from(s.rows, s.cols, depth, below, right, T(0));
    Framed<Place> numbers(s.rows, s.cols, depth, below, right, Place(0));
    Framed<T> to(s.height, s.width, s.pool.padding, behind[0], behind[1], T(0));
    const int64_t pitch = from.pitch, to_pitch = to.pitch;
    for (; plane < end; ++plane) {
      const T* y = from.filled(all_y + plane * s.points()) + from.corner;
      const Place* place = numbers.filled(all_places + plane * s.points()) + from.corner;
      T* x = to.begin(all_x + plane * s.pixels());
      for (int64_t m = 0; m < groups[0]; ++m, y += pitch, place += pitch)
        for (int q = 0; q < w.down(); q += w.together, x += w.together * to_pitch)
          in_pieces<n>(across, [&](int64_t c) {
            chosen_of<n>(x + c * w.across(), to_pitch, y + c, place + c, pitch, q, w);
          });
      to.take_out(all_x + plane * s.pixels());
    }
  });
}

template <class F>
void with_types(const View& image, const View& place, F&& f) {
  with_float(image.dtype, [&](auto zero) {
    place.dtype == DType::u8 ? f(zero, uint8_t{}) : f(zero, int32_t{});
  });
}

}  // namespace

void CpuBackend::max_pool(const View& y, const View& place, const View& x, const Pooling& pool) {
  with_types(x, place, [&](auto zero, auto number) {
    using T = decltype(zero);
    largest(y.as<T>(), place.as<decltype(number)>(), x.as<const T>(), PoolShape(x, y, pool));
  });
}

void CpuBackend::pool_gather(const View& y, const View& x, const View& place, const Pooling& pool) {
  const PoolShape s(x, y, pool);
  with_types(x, place, [&](auto zero, auto number) {
    using T = decltype(zero);
    parallel_for(s.planes, [&](int64_t plane) {
      const T* image = x.as<const T>() + plane * s.pixels();
      const auto* places = place.as<const decltype(number)>() + plane * s.points();
      for (int64_t i = 0; i < s.points(); ++i)
        y.as<T>()[plane * s.points() + i] = s.at_place(image, i / s.cols, i % s.cols, places[i]);
    });
  });
}

void CpuBackend::pool_spread(const View& x, const View& y, const View& place, const Pooling& pool) {
  with_types(x, place, [&](auto zero, auto number) {
    using T = decltype(zero);
    chosen(x.as<T>(), y.as<const T>(), place.as<const decltype(number)>(), PoolShape(x, y, pool));
  });
}

}  // namespace basin::cpu
