#include "experiments/analyse/card.h"

#include <algorithm>
#include <cmath>

#include "models/dynamics/nearest.h"
#include "models/dynamics/sets.h"

namespace basin {
namespace {

Array rows_of(const Array& x, const std::vector<int64_t>& rows) {
  const std::vector<int32_t> index(rows.begin(), rows.end());
  return gather(Tensor(x), from_vector(index, {static_cast<int64_t>(index.size())}, x.device()))
      .array();
}

Array in_f64(const Array& x) {
  return copy_to(cast(x, DType::f64), Device());
}

Array joined(const std::vector<Array>& parts) {
  Tensors rows;
  for (const Array& part : parts)
    if (part.defined() && part.dim(0) > 0) rows.push_back(Tensor(in_f64(part)));
  return concat(rows, 0).array();
}

/// All fixed points that Newton reaches from examples, from where starts came to rest, and from
/// some of the starts.
std::vector<FixedPoint> solved(const Subject& subject, const Array& starts, const Array& resting,
                               const CardOptions& options) {
  const Array some = slice(starts, 0, 0, std::min(options.newton_starts, starts.dim(0)));
  const Array from = copy_to(joined({subject.examples, resting, some}), starts.device());
  return fixed_points(subject.codes, newton(subject.codes, from, {.between = options.between}));
}

Found described(const Subject& subject, FixedPoint point) {
  Found found;
  found.point = std::move(point);
  found.certificate = "not dense: no bounds known";
  if (subject.dense) {
    const Certificate c = certify(*subject.dense, found.point.point)[0];
    found.certificate = c.certified() ? "proved" : c.failure;
  }
  if (subject.examples.defined()) {
    const Nearest near = nearest(found.point.point, in_f64(subject.examples));
    found.example = near.index[0];
    found.distance = near.distance[0];
  }
  return found;
}

/// The attractor that lies at an end [1, d]; none within reach.
Found* attractor_at(const Array& end, std::vector<Found>& fixed, double reach) {
  Found* closest = nullptr;
  for (Found& found : fixed) {
    if (!found.point.attracts()) continue;
    const double away = nearest(end, found.point.point).distance[0];
    if (away > reach) continue;
    reach = away;
    closest = &found;
  }
  return closest;
}

/// The cycle that a start came to.
std::optional<FoundCycle> cycle_at(const Subject& subject, const Array& end, int64_t period) {
  const CodeMap often = iterated(subject.codes, period);
  std::vector<FixedPoint> points = fixed_points(often, newton(often, end));
  if (points.empty()) return std::nullopt;
  FoundCycle cycle;
  cycle.period = period;
  cycle.point = std::move(points[0]);
  return cycle;
}

Exponents exponents_of(const Subject& subject, const Fates& fates, const CardOptions& options) {
  std::vector<int64_t> moving;
  for (size_t i = 0; i < fates.fate.size(); ++i)
    if (fates.fate[i] == Fate::moving) moving.push_back(static_cast<int64_t>(i));
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
  std::vector<int64_t> resting;  // the first start of each end that rests
  for (size_t i = 0; i < card.ends.first.size(); ++i)
    if (fate_at(i) == Fate::fixed_point) resting.push_back(card.ends.first[i]);
  const Array rest = resting.empty() ? Array() : rows_of(card.fates.points, resting);
  for (FixedPoint& point : solved(subject, starts, rest, options))
    card.fixed.push_back(described(subject, std::move(point)));

  const double reach = 10 * options.same * card.scale;
  for (size_t i = 0; i < card.ends.first.size(); ++i) {
    const Array end = in_f64(rows_of(card.fates.points, {card.ends.first[i]}));
    const int64_t count = card.summary.ends[i].count;
    if (fate_at(i) == Fate::cycle) {
      const int64_t period = card.fates.period[static_cast<size_t>(card.ends.first[i])];
      std::optional<FoundCycle> cycle = cycle_at(subject, copy_to(end, starts.device()), period);
      if (!cycle) {
        ++card.unmatched;
        continue;
      }
      cycle->starts = count;
      cycle->share = card.summary.ends[i].share;
      cycle->interval = card.summary.ends[i].interval;
      card.cycles.push_back(std::move(*cycle));
    } else if (Found* attractor = attractor_at(end, card.fixed, reach)) {
      attractor->starts += count;
    } else {
      ++card.unmatched;
    }
  }
  for (Found& found : card.fixed) {
    found.share = static_cast<double>(found.starts) / static_cast<double>(starts.dim(0));
    found.interval = wilson(found.starts, starts.dim(0));
    card.attractors += found.point.attracts();
  }
  std::stable_sort(card.fixed.begin(), card.fixed.end(), [](const Found& a, const Found& b) {
    return a.point.index != b.point.index ? a.point.index < b.point.index : a.share > b.share;
  });
  card.moving = exponents_of(subject, card.fates, options);
  return card;
}

}  // namespace basin
