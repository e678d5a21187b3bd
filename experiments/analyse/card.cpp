#include "experiments/analyse/card.h"

#include <algorithm>
#include <cmath>

#include "models/dynamics/nearest.h"
#include "models/dynamics/sets.h"

namespace basin {
namespace {

Array on_host(const Array& x) {
  return copy_to(cast(x, DType::f64), Device());
}

/// All fixed points that Newton reaches from examples, from where starts came to rest, and from
/// some of the starts.
std::vector<FixedPoint> solved(const Subject& subject, const Array& starts, const Array& resting,
                               const CardOptions& options) {
  const auto first = [](const Array& x, int64_t count) {
    return x.defined() ? slice(x, 0, 0, std::min(count, x.dim(0))) : x;
  };
  Tensors parts;
  for (const Array& part : {first(subject.examples, options.newton_examples), resting,
                            first(starts, options.newton_starts)})
    if (part.defined() && part.dim(0) > 0) parts.push_back(Tensor(on_host(part)));
  if (parts.empty()) return {};
  const Array from = copy_to(concat(parts, 0).array(), starts.device());
  return fixed_points(subject.codes, newton(subject.codes, from, {.between = options.between}));
}

std::vector<Found> described(const Subject& subject, const std::vector<FixedPoint>& points,
                             const std::function<void()>& between) {
  std::vector<Found> all(points.size());
  if (all.empty()) return all;
  Tensors rows;
  for (const FixedPoint& point : points) rows.push_back(Tensor(point.point));
  const Array at = concat(rows, 0).array();
  const std::vector<Certificate> certificates =
      subject.dense ? certify(*subject.dense, at, between) : std::vector<Certificate>();
  const Nearest near =
      subject.examples.defined() ? nearest(at, on_host(subject.examples)) : Nearest{};
  for (size_t i = 0; i < all.size(); ++i) {
    Found& found = all[i];
    found.point = points[i];
    found.certificate = "not dense: no bounds known";
    if (subject.dense) {
      const Certificate& c = certificates[i];
      found.certificate = c.certified() ? "proved" : c.failure;
      found.kind_proved = c.certified() && c.index_proved;
    }
    if (!subject.examples.defined()) continue;
    found.example = near.index[i];
    found.distance = near.distance[i];
  }
  return all;
}

/// The attractor that lies at an end [1, d]; none within reach.
Found* attractor_at(const Array& end, std::vector<Found>& fixed, double reach) {
  Found* closest = nullptr;
  for (Found& found : fixed) {
    if (kind_of(found.point) != Kind::attractor) continue;
    const double away = nearest(end, found.point.point).distance[0];
    if (away > reach) continue;
    reach = away;
    closest = &found;
  }
  return closest;
}

/// All points of the cycle through `point` [1, d]: [period, d].
Array orbit_of(const Subject& subject, const Array& point, int64_t period) {
  Tensors points;
  Tensor x(copy_to(point, subject.codes.device));
  for (int64_t i = 0; i < period; ++i) {
    points.push_back(Tensor(copy_to(x.array(), Device())));
    x = subject.codes.whole(x);
  }
  return concat(points, 0).array();
}

/// The attracting cycle of just this period within reach of an end; none where Newton finds none,
/// or one of a shorter period.
std::optional<FoundCycle> cycle_at(const Subject& subject, const Array& end, int64_t period,
                                   double reach) {
  const CodeMap often = iterated(subject.codes, period);
  const NewtonResult found = newton(often, copy_to(end, subject.codes.device));
  const std::vector<FixedPoint> points = fixed_points(often, found);
  if (points.empty() || !points[0].attracts()) return std::nullopt;
  const Array orbit = orbit_of(subject, points[0].point, period);
  if (!(nearest(end, orbit).distance[0] <= reach)) return std::nullopt;
  const double same = 1e-6 * std::max(1.0, norm(Tensor(points[0].point)).item());
  for (int64_t i = 1; i < period; ++i)
    if (period % i == 0 &&
        nearest(slice(orbit, 0, i, i + 1), slice(orbit, 0, 0, 1)).distance[0] <= same)
      return std::nullopt;
  FoundCycle cycle;
  cycle.period = period;
  cycle.point = points[0];
  return cycle;
}

Exponents exponents_of(const Subject& subject, const Fates& fates, const CardOptions& options) {
  std::vector<int32_t> moving;
  for (size_t i = 0; i < fates.fate.size(); ++i)
    if (fates.fate[i] == Fate::moving) moving.push_back(static_cast<int32_t>(i));
  const auto most = static_cast<size_t>(options.exponents);
  if (moving.size() > most) moving.resize(most);
  if (moving.empty()) return {};
  ExponentOptions how;
  how.transient = 100;
  how.steps = 2000;
  how.between = options.between;
  return lyapunov_exponents(subject.map, rows_of(fates.points, moving), how);
}

}  // namespace

const char* name_of(Kind kind) {
  static const char* const names[] = {"attractor", "neutral", "saddle", "repeller"};
  return names[static_cast<size_t>(kind)];
}

Kind kind_of(const FixedPoint& point) {
  if (point.attracts()) return Kind::attractor;
  if (point.index == 0) return Kind::neutral;
  return point.index == static_cast<int64_t>(point.spectrum.size()) ? Kind::repeller : Kind::saddle;
}

Card measure_card(const Subject& subject, const Array& starts, const CardOptions& options) {
  Card card;
  const Array unit = subject.examples.defined() ? subject.examples : starts;
  card.scale = unit.dim(0) > 1 ? std::max(scale_of(unit), 1e-12) : 1;
  FateOptions how;
  how.tolerance = 0;
  how.relative = options.relative;
  how.scale = card.scale;
  how.max_iterations = options.max_iterations;
  how.between = options.between;
  card.fates = fates(subject.map, starts, how);
  card.ends = distinct_ends(subject.map, card.fates, options.same * card.scale);
  card.summary = summarise(card.fates, card.ends);

  const auto fate_at = [&](size_t end) {
    return card.fates.fate[static_cast<size_t>(card.ends.first[end])];
  };
  std::vector<int32_t> resting;  // the first start of each end that rests
  for (size_t i = 0; i < card.ends.first.size(); ++i)
    if (fate_at(i) == Fate::fixed_point)
      resting.push_back(static_cast<int32_t>(card.ends.first[i]));
  const Array rest = resting.empty() ? Array() : rows_of(card.fates.points, resting);
  card.fixed = described(subject, solved(subject, starts, rest, options), options.between);

  const double reach = 10 * options.same * card.scale;
  for (size_t i = 0; i < card.ends.first.size(); ++i) {
    options.between();
    const Array end =
        on_host(rows_of(card.fates.points, {static_cast<int32_t>(card.ends.first[i])}));
    const int64_t count = card.summary.ends[i].count;
    int64_t* starts_there = nullptr;
    if (fate_at(i) == Fate::cycle) {
      const int64_t period = card.fates.period[static_cast<size_t>(card.ends.first[i])];
      for (FoundCycle& known : card.cycles)
        if (known.period == period &&
            nearest(end, orbit_of(subject, known.point.point, period)).distance[0] <= reach)
          starts_there = &known.starts;
      if (starts_there == nullptr) {
        if (const std::optional<FoundCycle> cycle = cycle_at(subject, end, period, reach)) {
          card.cycles.push_back(*cycle);
          starts_there = &card.cycles.back().starts;
        }
      }
    } else if (Found* attractor = attractor_at(end, card.fixed, reach)) {
      starts_there = &attractor->starts;
    }
    (starts_there ? *starts_there : card.unsolved) += count;
  }
  const auto measure_share = [&](auto& found) {
    found.share = static_cast<double>(found.starts) / static_cast<double>(starts.dim(0));
    found.interval = wilson(found.starts, starts.dim(0));
    card.reached += found.starts > 0;
  };
  for (Found& found : card.fixed) measure_share(found);
  for (FoundCycle& cycle : card.cycles) measure_share(cycle);
  std::stable_sort(card.fixed.begin(), card.fixed.end(), [](const Found& a, const Found& b) {
    const auto rank = [](const Found& f) { return std::pair(kind_of(f.point), f.point.index); };
    return rank(a) != rank(b) ? rank(a) < rank(b) : a.share > b.share;
  });
  card.moving = exponents_of(subject, card.fates, options);
  return card;
}

}  // namespace basin
