// The inner loops of one step of online SGD: a single pass over the modes applies the update that
// the step before left pending, then sums what the coefficients of this step's update need. Private
// to simulator.cpp.
#pragma once
#include <cstdint>
#include <cstring>
#include <vector>

#include "experiments/online_sgd/theory/model.h"
#include "kernels/unrolled.h"

namespace basin::online {

/// 64 bytes of lanes. Sums over modes keep one partial sum a lane, so their order is the same on
/// every machine.
template <class T>
struct Lanes {
  static constexpr int count = 64 / sizeof(T);
  typedef T Vector __attribute__((vector_size(64)));
  Vector v;
};

/// The lower half of a vector plus its upper half.
template <class Half, class Whole>
[[gnu::always_inline]] inline void fold(const Whole& whole, Half& half) {
  Half upper;
  std::memcpy(&half, &whole, sizeof half);
  std::memcpy(&upper, reinterpret_cast<const char*>(&whole) + sizeof half, sizeof half);
  half += upper;
}

/// Sum of the lanes as a tree: halves, quarters, ... Not inlined, because taking an address here
/// would keep the running sums of the loop in memory.
template <class T>
[[gnu::noinline]] T sum_of(const Lanes<T>& lanes) {
  typedef T Half __attribute__((vector_size(32)));
  typedef T Quarter __attribute__((vector_size(16)));
  Half half;
  Quarter quarter;
  fold(lanes.v, half);
  fold(half, quarter);
  if constexpr (sizeof(T) == 8)
    return quarter[0] + quarter[1];
  else
    return (quarter[0] + quarter[2]) + (quarter[1] + quarter[3]);
}

/// Pairs (k, a), a <= k, in the order of a lower triangle.
constexpr int64_t pair_index(int64_t k, int64_t a) {
  return k * (k + 1) / 2 + a;
}

/// An update that is known but not applied: with r = x - sum_a g_a v_a (truncated: the sum up to
/// the unit itself), w_k += c_k x - decay w_k and v_k += s_k r - decay v_k. One set of tied weights
/// gets c_k x + s_k r.
template <class T>
struct Pending {
  std::vector<T> g, w_step, v_step;  // g_k, c_k, s_k
  T decay = 0;
  bool truncated = false;
};

/// Beyond so many units a second pass over the weights costs less than the products of all pairs of
/// decoders.
constexpr int64_t most_units_in_pairs = 9;

/// What the fields are made of: w_k.x and v_k.x (K each), then v_k.v_a
/// by pair_index. Without pairs: w_k.x and, from sum_errors, v_k.r.
template <class T>
struct Sums {
  static Sums of(int64_t units) {
    const auto size =
        static_cast<size_t>(2 * units + (units <= most_units_in_pairs ? pair_index(units, 0) : 0));
    return {std::vector<T>(size), std::vector<Lanes<T>>(size)};
  }
  bool has_pairs(int64_t units) const { return static_cast<int64_t>(values.size()) > 2 * units; }

  std::vector<T> values;
  std::vector<Lanes<T>> lanes;
};

/// The weights, vector by vector of modes: w_1 .. w_K, v_1 .. v_K (tied: one set, v) of modes 0 ..,
/// then of the next.
template <class T>
struct Layers {
  int64_t units = 0;
  int64_t vectors = 0;
  bool tied = false;
  std::vector<Lanes<T>> rows;

  int64_t encoders() const { return tied ? 0 : units; }
  int64_t stride() const { return encoders() + units; }
  /// Row r of the 2 K (tied: K) at one mode.
  T at(int64_t r, int64_t mode) const { return rows[index(r, mode)].v[mode % Lanes<T>::count]; }
  void set(int64_t r, int64_t mode, T value) {
    rows[index(r, mode)].v[mode % Lanes<T>::count] = value;
  }

