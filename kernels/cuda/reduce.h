// The kernel every reduction on the GPU goes through, for .cu files. A loader says what is reduced:
// it may compute on the way (squared differences) or write what it has computed (the slope of an
// activation). A thread loads packs of 16 bytes, four at a time. A flat loader's packs lie along
// the reduced axis and are joined to one result by a team of 1 to 256 threads; another's lie across
// results that are neighbours in memory, and the team is spread over both axes. Few results are
// split over several teams, whose f64 partials a second launch joins. Bytes moved: the input once.
// Which element goes to which thread, and the order of all joins, depends on sizes and the device
// model alone.
#pragma once
#include "kernels/cuda/pack.h"
#include "kernels/reduce_plan.h"

namespace basin::cuda {

constexpr int max_team = 256,
              blocks_each = 3;  // threads of a block; blocks a multiprocessor holds at 80 registers

__device__ inline double shuffle_xor(double value, int lanes) {
  return __shfl_xor_sync(0xffffffffu, value, lanes);
}

/// The join over a team of threads (a power of two; whole warps beyond 32), known to each of them.
/// For the whole block.
template <class R>
__device__ typename R::Part team_join(typename R::Part part, int team) {
  __shared__ typename R::Part of_warp[max_team / 32];
  for (int lanes = (team < 32 ? team : 32) / 2; lanes > 0; lanes /= 2)
    part = R::join(part, shuffle_xor(part, lanes));
  if (team <= 32) return part;
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32,
            warps = team / 32;
  __syncthreads();
  if (lane == 0) of_warp[warp] = part;
  __syncthreads();
  part = of_warp[warp / warps * warps + lane % warps];
  for (int lanes = warps / 2; lanes > 0; lanes /= 2) part = R::join(part, shuffle_xor(part, lanes));
  return part;
}

/// Where results go: scaled and divided to out, or as partials to be joined. Without out nothing is
/// kept.
template <class T>
struct Store {
  T* out;
  Shape sizes, strides;
  double scale = 1, divisor = 1;
  double* partial = nullptr;
  int64_t splits = 1;

  __device__ void put(int64_t index, int64_t split, double value) const {
    if (splits > 1)
      partial[index * splits + split] = value;
    else if (out)
      out[offset_at(sizes, strides, index, sizes.rank)] =
          static_cast<T>(divisor == 1 ? scale * value : scale * value / divisor);
  }
};

/// A loader over the elements of a view.
template <class T, bool flat_, bool vector_>
struct Strided {
  using Element = T;
  using Raw = Pack<T>;
  static constexpr bool flat = flat_, vector = vector_;
  const T* x;
  ReducePlan plan;

