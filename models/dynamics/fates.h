// What becomes of each start: it comes to rest, goes round a cycle, moves on, or leaves.
#pragma once
#include <array>

#include "models/dynamics/dynamics.h"
#include "models/dynamics/intervals.h"

namespace basin {

enum class Fate : uint8_t { fixed_point, cycle, moving, infinity, not_a_number };
constexpr size_t fate_count = 5;
/// "fixed point", "cycle", ...
const char* name_of(Fate fate);

struct FateOptions {
  /// A start becomes a candidate for a cycle of period p (p = 1: a fixed point) where the L2 length
  /// of f^p(x) - x is at most tolerance or relative * scale, whichever is more, at 2 applications
  /// or later. The rule of Radhakrishnan et al. and of the papers after them, a squared step below
  /// tol, is tolerance = sqrt(tol); a step below r s, with a typical distance s between points, is
  /// tolerance = 0, relative = r, scale = s.
  double tolerance = 1e-3;
  double relative = 0;
  double scale = 1;  // also the size below which a point counts as near 0 when rounding is judged
  int64_t max_iterations = 3000;
  int64_t max_period = 16;
  /// A point with a coordinate above this in size has gone to infinity.
  double bound = 1e10;
  /// Applications of f^p, from 8 on, that a candidate may take to be confirmed; more where
  /// max_iterations leaves more.
  int64_t confirm = 512;
  int64_t batch = 8192;                   // starts at a time: memory for so many evaluations
  std::function<void()> between = [] {};  // as in IterateOptions
};

struct Fates {
  Array points;                     // [N, d], the last point of each start
  std::vector<Fate> fate;           // [N]
  std::vector<int64_t> period;      // [N]: 1 of a fixed point, p of a cycle, else 0
  std::vector<int64_t> iterations;  // [N], applications of f until the stopping rule held, or all
  std::vector<double> step;         // [N], |f(x) - x| at the last point

  int64_t size() const { return static_cast<int64_t>(fate.size()); }
};

/// What becomes of every row of start [N, d]. Steps are those of `iterate`; cycles are found as in
/// Brent 1980, with a second stored state that moves at every power of two. A candidate goes on,
/// and is confirmed when |f^p(x) - x| falls geometrically, 1000 times, or 10 times by the end of
/// `confirm`: the second half of the time gives at least .7 of the decades that the first half
/// gave, as steps towards a slow point, which fall like a power of time, do not. It is confirmed as
/// well at the level of rounding: within 16 eps of |x| (or of the scale), or within 1000 eps while
/// it stays where it is. A candidate that is not, or whose cycle comes no further apart than it
/// still has to go, moves on; a start that has had max_iterations is `moving`. The last points of
/// fixed points and cycles are those after the confirmation, where Newton's method on iterated(f,
/// period) may begin; a point beyond the bound is infinite. Errors: start is not a matrix of
/// floating numbers, f changes the shape, an option out of its range.
Fates fates(const Map& f, const Array& start, const FateOptions& options = {});

/// f^p. Errors: p < 1.
Map iterated(const Map& f, int64_t p);

/// The fixed points and cycles that were reached, by falling time of discovery.
struct Ends {
  std::vector<int64_t> label;               // [N], the end of each start, -1 where it has none
  std::vector<int64_t> first;               // [M], the first start that reached it
  std::vector<int64_t> starts;              // [M], how many did
  std::vector<std::vector<double>> cycles;  // [M], the points of each, [period, d]
};

/// Two starts end alike when their periods agree and a point of one's cycle lies within radius (L2)
/// of the other's last point; compared in the order of the starts, with the first of each end.
/// Errors: negative radius.
Ends distinct_ends(const Map& f, const Fates& fates, double radius);

/// The same against ends that are known, [N]: -1 also for an end that is not among them.
std::vector<int64_t> labels_of(const Fates& fates, const Ends& ends, double radius);

struct Share {
  int64_t count = 0;
  double share = 0;  // count / n
  Interval interval;
};

struct FateSummary {
  int64_t starts = 0;
  std::array<Share, fate_count> fates;  // by Fate; the counts add up to `starts`
  std::vector<Share> ends;              // [M], the measured sizes of the basins
  /// How many of the ends no start of the first half had found. An attractor with a share above p
  /// of the starts would have been missed with probability missed_probability(p, starts).
  int64_t new_in_last_half = 0;
};

/// Counts of fates and ends with Wilson intervals. Errors: ends of other starts, confidence outside
/// (0, 1).
FateSummary summarise(const Fates& fates, const Ends& ends, double confidence = 0.95);

}  // namespace basin
