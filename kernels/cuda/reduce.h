// The two kernels every reduction on the GPU goes through, for .cu files. A loader says what is reduced: it may compute
// on the way (squared differences) or write what it has computed (the slope of an activation).
//   rows:    a team of 1 to 256 threads for each result, 16 bytes a load, four loads in flight for each thread
//   columns: results side by side in memory; a thread owns 16 bytes of columns, the team's other threads other rows
// Few results are split over several teams, whose f64 partials a second launch joins. Bytes moved: the input once.
// Which element goes to which thread, and the order of all joins, depends on sizes and the device model alone.
#pragma once
#include "kernels/cuda/pack.h"
#include "kernels/reduce_plan.h"

namespace basin::cuda {

constexpr int max_team = 256, blocks_each = 3;  // threads of a block; blocks a multiprocessor holds at 80 registers

__device__ inline double shuffle_xor(double value, int lanes) {
  return __shfl_xor_sync(0xffffffffu, value, lanes);
}

/// The join over a team of threads (a power of two; whole warps beyond 32), known to each of them. For the whole block.
template <class R>
__device__ typename R::Part team_join(typename R::Part part, int team) {
  __shared__ typename R::Part of_warp[max_team / 32];
  for (int lanes = (team < 32 ? team : 32) / 2; lanes > 0; lanes /= 2) part = R::join(part, shuffle_xor(part, lanes));
  if (team <= 32) return part;
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32, warps = team / 32;
  __syncthreads();
  if (lane == 0) of_warp[warp] = part;
  __syncthreads();
  part = of_warp[warp / warps * warps + lane % warps];
  for (int lanes = warps / 2; lanes > 0; lanes /= 2) part = R::join(part, shuffle_xor(part, lanes));
  return part;
}

/// Where results go: scaled to out, or as partials to be joined. Without out nothing is kept.
template <class T>
struct Store {
  T* out;
  Shape sizes, strides;
  double scale = 1;
  double* partial = nullptr;
  int64_t splits = 1;

  __device__ void put(int64_t index, int64_t split, double value) const {
    if (splits > 1)
      partial[index * splits + split] = value;
    else if (out)
      out[offset_at(sizes, strides, index, sizes.rank)] = static_cast<T>(scale * value);
  }
};

/// A loader over the elements of a view, in the order of its plan.
template <class T, bool vector>
struct Rows {
  using Element = T;
  using Raw = Pack<T>;
  const T* x;
  ReducePlan plan;

