#include "models/dynamics/fates.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

#include "models/dynamics/active_set.h"

namespace basin {
namespace {

using Rows = std::vector<int32_t>;

constexpr double infinite = std::numeric_limits<double>::infinity();

void check(const Array& start, const FateOptions& options) {
  require(start.rank() == 2 && is_floating(start.dtype()),
          "fates: start must be [N, d] of f32 or f64, got ", start);
  const auto at_least = [](const char* name, int64_t value, int64_t least) {
    require(value >= least, "fates: ", name, " is ", value, ", must be at least ", least);
  };
  at_least("max_iterations", options.max_iterations, 1);
  at_least("max_period", options.max_period, 1);
  at_least("confirm", options.confirm, 8);
  at_least("batch", options.batch, 1);
  require(options.tolerance >= 0 && options.relative >= 0 && options.scale > 0 && options.bound > 0,
          "fates: tolerance ", options.tolerance, " and relative ", options.relative,
          " must not be negative, scale ", options.scale, " and bound ", options.bound,
          " must be positive");
}

/// f, with rows that have a coordinate beyond the bound turned infinite.
Map bounded(const Map& f, double bound) {
  return [f, bound](const Tensor& x) {
    const Tensor y = f(x);
    if (y.shape() != x.shape() || y.size() == 0) return y;  // the caller says what is wrong
    return where(max(abs(y), {1}, true) > bound, full_like(y, infinite), y);
  };
}

/// The L2 length of each row, on the host.
std::vector<double> lengths(const Tensor& x) {
  return cast(norm(x, {1}).array(), DType::f64).to_vector<double>();
}

/// The displacements of a candidate under f^p over time, and what they say (see fates.h).
struct Decay {
  double first = 0, half = 0, last = 0;
  double halves = 0;  // applications between half and last

  enum class Verdict { open, confirmed, refused };
  /// After `at` applications, twice as many as at the last call, the next one moves the point by
  /// `displacement`; since that call it went `away`. `ends`: a verdict is due.
  Verdict add(int64_t at, double displacement, double away, double tolerance, double rounding,
              bool ends) {
    if (at == 0) first = displacement;
    half = at == 0 ? displacement : last;
    last = displacement;
    halves = static_cast<double>(at) / 2;
    // Chaos that only came by is torn away; a cycle may have phases that move more than others.
    if (!(displacement <= 4 * std::max(at == 0 ? tolerance : first, 16 * rounding)))
      return Verdict::refused;
    if (at == 0) return Verdict::open;
    const double most = std::max(half, last);
    const bool stays = at >= 64 && most <= 1000 * rounding && away <= 4 * most;
    if (last <= 16 * rounding || stays) return Verdict::confirmed;
    const bool geometric = std::log(half / last) >= 0.7 * std::log(first / half);
    if (at >= 8 && geometric && last * (ends ? 10 : 1000) <= first) return Verdict::confirmed;
    return ends ? Verdict::refused : Verdict::open;
  }

  /// How far the point still has to go at this pace, where it has one that is not of rounding.
  double ahead(double rounding) const {
    if (last <= 1000 * rounding || half <= last) return last;
    return last / -std::expm1(std::log(last / half) / halves);
  }
};

/// The fates of one batch of starts.
class Follower {
 public:
  Follower(const Map& f, const Array& start, const FateOptions& options)
      : options_(options),
        f_(bounded(f, options.bound)),
        tolerance_(std::max(options.tolerance, options.relative * options.scale)) {
    const auto n = static_cast<size_t>(start.dim(0));
    found_.points = start;
    found_.fate.assign(n, Fate::moving);
    found_.period.assign(n, 0);
    found_.iterations.assign(n, 0);
    Rows open(n);
    std::iota(open.begin(), open.end(), 0);
    while (!open.empty()) {
      std::map<int64_t, Rows> candidates = follow(open);
      open.clear();
      for (const auto& [period, rows] : candidates)
        for (int32_t row : refused(period, rows))
          if (iterations(row) < options.max_iterations) open.push_back(row);
      std::sort(open.begin(), open.end());
    }
    found_.step = lengths(stop_gradient(f(found_.points)) - found_.points);
    for (size_t i = 0; i < n; ++i) {
      if (found_.fate[i] == Fate::infinity) found_.step[i] = infinite;
      if (found_.fate[i] == Fate::not_a_number) found_.step[i] = std::nan("");
    }
  }

