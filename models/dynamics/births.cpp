#include "models/dynamics/births.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace basin {
namespace {

double distance(const Array& a, const Array& b) {
  return norm(Tensor(a) - Tensor(b)).item();
}

/// From a fixed point of the last network to where its curve ends.
Branch curve_from(const std::vector<Mlp>& networks, const Array& point, int64_t row,
                  const FollowOptions& options) {
  const int64_t last = static_cast<int64_t>(networks.size()) - 2;
  Branch curve;
  Array at = point;
  double p = 1;
  for (int64_t i = last; i >= 0 && i <= last;) {
    Branch part;
    try {
      const size_t from = static_cast<size_t>(i);
      part = follow(between(networks[from], networks[from + 1]), at, p, 0, 1, options);
    } catch (const Error& error) {
      throw Error(text("follow_along: from row ", row, ", between checkpoints ", i, " and ", i + 1,
                       ": ", error.what()),
                  error.fault());
    }
    if (p == 1) part = reversed(part);
    at = copy_to(part.points.back().point, point.device());
    const bool up = part.points.back().p == 1;
    for (BranchPoint& x : part.points) x.p += static_cast<double>(i);
    for (BranchEvent& event : part.events) event.p += static_cast<double>(i);
    curve = curve.points.empty() ? part : joined(curve, part);
    if (curve.end != BranchEnd::range) break;
    if (static_cast<int64_t>(curve.points.size()) > options.max_points) {
      curve.end = BranchEnd::points;
      break;
    }
    i += up ? 1 : -1;
    p = up ? 0 : 1;
  }
  return curve;
}

}  // namespace

Lives follow_along(const std::vector<Mlp>& networks, const Array& start,
                   const FollowOptions& options) {
  require(networks.size() >= 2, "follow_along: needs at least two networks, got ", networks.size());
  require(start.rank() == 2, "follow_along: start must be fixed points [M, d], got ", start);
  for (size_t i = 1; i < networks.size(); ++i)
    require(networks[i].architecture() == networks[0].architecture(),
            "follow_along: networks of different architectures: checkpoint 0 is ",
            networks[0].architecture(), ", checkpoint ", i, " is ", networks[i].architecture());
  const int64_t count = start.dim(0);
  const double newest = static_cast<double>(networks.size() - 1);
  Lives result;
  result.curve_of.assign(static_cast<size_t>(count), -1);
  result.born.assign(static_cast<size_t>(count), std::numeric_limits<double>::quiet_NaN());
  for (int64_t row = 0; row < count; ++row) {
    if (result.curve_of[static_cast<size_t>(row)] >= 0) continue;
    const Branch curve = curve_from(networks, slice(start, 0, row, row + 1), row, options);
    const int64_t number = static_cast<int64_t>(result.curves.size());
    const BranchPoint& end = curve.points.back();
    int64_t partner = -1;
    for (int64_t other = 0; other < count; ++other) {
      const Array x = copy_to(cast(slice(start, 0, other, other + 1), DType::f64), Device());
      const double near = 1e-6 * std::max(1.0, norm(Tensor(x)).item());
      if (distance(x, curve.points.front().point) <= near)
        result.curve_of[static_cast<size_t>(other)] = number;
      else if (end.p == newest && distance(x, end.point) <= near)
        partner = other;
    }
    std::vector<PairChange> turns;
    for (const BranchEvent& event : curve.events)
      if (event.turns != 0) turns.push_back({event, number, -1, -1});
    const bool traced = curve.end == BranchEnd::range;
    double& born = result.born[static_cast<size_t>(row)];
    if (!turns.empty()) {
      turns.front().first = row;
      turns.back().second = partner;
      born = turns.front().event.p;
    } else if (traced) {
      born = 0;
    }
    if (partner >= 0) {
      result.curve_of[static_cast<size_t>(partner)] = number;
      result.born[static_cast<size_t>(partner)] = turns.empty() ? born : turns.back().event.p;
    }
    result.changes.insert(result.changes.end(), turns.begin(), turns.end());
    result.curves.push_back(curve);
  }
  std::stable_sort(result.changes.begin(), result.changes.end(),
                   [](const PairChange& a, const PairChange& b) { return a.event.p < b.event.p; });
  return result;
}

}  // namespace basin