  __device__ int64_t base(int64_t outer, int64_t column) const {
    return offset_at(plan.kept, plan.kept_in, outer, plan.kept.rank - (flat ? 0 : 1)) + column;
  }
  /// Reads what pack number `at` of the reduced axis (flat: element number) needs.
  __device__ Raw fetch(int64_t base, int64_t at, int count) const {
    if (!flat || vector)
      return load_pack(x + base + offset_at(plan.gone, plan.gone_in, at, plan.gone.rank), 1, count,
                       vector);
    Raw raw{};
    for (int l = 0; l < Raw::width; ++l)
      if (l < count)
        raw.v[l] = x[base + offset_at(plan.gone, plan.gone_in, at + l, plan.gone.rank)];
    return raw;
  }
  /// What is reduced, from what was read: called after the reads of a round, so that they overlap.
  __device__ Raw finish(const Raw& raw, int64_t, int64_t, int) const { return raw; }
};

/// How teams lie over [outers, columns, rows]: `across` packs of columns, `down` rows at a time.
/// When flat there is one column, and rows are the packs of `length` elements.
struct Tile {
  int64_t outers, columns, rows, length;
  int across = 32, down = 1;
};

template <class R, class Load, class T>
__global__ void __launch_bounds__(max_team, blocks_each)
    reduce_kernel(Load load, Tile tile, Store<T> store) {
  constexpr int width = Pack<typename Load::Element>::width;
  constexpr int rounds =
      64 / sizeof(typename Load::Raw);  // 64 bytes of loads in flight for each thread
  const int me = static_cast<int>(threadIdx.x), x = me % tile.across,
            y = me / tile.across % tile.down;
  const int64_t strips = (tile.columns + tile.across * width - 1) / (tile.across * width);
  const int64_t item = global_thread() / (tile.across * tile.down), split = item % store.splits;
  const int64_t strip = item / store.splits % strips, outer = item / store.splits / strips;
  const int64_t column = (strip * tile.across + x) * width, step = store.splits * tile.down;
  const bool active = outer < tile.outers && column < tile.columns;
  const auto at = [](int64_t r) { return Load::flat ? r * width : r; };
  const auto count = [&](int64_t r) {
    const int64_t left = Load::flat ? tile.length - at(r) : tile.columns - column;
    return Load::vector || left >= width ? width : static_cast<int>(left);
  };
  double acc[width];
  for (double& a : acc) a = R::start;
  if (active) {
    const int64_t base = load.base(outer, column);
    for (int64_t first = split * tile.down + y; first < tile.rows; first += rounds * step) {
      typename Load::Raw raw[rounds];
#pragma unroll
      for (int k = 0; k < rounds; ++k)
        if (const int64_t r = first + k * step; r < tile.rows)
          raw[k] = load.fetch(base, at(r), count(r));
#pragma unroll
      for (int k = 0; k < rounds; ++k) {
        const int64_t r = first + k * step;
        if (r >= tile.rows) break;
        const auto pack = load.finish(raw[k], base, at(r), count(r));
        for (int l = 0; l < width; ++l)
          if (l < count(r)) acc[l] = R::join(acc[l], static_cast<double>(pack.v[l]));
      }
    }
  }
  if constexpr (Load::flat) {
    for (int lanes = width / 2; lanes > 0; lanes /= 2)
      for (int l = 0; l < lanes; ++l) acc[l] = R::join(acc[l], acc[l + lanes]);
    const double total = team_join<R>(acc[0], tile.down);
    if (active && y == 0) store.put(outer, split, total);
  } else {
    __shared__ double parts[width][max_team];
    for (int l = 0; l < width; ++l) parts[l][me] = acc[l];
    for (int down = tile.down / 2; down > 0; down /= 2) {
      __syncthreads();
      if (y < down)
        for (int l = 0; l < width; ++l)
          parts[l][me] = R::join(parts[l][me], parts[l][me + down * tile.across]);
    }
    if (active && y == 0)
      for (int l = 0; l < count(0); ++l)
        store.put(outer * tile.columns + column + l, split, parts[l][me]);
  }
}

/// Threads for each of `items` pieces of work of `units` loads, in multiples of `across`: enough to
/// fill the device, with four loads or more for each.
inline int team_for(const Stream& s, int64_t items, int64_t units, int across = 1) {
  int team = 1;
  while (team * across < max_team && team * 4 < units &&
         (team * across < 32 || items * team * across < int64_t{1024} * s.processors))
    team *= 2;
  return team;
}

inline Grid team_grid(const Stream& s, int64_t items, int team) {
  const int64_t block =
                    std::max(team, items * team < int64_t{max_team} * s.processors ? 32 : max_team),
                each = block / team;
  return {dim3(static_cast<unsigned>((items + each - 1) / each)),
          dim3(static_cast<unsigned>(block))};
}

/// Reduces `length` elements to each of [outers, columns] results
/// (flat: one column). scratch(bytes) gives memory for partials.
template <class R, class Load, class T, class Scratch>
void reduce_with(const Stream& s, Scratch&& scratch, const Load& load, int64_t outers,
                 int64_t columns, int64_t length, Store<T> store) {
  constexpr int width = Pack<typename Load::Element>::width;
  Tile tile{outers, columns, Load::flat ? (length + width - 1) / width : length, length};
  const int64_t packs = (columns + width - 1) / width, results = outers * columns;
  const auto items = [&] { return outers * ((packs + tile.across - 1) / tile.across); };
  while (tile.across / 2 >= packs) tile.across /= 2;
  // Narrow strips when wide ones, split as far as is worth it, would leave multiprocessors idle.
  while (tile.across > 2 &&
         items() * std::max<int64_t>(1, tile.rows * tile.across / (8 * max_team)) < s.processors)
    tile.across /= 2;
  tile.down = team_for(s, items(), tile.rows, tile.across);
  const int team = tile.across * tile.down;
  if (team == max_team &&
      items() > 0)  // few results: several teams for each, while a thread has eight loads or more
    store.splits = std::max<int64_t>(
        1, std::min(blocks_each * s.processors / items(), tile.rows / (8 * tile.down)));
  if (store.splits > 1)
    store.partial = static_cast<double*>(scratch(sizeof(double) * results * store.splits));
  launch(s, team_grid(s, items() * store.splits, team), reduce_kernel<R, Load, T>, load, tile,
         store);
  if (store.splits == 1 || !store.out) return;
  Strided<double, true, false> partials{store.partial, {}};
  partials.plan.kept = {results}, partials.plan.kept_in = {store.splits};
  partials.plan.gone = {store.splits}, partials.plan.gone_in = {1};
  reduce_with<R>(s, scratch, partials, results, 1, store.splits,
                 Store<T>{store.out, store.sizes, store.strides, store.scale, store.divisor});
}

/// f(bool_constant, bool_constant)
template <class F>
void with_flags(bool a, bool b, F&& f) {
  const std::true_type yes;
  const std::false_type no;
  if (a) return b ? f(yes, yes) : f(yes, no);
  return b ? f(no, yes) : f(no, no);
}

}  // namespace basin::cuda
