// Max-pooling. Rows do not depend on each other. Windows inside the image are done as many of a row
// at a time as a register holds (back: where they are one or two columns apart), the others one by
// one. Sums run over windows in their order in both.
#include <type_traits>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/loops.h"
#include "kernels/cpu/vectors.h"
#include "kernels/pool_shape.h"
#include "kernels/unrolled.h"

namespace basin::cpu {
namespace {

template <class T>
using Whole = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;

/// The elements number first, first + step, first + 2 step, ...; a stride of 0: any step.
template <int stride, class T, int n>
[[gnu::always_inline]] inline Vec<T, n> every(const T* from, int first, int64_t step) {
  if constexpr (stride == 0) {
    Vec<T, n> v;
    for (int l = 0; l < n; ++l) v[l] = from[first + l * step];
    return v;
  } else if constexpr (stride == 1) {
    return load<T, n>(from + first);
  } else {  // no element before or behind those of the windows is read, which have two at least
    const T* pairs = from + (first > 0 ? first - 1 : 0);
    const Vec<T, n> low = load<T, n>(pairs), high = load<T, n>(pairs + n);
    const auto pick = [&]<int... l>(auto odd, std::integer_sequence<int, l...>) {
      return __builtin_shufflevector(low, high, (2 * l + odd())...);
    };
    constexpr auto all = std::make_integer_sequence<int, n>();
    return first > 0 ? pick(std::integral_constant<int, 1>(), all)
                     : pick(std::integral_constant<int, 0>(), all);
  }
}

/// Asks for `count` elements 16 KiB further on: what the processor fetches by itself ends with a
/// page.
template <int count, class T>
[[gnu::always_inline]] inline void fetch_ahead(const T* from) {
  for (int byte = 0; byte < count * static_cast<int>(sizeof(T)); byte += 64)
    __builtin_prefetch(reinterpret_cast<const char*>(from) + 16384 + byte);
}

/// What the compiler knows of windows: their columns' stride, and where side is not 0, that they
/// are side x side elements with that stride along rows too.
template <int side_, int stride_>
struct Known {
  static constexpr int side = side_, stride = stride_;
};

/// Rows `from` to `to` of n windows side by side; x is the first element of the first one.
template <class Windows, int n, class T>
[[gnu::always_inline]] inline void largest_of(T* y, uint8_t* place, const T* x,
                                              PoolShape::Span rows, const PoolShape& s) {
  using Places = Vec<Whole<T>, n>;
  const auto size = Windows::side > 0 ? Windows::side : static_cast<int>(s.pool.size[1]);
  const auto run = [&](int64_t from, int64_t to) __attribute__((always_inline)) {
    const T* row = x + from * s.width;
    Whole<T> first = static_cast<Whole<T>>(from) * size;
    Vec<T, n> best = every<Windows::stride, T, n>(row, 0, s.pool.stride[1]);
    Places at = Places{} + first;
    for (int64_t i = from; i < to; ++i, row += s.width, first += size) {
      if (i + s.pool.stride[0] >= s.pool.size[0]) fetch_ahead<n * Windows::stride>(row);
      for (int j = i == from; j < size; ++j) {
        const Vec<T, n> v = every<Windows::stride, T, n>(row, j, s.pool.stride[1]);
        const Places taken = (v > best) | (v != v);
        best = taken ? v : best;
        at = taken ? Places{} + (first + j) : at;
      }
    }
    fetch_ahead<n>(y);
    store(y, best);
    if (place) store(place, __builtin_convertvector(at, Vec<uint8_t, n>));
  };
  if (Windows::side > 0 && rows.to - rows.from == Windows::side)
    run(0, Windows::side);  // unrolled
  else
    run(rows.from, rows.to);
}

/// Image rows stride m - padding + q, q = 0 ... stride - 1, are group number m, and so are columns.
/// Row q of it is number q + stride d of the windows in row m - d, d = 0 ... depth.
struct Group {
  int64_t row, col, rows_depth, cols_depth;
};

/// Of n groups of columns side by side.
template <class Windows, int n, class T>
[[gnu::always_inline]] inline void chosen_of(T* x, const T* y, const uint8_t* place,
                                             const Group& at, const PoolShape& s) {
  using Places = Vec<Whole<T>, n>;
  using std::integral_constant;
  constexpr int side = Windows::side, stride = Windows::stride;
  constexpr int high = side > 0 ? stride : 1;  // image rows at a time
  const auto rows = side > 0 ? side : static_cast<int>(s.pool.size[0]),
             cols = side > 0 ? side : static_cast<int>(s.pool.size[1]),
             down = side > 0 ? stride : static_cast<int>(s.pool.stride[0]);
  const int64_t up = at.row * down - s.pool.padding[0];
  const auto least = side > 0 ? 0 : static_cast<int>(std::max<int64_t>(0, -up)),
             end = side > 0 ? down : static_cast<int>(std::min<int64_t>(down, s.height - up));
  for (int q = least; q < end; q += high) {
    Vec<T, n> sum[high][stride] = {};
    for (int b = side > 0 ? (side - 1) / stride : static_cast<int>(at.rows_depth); b >= 0; --b) {
      const int64_t r = at.row - b;
      if (r < 0 || r >= s.rows || b * down + q >= rows) continue;
      for (int d = (cols - 1) / stride; d >= 0; --d) {
        const int64_t window = r * s.cols + at.col - d;
        const Vec<uint8_t, n> bytes = load<uint8_t, n>(place + window);
        const auto places =  // in two steps: of one, GCC 12 makes a loop over bytes
            __builtin_convertvector(__builtin_convertvector(bytes, Vec<uint16_t, n>), Places);
        const Vec<T, n> v = load<T, n>(y + window);
        unrolled<high>([&](auto f) {
          const int i = b * down + q + f;
          unrolled<stride>([&](auto e) {
            const int j = d * stride + e;
            const Places wanted = Places{} + static_cast<Whole<T>>(i * cols + j);
            if (i < rows && j < cols) sum[f][e] += places == wanted ? v : Vec<T, n>{};
          });
        });
      }
    }
    unrolled<high>([&](auto f) {
      const int64_t h = up + q + f;
      if (h < 0 || h >= s.height) return;
      T* to = x + h * s.width + at.col * stride - s.pool.padding[1];
      fetch_ahead<n * stride>(to);
      if constexpr (stride == 1) {
        store(to, sum[f][0]);
      } else {
        const auto woven = [&]<int... l>(auto first, std::integer_sequence<int, l...>) {
          return __builtin_shufflevector(sum[f][0], sum[f][1], (first() + l / 2 + l % 2 * n)...);
        };
        constexpr auto all = std::make_integer_sequence<int, n>();
        store(to, woven(integral_constant<int, 0>(), all));
        store(to + n, woven(integral_constant<int, n / 2>(), all));
      }
    });
  }
}

/// A group of rows and one of columns, wherever windows end.
template <class T, class Place>
void chosen_singly(T* x, const T* y, const Place* place, const Group& at, const PoolShape& s) {
  const auto& [size, stride, padding] = s.pool;
  const int64_t top = std::max<int64_t>(0, at.row - at.rows_depth),
                left = std::max<int64_t>(0, at.col - at.cols_depth),
                bottom = std::min(s.rows, at.row + 1), right = std::min(s.cols, at.col + 1);
  const int64_t up = at.row * stride[0] - padding[0], side = at.col * stride[1] - padding[1];
  for (int64_t h = std::max<int64_t>(0, up); h < std::min(s.height, up + stride[0]); ++h)
    for (int64_t w = std::max<int64_t>(0, side); w < std::min(s.width, side + stride[1]); ++w) {
      const int64_t p = h - up, q = w - side;
      T sum = 0;
      for (int64_t r = top; r < bottom; ++r)
        for (int64_t c = left; c < right; ++c) {
          const int64_t i = (at.row - r) * stride[0] + p, j = (at.col - c) * stride[1] + q;
          const bool is = i < size[0] && j < size[1] && place[r * s.cols + c] == i * size[1] + j;
          sum += is ? y[r * s.cols + c] : T(0);
        }
      x[h * s.width + w] = sum;
    }
}

/// f(n): the most lanes of a register, or of a half or a quarter of one, that so many columns fill;
/// 0 where they do not fill 16 bytes.
template <class T, int n = lanes<T>, class F>
void with_lanes(int64_t columns, F&& f) {
  if constexpr (n * sizeof(T) < 16)
    f(std::integral_constant<int, 0>());
  else if (columns < n)
    with_lanes<T, n / 2>(columns, f);
  else
    f(std::integral_constant<int, n>());
}

/// All columns: those of from ... to - 1 by piece(first) of n, the last of which begins early
/// enough, the others by singly(first, last).
template <int n, class Piece, class Singly>
[[gnu::always_inline]] inline void in_pieces(int64_t from, int64_t to, int64_t all, Piece&& piece,
                                             Singly&& singly) {
  if constexpr (n > 0) {
    if (from > 0) singly(0, from);
    for (int64_t c = from; c < to; c += n) piece(std::min<int64_t>(c, to - n));
    if (to < all) singly(to, all);
  } else {
    singly(0, all);
  }
}

/// f(plane, row) for all rows of all planes, each of `cost` elements.
template <class F>
void each_row(int64_t planes, int64_t rows, int64_t cost, const F& f) {
  const int64_t all = planes * rows, per_task = std::max<int64_t>(1, grain / (cost + 1));
  if (all == 0) return;
  parallel_for((all + per_task - 1) / per_task, [&](int64_t task) {
    const F mine = f;  // nothing that is written can overlap it
    const int64_t first = task * per_task, end = std::min(all, first + per_task);
    for (int64_t plane = first / rows; plane * rows < end; ++plane) {
      const int64_t to = std::min(rows, end - plane * rows);
      for (int64_t row = std::max<int64_t>(0, first - plane * rows); row < to; ++row)
        mine(plane, row);
    }
  });
}

/// f(Known of the windows).
template <class Place, class F>
void with_windows(const Pooling& pool, F&& f) {
  if constexpr (sizeof(Place) == 1) {
    if (pool.stride[1] == 2 && pool.size[1] == 2 && pool.stride[0] == 2 && pool.size[0] == 2)
      return f(Known<2, 2>());
    if (pool.stride[1] == 2 && pool.size[1] >= 2) return f(Known<0, 2>());
    if (pool.stride[1] == 1) return f(Known<0, 1>());
  }
  f(Known<0, 0>());
}

template <class T, class Place>
void largest(T* all_y, Place* all_places, const T* all_x, const PoolShape& s) {
  const int64_t padding = s.pool.padding[1], stride = s.pool.stride[1],
                from = (padding + stride - 1) / stride,  // windows that lie inside
      to = (s.width + padding - s.pool.size[1]) / stride + 1;
  with_windows<Place>(s.pool, [&](auto windows) {
    using Windows = decltype(windows);
    with_lanes<T>(sizeof(Place) == 1 ? to - from : 0, [&](auto n) {
      each_row(s.planes, s.rows, s.width * s.pool.stride[0], [=](int64_t plane, int64_t r) {
        const T* x = all_x + plane * s.pixels();
        T* y = all_y + (plane * s.rows + r) * s.cols;
        Place* places = all_places ? all_places + (plane * s.rows + r) * s.cols : nullptr;
        const PoolShape::Span rows = s.inside(0, r);
        const auto piece = [&](int64_t c) {
          if constexpr (n > 0 && sizeof(Place) == 1)
            largest_of<Windows, n>(y + c, places ? places + c : nullptr, x + s.element(r, c, 0, 0),
                                   rows, s);
        };
        in_pieces<n>(from, to, s.cols, piece, [&](int64_t first, int64_t end) {
          for (int64_t c = first; c < end; ++c) {
            int64_t at;
            y[c] = s.largest(x, r, c, at);
            if (places) places[c] = static_cast<Place>(at);
          }
        });
      });
    });
  });
}

template <class T, class Place>
void chosen(T* all_x, const T* all_y, const Place* all_places, const PoolShape& s) {
  const int64_t down = s.pool.stride[0], across = s.pool.stride[1], padding = s.pool.padding[1],
                before = (s.pool.size[1] - 1) / across, depth = (s.pool.size[0] - 1) / down,
                rows = (s.height + s.pool.padding[0] - 1) / down + 1,  // groups
      cols = (s.width + padding - 1) / across + 1,
                // of columns that have all their windows and lie inside
      from = std::max(before, (padding + across - 1) / across),
                to = std::min(s.cols, (s.width + padding) / across);
  with_windows<Place>(s.pool, [&](auto windows) {
    using Windows = decltype(windows);
    with_lanes<T>(Windows::stride > 0 ? to - from : 0, [&](auto n) {
      each_row(s.planes, rows, s.width * down, [=](int64_t plane, int64_t m) {
        T* x = all_x + plane * s.pixels();
        const T* y = all_y + plane * s.points();
        const Place* places = all_places + plane * s.points();
        Group at{m, 0, depth, before};
        const auto piece = [&](int64_t c) {
          at.col = c;
          if constexpr (n > 0 && Windows::stride > 0) chosen_of<Windows, n>(x, y, places, at, s);
        };
        in_pieces<n>(from, to, cols, piece, [&](int64_t first, int64_t end) {
          for (at.col = first; at.col < end; ++at.col) chosen_singly(x, y, places, at, s);
        });
      });
    });
  });
}

template <class F>
void with_types(const View& image, const View& place, F&& f) {
  with_float(image.dtype, [&](auto zero) {
    if (place.dtype == DType::u8)
      f(zero, uint8_t{});
    else
      f(zero, int32_t{});
  });
}

}  // namespace

void CpuBackend::max_pool(const View& y, const View& place, const View& x, const Pooling& pool) {
  with_types(x, place, [&](auto zero, auto number) {
    using T = decltype(zero);
    using Place = decltype(number);
    largest(y.as<T>(), place.as<Place>(), x.as<const T>(), PoolShape(x, y, pool));
  });
}

void CpuBackend::pool_gather(const View& y, const View& x, const View& place, const Pooling& pool) {
  const PoolShape s(x, y, pool);
  with_types(x, place, [&](auto zero, auto number) {
    using T = decltype(zero);
    each_row(s.planes, s.rows, s.cols, [&](int64_t plane, int64_t r) {
      const int64_t row = (plane * s.rows + r) * s.cols;
      const T* image = x.as<const T>() + plane * s.pixels();
      for (int64_t c = 0; c < s.cols; ++c)
        y.as<T>()[row + c] = s.at_place(image, r, c, place.as<const decltype(number)>()[row + c]);
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