  const Fates& found() const { return found_; }

 private:
  int64_t& iterations(int32_t row) { return found_.iterations[static_cast<size_t>(row)]; }

  /// Writes back where the points of a set are. Rows that are lost have met their fate.
  std::vector<int32_t> collect(const Rows& rows, const Points& all) {
    const std::vector<int32_t> states = all.state.to_vector<int32_t>();
    const Array before = found_.points;
    found_.points = with_rows(found_.points, rows, all.x);
    if (std::count(states.begin(), states.end(), point_lost) == 0) return states;
    // A start that is not finite may have a finite image.
    const std::vector<double> from = cast(before, DType::f64).to_vector<double>(),
                              to = cast(found_.points, DType::f64).to_vector<double>();
    const int64_t d = before.dim(1);
    for (size_t i = 0; i < rows.size(); ++i) {
      if (states[i] != point_lost) continue;
      bool missing = false;
      for (int64_t j = rows[i] * d; j < (rows[i] + 1) * d; ++j)
        missing |=
            std::isnan(from[static_cast<size_t>(j)]) || std::isnan(to[static_cast<size_t>(j)]);
      found_.fate[static_cast<size_t>(rows[i])] = missing ? Fate::not_a_number : Fate::infinity;
    }
    return states;
  }

  /// Applies f until points stop, or have had max_iterations: the candidates by their period.
  std::map<int64_t, Rows> follow(const Rows& rows) {
    int64_t left = 0;
    for (int32_t row : rows) left = std::max(left, options_.max_iterations - iterations(row));
    std::vector<int64_t> period(rows.size(), 1);
    ActiveSet set(f_, rows_of(found_.points, rows), options_.between, -1);
    set.run(1);
    set.stop_below(tolerance_);
    for (int64_t t = 1; t < left && !set.empty();) {
      const int64_t end = std::min(2 * t, left), lags = std::min(options_.max_period, end - t);
      if (lags > 1) look_for_cycles(set, lags, period);
      set.run(end - t - (lags > 1 ? lags : 0));
      t = end;
    }
    const Points& all = set.all();
    const std::vector<int32_t> states = collect(rows, all),
                               more = all.iterations.to_vector<int32_t>();
    std::map<int64_t, Rows> candidates;
    for (size_t i = 0; i < rows.size(); ++i) {
      iterations(rows[i]) += more[i];
      if (states[i] == point_converged) candidates[period[i]].push_back(rows[i]);
    }
    return candidates;
  }

  /// `lags` steps; the points that come back to where they are now stop, with the first lag.
  void look_for_cycles(ActiveSet& set, int64_t lags, std::vector<int64_t>& period) {
    const Tensor saved(copy_of(set.batch().x));
    Tensors distances;
    for (int64_t lag = 1; lag <= lags; ++lag) {
      set.step(1);
      if (lag > 1) distances.push_back(norm(set.batch().x - saved, {1}));
    }
    const std::vector<double> far =
        cast(concat(distances, 0).array(), DType::f64).to_vector<double>();
    const std::vector<int32_t> states = set.batch().state.to_vector<int32_t>();
    const size_t n = states.size();
    std::vector<char> stopped(n, 0);
    for (size_t i = 0; i < n; ++i)
      for (size_t j = 0; j < distances.size() && !stopped[i]; ++j)
        if (states[i] == point_running && far[j * n + i] <= tolerance_) {
          stopped[i] = 1;
          period[static_cast<size_t>(set.rows()[i])] = static_cast<int64_t>(j) + 2;
        }
    set.stop(stopped);
  }