 private:
  size_t index(int64_t r, int64_t mode) const {
    return static_cast<size_t>(mode / Lanes<T>::count * stride() + r);
  }
};

/// One vector of modes of K units through a pending update; `w` is not read when tied.
template <class T, int K, bool tied>
[[gnu::always_inline]] inline void apply_update(const Pending<T>& p, const T* g, const T* w_step,
                                                const T* v_step, const typename Lanes<T>::Vector& x,
                                                typename Lanes<T>::Vector* w,
                                                typename Lanes<T>::Vector* v) {
  using Vector = typename Lanes<T>::Vector;
  Vector left = x;
  const auto subtract = [&](auto k) { left -= g[k] * v[k]; };
  const auto move = [&](auto k) {
    Vector change = v_step[k] * left;
    if constexpr (tied) change += w_step[k] * x;
    if (p.decay != 0) change -= p.decay * v[k];
    v[k] += change;
  };
  if (p.truncated)
    unrolled<K>([&](auto k) { subtract(k), move(k); });
  else
    unrolled<K>(subtract), unrolled<K>(move);
  if constexpr (!tied)
    unrolled<K>([&](auto k) {
      Vector change = w_step[k] * x;
      if (p.decay != 0) change -= p.decay * w[k];
      w[k] += change;
    });
}

/// `apply`: the pending update, made of the input `old_x`; `sum`: the sums of the new input `x`.
template <class T, int K, bool tied, bool apply, bool sum>
void pass(Layers<T>& layers, const Pending<T>& pending, const Lanes<T>* old_x, const Lanes<T>* x,
          Sums<T>& sums) {
  using Vector = typename Lanes<T>::Vector;
  constexpr int encoders = tied ? 0 : K;
  constexpr int pairs = K * (K + 1) / 2;
  Vector wx[K] = {};
  Vector vx[K] = {};
  Vector vv[pairs] = {};
  T g[K];
  T w_step[K];
  T v_step[K];
  unrolled<K>([&](auto k) {
    g[k] = pending.g[k], w_step[k] = pending.w_step[k], v_step[k] = pending.v_step[k];
  });
  Lanes<T>* row = layers.rows.data();
  for (int64_t i = 0; i < layers.vectors; ++i, row += encoders + K) {
    Vector w[K];
    Vector v[K];
    unrolled<encoders>([&](auto k) { w[k] = row[k].v; });
    unrolled<K>([&](auto k) { v[k] = row[encoders + k].v; });
    if constexpr (apply) {
      apply_update<T, K, tied>(pending, g, w_step, v_step, old_x[i].v, w, v);
      unrolled<encoders>([&](auto k) { row[k].v = w[k]; });
      unrolled<K>([&](auto k) { row[encoders + k].v = v[k]; });
    }
    if constexpr (sum) {
      const Vector input = x[i].v;
      unrolled<encoders>([&](auto k) { wx[k] += w[k] * input; });
      unrolled<K>([&](auto k) {
        vx[k] += v[k] * input;
        unrolled<k + 1>([&](auto a) { vv[pair_index(k, a)] += v[k] * v[a]; });
      });
    }
  }
  if constexpr (!sum) return;
  unrolled<K>([&](auto k) {
    sums.values[k] = sum_of<T>({tied ? vx[k] : wx[k]});
    sums.values[K + k] = sum_of<T>({vx[k]});
  });
  unrolled<pairs>([&](auto i) { sums.values[2 * K + i] = sum_of<T>({vv[i]}); });
}

/// The same for any K, with the same bits.
template <class T>
void general_apply(const Layers<T>& layers, const Pending<T>& p, const typename Lanes<T>::Vector& x,
                   Lanes<T>* row) {
  using Vector = typename Lanes<T>::Vector;
  const int64_t units = layers.units;
  const int64_t encoders = layers.encoders();
  Lanes<T>* v = row + encoders;
  Vector left = x;
  for (int64_t k = 0; !p.truncated && k < units; ++k) left -= p.g[k] * v[k].v;
  for (int64_t k = 0; k < units; ++k) {
    if (p.truncated) left -= p.g[k] * v[k].v;
    Vector change = p.v_step[k] * left;
    if (layers.tied) change += p.w_step[k] * x;
    if (p.decay != 0) change -= p.decay * v[k].v;
    v[k].v += change;
  }
  for (int64_t k = 0; k < encoders; ++k) {
    Vector add = p.w_step[k] * x;
    if (p.decay != 0) add -= p.decay * row[k].v;
    row[k].v += add;
  }
}

template <class T, bool apply, bool sum>
void general_pass(Layers<T>& layers, const Pending<T>& pending, const Lanes<T>* old_x,
                  const Lanes<T>* x, Sums<T>& sums) {
  const int64_t units = layers.units;
  const int64_t encoders = layers.encoders();
  const bool pairs = sums.has_pairs(units);
  for (Lanes<T>& lanes : sums.lanes) lanes = Lanes<T>();
  Lanes<T>* row = layers.rows.data();
  for (int64_t i = 0; i < layers.vectors; ++i, row += encoders + units) {
    if constexpr (apply) general_apply(layers, pending, old_x[i].v, row);
    if constexpr (!sum) continue;
    const Lanes<T>* v = row + encoders;
    Lanes<T>* into = sums.lanes.data();
    for (int64_t k = 0; k < units; ++k) (into++)->v += row[k].v * x[i].v;
    if (!pairs) continue;
    for (int64_t k = 0; k < units; ++k) (into++)->v += v[k].v * x[i].v;
    for (int64_t k = 0; k < units; ++k)
      for (int64_t a = 0; a <= k; ++a) (into++)->v += v[k].v * v[a].v;
  }
  if constexpr (sum)
    for (size_t i = 0; i < sums.values.size(); ++i) sums.values[i] = sum_of(sums.lanes[i]);
}

/// The second pass without pairs: v_k.r, where r is what the units (truncated: those up to k) leave
/// of x.
template <class T>
void sum_errors(const Layers<T>& layers, const Pending<T>& p, const Lanes<T>* x, Sums<T>& sums) {
  const int64_t units = layers.units;
  Lanes<T>* into = sums.lanes.data() + units;
  for (int64_t k = 0; k < units; ++k) into[k] = Lanes<T>();
  const Lanes<T>* v = layers.rows.data() + layers.encoders();
  for (int64_t i = 0; i < layers.vectors; ++i, v += layers.stride()) {
    typename Lanes<T>::Vector left = x[i].v;
    for (int64_t k = 0; !p.truncated && k < units; ++k) left -= p.g[k] * v[k].v;
    for (int64_t k = 0; k < units; ++k) {
      if (p.truncated) left -= p.g[k] * v[k].v;
      into[k].v += v[k].v * left;
    }
  }
  for (int64_t k = 0; k < units; ++k) sums.values[units + k] = sum_of(into[k]);
}

/// The three passes of a run: the first step has nothing pending, the last update has no step after
/// it.
template <class T>
struct Passes {
  using Function = void (*)(Layers<T>&, const Pending<T>&, const Lanes<T>*, const Lanes<T>*,
                            Sums<T>&);
  Function first, next, last;

  template <int K, bool tied>
  static Passes of() {
    return {pass<T, K, tied, false, true>, pass<T, K, tied, true, true>,
            pass<T, K, tied, true, false>};
  }
  static Passes of(int64_t units, bool tied) {
    Passes found{general_pass<T, false, true>, general_pass<T, true, true>,
                 general_pass<T, true, false>};
    unrolled<6>([&](auto k) {
      if (units == k + 1) found = tied ? of<k + 1, true>() : of<k + 1, false>();
    });
    return found;
  }
};

}  // namespace basin::online