  __device__ int64_t base(int64_t row) const { return offset_at(plan.kept, plan.kept_in, row, plan.kept.rank); }
  /// Reads elements at ... at + count - 1 of a row.
  __device__ Raw fetch(int64_t base, int64_t at, int count) const {
    if (vector) return load_pack(x + base + offset_at(plan.gone, plan.gone_in, at, plan.gone.rank), 1, count, true);
    Raw raw{};
    for (int l = 0; l < Raw::width; ++l)
      if (l < count) raw.v[l] = x[base + offset_at(plan.gone, plan.gone_in, at + l, plan.gone.rank)];
    return raw;
  }
  /// What is reduced, from what was read: after all reads of a round, so that they overlap.
  __device__ Raw finish(const Raw& raw, int64_t, int64_t, int) const { return raw; }
};

/// Joins count elements of a round of up to four packs into acc; `at(k)` is the place of pack k, negative for none.
template <class R, class Load, class At>
__device__ void take(const Load& load, int64_t base, int count, double* acc, At&& at) {
  constexpr int rounds = 4;
  typename Load::Raw raw[rounds];
#pragma unroll
  for (int k = 0; k < rounds; ++k)
    if (at(k) >= 0) raw[k] = load.fetch(base, at(k), count);
#pragma unroll
  for (int k = 0; k < rounds; ++k) {
    if (at(k) < 0) continue;
    const auto pack = load.finish(raw[k], base, at(k), count);
#pragma unroll
    for (int l = 0; l < pack.width; ++l)
      if (l < count) acc[l] = R::join(acc[l], static_cast<double>(pack.v[l]));
  }
}

template <class R, class Load, class T>
__global__ void __launch_bounds__(max_team, blocks_each)
    rows_kernel(Load load, int64_t rows, int64_t length, int team, Store<T> store) {
  constexpr int width = Pack<typename Load::Element>::width;
  const int64_t item = global_thread() / team, row = item / store.splits, split = item % store.splits;
  double acc[width];
  for (double& a : acc) a = R::start;
  if (row < rows) {
    const int64_t base = load.base(row), step = store.splits * team, whole = length / width;
    const int64_t first = split * team + threadIdx.x % team;
    for (int64_t u = first; u < whole; u += 4 * step)
      take<R>(load, base, width, acc, [&](int k) { return u + k * step < whole ? (u + k * step) * width : -1; });
    if (length % width != 0 && whole % step == first)
      take<R>(load, base, static_cast<int>(length % width), acc, [&](int k) { return k == 0 ? whole * width : -1; });
  }
  for (int lanes = width / 2; lanes > 0; lanes /= 2)
    for (int l = 0; l < lanes; ++l) acc[l] = R::join(acc[l], acc[l + lanes]);
  const double total = team_join<R>(acc[0], team);
  if (row < rows && threadIdx.x % team == 0) store.put(row, split, total);
}

/// How a block is laid over columns: `across` packs of columns, `down` rows at a time, several such teams to a block.
struct Tile {
  int64_t outers, columns, rows;
  int across, down;
};

template <class R, class Load, class T>
__global__ void __launch_bounds__(max_team, blocks_each) columns_kernel(Load load, Tile tile, Store<T> store) {
  constexpr int width = Pack<typename Load::Element>::width;
  __shared__ double parts[width][max_team];
  const int team = tile.across * tile.down, me = static_cast<int>(threadIdx.x);
  const int x = me % tile.across, y = me / tile.across % tile.down;
  const int64_t strips = (tile.columns + tile.across * width - 1) / (tile.across * width);
  const int64_t item = global_thread() / team, split = item % store.splits, strip = item / store.splits % strips;
  const int64_t outer = item / store.splits / strips, column = (strip * tile.across + x) * width;
  const bool active = outer < tile.outers && column < tile.columns;
  const int count = static_cast<int>(tile.columns - column < width ? tile.columns - column : width);
  double acc[width];
  for (double& a : acc) a = R::start;
  const auto walk = [&](int n) {
    const int64_t base = load.base(outer, column), step = store.splits * tile.down;
    for (int64_t r = split * tile.down + y; r < tile.rows; r += 4 * step)
      take<R>(load, base, n, acc, [&](int k) { return r + k * step < tile.rows ? r + k * step : -1; });
  };
  if (active && count == width)
    walk(width);
  else if (active)
    walk(count);
  for (int l = 0; l < width; ++l) parts[l][me] = acc[l];
  for (int down = tile.down / 2; down > 0; down /= 2) {
    __syncthreads();
    if (y < down)
      for (int l = 0; l < width; ++l) parts[l][me] = R::join(parts[l][me], parts[l][me + down * tile.across]);
  }
  if (active && y == 0)
    for (int l = 0; l < count; ++l) store.put(outer * tile.columns + column + l, split, parts[l][me]);
}

/// Threads for each of `items` pieces of work of `units` loads: enough to fill the device, four loads or more for each.
inline int team_for(const Stream& s, int64_t items, int64_t units) {
  int team = 1;
  while (team < max_team && team * 4 < units && (team < 32 || items * team < int64_t{1024} * s.processors)) team *= 2;
  return team;
}

/// Teams that share a piece of work when the pieces are few; eight loads or more for each thread.
inline int64_t splits_for(const Stream& s, int64_t items, int64_t units, int64_t team) {
  if (team < max_team || items == 0) return 1;
  return std::max<int64_t>(1, std::min(blocks_each * s.processors / items, units / (8 * team)));
}

inline Grid team_grid(const Stream& s, int64_t items, int team) {
  const int64_t block = std::max(team, items * team < int64_t{max_team} * s.processors ? 32 : max_team),
                each = block / team;
  return {dim3(static_cast<unsigned>((items + each - 1) / each)), dim3(static_cast<unsigned>(block))};
}

/// The second launch: the partials of each result.
template <class R, class T>
void join_partials(const Stream& s, Store<T> store, int64_t results) {
  if (store.splits == 1 || !store.out) return;
  const int64_t n = store.splits;
  Rows<double, false> load{store.partial, {}};
  load.plan.kept = {results}, load.plan.kept_in = {n}, load.plan.gone = {n}, load.plan.gone_in = {1};
  store.splits = 1;
  const int team = team_for(s, results, n / 2);
  launch(s, team_grid(s, results, team), rows_kernel<R, Rows<double, false>, T>, load, results, n, team, store);
}

/// scratch(bytes) gives memory for the partials.
template <class R, class Load, class T, class Scratch>
void reduce_rows(const Stream& s, Scratch&& scratch, const Load& load, int64_t rows, int64_t length, Store<T> store) {
  const int64_t units = length / Pack<typename Load::Element>::width;
  const int team = team_for(s, rows, units);
  store.splits = splits_for(s, rows, units, team);
  if (store.splits > 1) store.partial = static_cast<double*>(scratch(sizeof(double) * rows * store.splits));
  launch(s, team_grid(s, rows * store.splits, team), rows_kernel<R, Load, T>, load, rows, length, team, store);
  join_partials<R>(s, store, rows);
}

template <class R, class Load, class T, class Scratch>
void reduce_columns(const Stream& s, Scratch&& scratch, const Load& load, int64_t outers, int64_t columns, int64_t rows,
                    Store<T> store) {
  const int64_t packs = (columns + 16 / sizeof(T) - 1) / (16 / static_cast<int64_t>(sizeof(T)));
  Tile tile{outers, columns, rows, 32, 1};
  const auto items = [&] { return outers * ((packs + tile.across - 1) / tile.across); };
  while (tile.across / 2 >= packs) tile.across /= 2;
  // Narrow strips when wide ones, split as far as is worth it, would leave multiprocessors idle.
  while (tile.across > 2 && items() * std::max<int64_t>(1, rows * tile.across / (8 * max_team)) < s.processors)
    tile.across /= 2;
  const auto wide = [&](int team) { return team < 32 || items() * team < int64_t{1024} * s.processors; };
  while (tile.across * tile.down < max_team && tile.down * 4 < rows && wide(tile.across * tile.down)) tile.down *= 2;
  const int team = tile.across * tile.down;
  store.splits = splits_for(s, items(), rows * tile.across, team);
  if (store.splits > 1) store.partial = static_cast<double*>(scratch(sizeof(double) * outers * columns * store.splits));
  launch(s, team_grid(s, items() * store.splits, team), columns_kernel<R, Load, T>, load, tile, store);
  join_partials<R>(s, store, outers * columns);
}

}  // namespace basin::cuda