  /// Confirms candidates, and says which are none.
  Rows refused(int64_t period, const Rows& rows) {
    const Map power = iterated(f_, period);
    const double eps = found_.points.dtype() == DType::f64 ? std::numeric_limits<double>::epsilon()
                                                           : std::numeric_limits<float>::epsilon();
    ActiveSet set(power, rows_of(found_.points, rows), options_.between, -1);
    Array marks = set.all().x;  // the points when they were looked at last
    std::vector<Decay> decay(rows.size());
    std::vector<double> rounding(rows.size());
    std::vector<char> confirmed(rows.size(), 0);
    int64_t done = 0;
    for (int64_t at = 0; !set.empty(); at = std::max<int64_t>(4, 2 * at)) {
      set.run(at - done);
      if (set.empty()) break;
      done = at + 1;
      const Tensor before(copy_of(set.batch().x));
      set.step(1);
      const std::vector<double> moved = lengths(set.batch().x - before), sizes = lengths(before),
                                away = lengths(before - rows_of(marks, set.rows()));
      marks = with_rows(marks, set.rows(), before.array());
      std::vector<char> stopped(moved.size(), 0);
      for (size_t i = 0; i < moved.size(); ++i) {
        const auto row = static_cast<size_t>(set.rows()[i]);
        const int64_t left = (options_.max_iterations - iterations(rows[row])) / period;
        const bool ends = std::max<int64_t>(4, 2 * at) > std::max(options_.confirm, left);
        rounding[row] = eps * std::max(sizes[i], options_.scale);
        const Decay::Verdict verdict =
            decay[row].add(at, moved[i], away[i], tolerance_, rounding[row], ends);
        confirmed[row] = verdict == Decay::Verdict::confirmed;
        stopped[i] = verdict != Decay::Verdict::open;
      }
      set.stop(stopped);
    }
    const Points& all = set.all();
    const std::vector<int32_t> states = collect(rows, all),
                               more = all.iterations.to_vector<int32_t>();
    const std::vector<double> apart = smallest_detour(all.x, period);
    Rows others;
    for (size_t i = 0; i < rows.size(); ++i) {
      const auto row = static_cast<size_t>(rows[i]);
      if (states[i] == point_lost) continue;
      const double least = std::max(tolerance_, 4 * decay[i].ahead(rounding[i]));
      if (confirmed[i] && (period == 1 || apart[i] > least)) {
        found_.fate[row] = period == 1 ? Fate::fixed_point : Fate::cycle;
        found_.period[row] = period;
        continue;
      }
      iterations(rows[i]) += period * more[i];
      others.push_back(rows[i]);
    }
    return others;
  }

  /// min over 0 < q < p of |f^q(x) - x|: the cycle of a shorter period has nothing there.
  std::vector<double> smallest_detour(const Array& x, int64_t period) {
    std::vector<double> least(static_cast<size_t>(x.dim(0)), infinite);
    Tensor y(x);
    for (int64_t q = 1; q < period; ++q) {
      y = stop_gradient(f_(y));
      const std::vector<double> far = lengths(y - x);
      for (size_t i = 0; i < least.size(); ++i) least[i] = std::min(least[i], far[i]);
    }
    return least;
  }

