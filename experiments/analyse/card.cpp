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
std::vector<FixedPoint> solved(Run& run, const Subject& subject, const Array& starts,
                               const Array& resting, int64_t some) {
  const Array first = slice(starts, 0, 0, std::min(some, starts.dim(0)));
  const Array from = copy_to(joined({subject.examples, resting, first}), starts.device());
  const NewtonResult found = run.timed(
      "newton", [&] { return newton(subject.codes, from, {.between = check_interrupt}); });
  return run.timed("spectra", [&] { return fixed_points(subject.codes, found); });
}

}  // namespace

Card measure_card(Run& run, const Subject& subject, const Array& starts,
                  const CardOptions& options) {
  Card card;
  const Array unit = subject.examples.defined() ? subject.examples : starts;
  card.scale = unit.dim(0) > 1 ? std::max(scale_of(unit), 1e-12) : 1;
  FateOptions how;
  how.tolerance = 0;
  how.relative = options.relative;
  how.scale = card.scale;
  how.max_iterations = options.max_iterations;
  how.between = check_interrupt;
  card.fates = run.timed("fates", [&] { return fates(subject.map, starts, how); });
  card.ends = run.timed(
      "ends", [&] { return distinct_ends(subject.map, card.fates, options.same * card.scale); });
  card.summary = summarise(card.fates, card.ends);

  std::vector<int64_t> resting, place;  // first starts of the ends that rest; which ends they are
  for (size_t i = 0; i < card.ends.first.size(); ++i) {
    if (card.fates.fate[static_cast<size_t>(card.ends.first[i])] != Fate::fixed_point) continue;
    resting.push_back(card.ends.first[i]);
    place.push_back(static_cast<int64_t>(i));
  }
  const Array rest = resting.empty() ? Array() : in_f64(rows_of(card.fates.points, resting));
  for (FixedPoint& point : solved(run, subject, starts, rest, options.newton_starts)) {
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
    card.attractors += found.point.attracts();
    card.fixed.push_back(std::move(found));
  }
  // which of them each end is
  for (size_t i = 0; i < resting.size() && card.attractors > 0; ++i) {
    const Array end = slice(rest, 0, static_cast<int64_t>(i), static_cast<int64_t>(i) + 1);
    Found* closest = nullptr;
    double least = 10 * options.same * card.scale;
    for (Found& found : card.fixed) {
      const double away = found.point.attracts() ? nearest(end, found.point.point).distance[0]
                                                 : std::numeric_limits<double>::infinity();
      if (away > least) continue;
      least = away;
      closest = &found;
    }
    if (closest == nullptr) {
      ++card.unmatched;
      continue;
    }
    closest->starts += card.summary.ends[static_cast<size_t>(place[i])].count;
  }
  for (Found& found : card.fixed) {
    found.share = static_cast<double>(found.starts) / static_cast<double>(starts.dim(0));
    found.interval = wilson(found.starts, starts.dim(0));
  }
  if (card.attractors == 0) card.unmatched = static_cast<int64_t>(resting.size());
  std::stable_sort(card.fixed.begin(), card.fixed.end(), [](const Found& a, const Found& b) {
    return a.point.index != b.point.index ? a.point.index < b.point.index : a.share > b.share;
  });

  std::vector<int64_t> moving;
  for (size_t i = 0; i < card.fates.fate.size(); ++i)
    if (card.fates.fate[i] == Fate::moving) moving.push_back(static_cast<int64_t>(i));
  if (static_cast<int64_t>(moving.size()) > options.exponents)
    moving.resize(static_cast<size_t>(options.exponents));
  if (!moving.empty())
    card.moving = run.timed("exponents", [&] {
      ExponentOptions of;
      of.transient = 100;
      of.steps = 2000;
      of.between = check_interrupt;
      return lyapunov_exponents(subject.map, rows_of(card.fates.points, moving), of);
    });
  return card;
}

}  // namespace basin