  const FateOptions& options_;
  const Map f_;
  const double tolerance_;
  Fates found_;
};

template <class T>
void append(std::vector<T>& all, const std::vector<T>& more) {
  all.insert(all.end(), more.begin(), more.end());
}

/// Whether x is within a radius of one of the points [p, d].
bool near(const double* x, const std::vector<double>& points, int64_t d, double radius) {
  for (auto p = points.begin(); p < points.end(); p += d) {
    double total = 0;
    for (int64_t j = 0; j < d && total <= radius * radius; ++j)
      total += (p[j] - x[j]) * (p[j] - x[j]);
    if (total <= radius * radius) return true;
  }
  return false;
}

std::vector<double> checked_points(const char* call, const Fates& fates, double radius) {
  require(radius >= 0, call, ": radius is ", radius, ", must not be negative");
  return cast(fates.points, DType::f64).to_vector<double>();
}

/// The first end of that period near x [d], or -1.
int64_t find_end(const double* x, int64_t period, const Ends& ends, int64_t d, double radius) {
  for (size_t end = 0; end < ends.cycles.size(); ++end)
    if (static_cast<int64_t>(ends.cycles[end].size()) == period * d &&
        near(x, ends.cycles[end], d, radius))
      return static_cast<int64_t>(end);
  return -1;
}

Share share_of(int64_t count, int64_t n, double confidence) {
  const double share = n == 0 ? 0 : static_cast<double>(count) / static_cast<double>(n);
  return {count, share, wilson(count, n, confidence)};
}

}  // namespace

const char* name_of(Fate fate) {
  constexpr const char* names[] = {"fixed point", "cycle", "moving", "infinity", "not a number"};
  return names[static_cast<size_t>(fate)];
}

Map iterated(const Map& f, int64_t p) {
  require(p >= 1, "iterated: the power is ", p, ", must be at least 1");
  return [f, p](const Tensor& x) {
    Tensor y = f(x);
    for (int64_t i = 1; i < p; ++i) y = f(y);
    return y;
  };
}

Fates fates(const Map& f, const Array& start, const FateOptions& options) {
  check(start, options);
  Fates result;
  Tensors points;
  for (int64_t from = 0; from == 0 || from < start.dim(0); from += options.batch) {
    const int64_t to = std::min(start.dim(0), from + options.batch);
    const Fates part = Follower(f, contiguous(slice(start, 0, from, to)), options).found();
    points.emplace_back(part.points);
    append(result.fate, part.fate);
    append(result.period, part.period);
    append(result.iterations, part.iterations);
    append(result.step, part.step);
  }
  result.points = concat(points, 0).array();
  return result;
}

Ends distinct_ends(const Map& f, const Fates& fates, double radius) {
  const std::vector<double> points = checked_points("distinct_ends", fates, radius);
  const int64_t d = fates.points.dim(1);
  Ends result;
  for (int64_t i = 0; i < fates.size(); ++i) {
    const int64_t period = fates.period[static_cast<size_t>(i)];
    result.label.push_back(
        period == 0 ? -1 : find_end(points.data() + i * d, period, result, d, radius));
    if (period > 0 && result.label.back() < 0) {
      result.label.back() = static_cast<int64_t>(result.cycles.size());
      std::vector<double> cycle;
      Tensor y(slice(fates.points, 0, i, i + 1));
      for (int64_t q = 0; q < period; ++q) {
        append(cycle, cast(y.array(), DType::f64).to_vector<double>());
        if (q + 1 < period) y = stop_gradient(f(y));
      }
      result.cycles.push_back(std::move(cycle));
      result.first.push_back(i);
      result.starts.push_back(0);
    }
    if (period > 0) ++result.starts[static_cast<size_t>(result.label.back())];
  }
  return result;
}

std::vector<int64_t> labels_of(const Fates& fates, const Ends& ends, double radius) {
  const std::vector<double> points = checked_points("labels_of", fates, radius);
  const int64_t d = fates.points.dim(1);
  std::vector<int64_t> result(fates.fate.size(), -1);
  for (size_t i = 0; i < result.size(); ++i)
    if (fates.period[i] > 0)
      result[i] =
          find_end(points.data() + static_cast<int64_t>(i) * d, fates.period[i], ends, d, radius);
  return result;
}

FateSummary summarise(const Fates& fates, const Ends& ends, double confidence) {
  const int64_t n = fates.size();
  require(static_cast<int64_t>(ends.label.size()) == n, "summarise: ", n, " fates, but ends of ",
          ends.label.size(), " starts");
  FateSummary result;
  result.starts = n;
  std::array<int64_t, fate_count> counts{};
  for (const Fate fate : fates.fate) ++counts[static_cast<size_t>(fate)];
  for (size_t i = 0; i < fate_count; ++i) result.fates[i] = share_of(counts[i], n, confidence);
  for (const int64_t count : ends.starts) result.ends.push_back(share_of(count, n, confidence));
  result.new_in_last_half = std::count_if(ends.first.begin(), ends.first.end(),
                                          [n](int64_t first) { return first >= n / 2; });
  return result;
}

}  // namespace basin
