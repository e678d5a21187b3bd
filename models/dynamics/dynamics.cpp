#include "models/dynamics/dynamics.h"

#include <algorithm>
#include <utility>

#include "models/dynamics/active_set.h"

namespace basin {
namespace {

void check(const Array& start, const IterateOptions& options) {
  require(start.rank() == 2, "iterate: start must be [N, d], got ", start);
  require(options.max_iterations >= 0, "iterate: max_iterations is ", options.max_iterations,
          ", must not be negative");
  int64_t previous = -1;
  for (int64_t at : options.record_at) {
    require(at > previous && at <= options.max_iterations,
            "iterate: record_at must ascend within 0 .. ", options.max_iterations,
            " (max_iterations), got ", at, " after ", previous);
    previous = at;
  }
}

/// `fused` does some steps of f in one launch, or says that it cannot.
Trajectories run(const Map& f, const Array& start, const IterateOptions& options,
                 const std::function<bool(const Points&, int64_t)>& fused) {
  ActiveSet set(f, start, options.between, options.tolerance);
  bool fuses = true;
  int64_t done = 0;
  const auto advance_to = [&](int64_t t) {
    const int64_t steps = t - std::exchange(done, t);
    options.between();
    fuses = fuses && (steps == 0 || fused(set.batch(), steps));
    if (!fuses) set.run(steps);
  };
  Trajectories result;
  for (int64_t at : options.record_at) {
    advance_to(at);
    result.snapshots.push_back(copy_of(set.all().x));
  }
  advance_to(options.max_iterations);
  const Points& all = set.all();
  result.points = all.x;
  const std::vector<int32_t> iterations = all.iterations.to_vector<int32_t>(),
                             states = all.state.to_vector<int32_t>();
  result.iterations.assign(iterations.begin(), iterations.end());
  result.converged =
      std::count(states.begin(), states.end(), static_cast<int32_t>(point_converged));
  return result;
}

}  // namespace

Array rows_of(const Array& x, const std::vector<int32_t>& rows) {
  return gather(Tensor(x), from_vector(rows, {static_cast<int64_t>(rows.size())})).array();
}

Trajectories iterate(const Map& f, const Array& start, const IterateOptions& options) {
  check(start, options);
  return run(f, start, options, [](const Points&, int64_t) { return false; });
}

Trajectories iterate(const Mlp& f, const Array& start, const IterateOptions& options) {
  check(start, options);
  const std::vector<int64_t> widths = f.widths();
  bool fits = !widths.empty() && widths.front() == start.dim(1) && widths.back() == start.dim(1);
  std::vector<DenseLayer> layers;
  for (const Linear& layer : f.layers) {
    const Array w = stop_gradient(layer.weight).array();
    fits = fits && w.dtype() == start.dtype() && w.device() == start.device();
    layers.push_back(
        {w.view(), layer.bias.defined() ? stop_gradient(layer.bias).array().view() : View{}});
  }
  return run(f, start, options, [&](const Points& all, int64_t steps) {
    const bool done = fits && start.device().backend().iteration().iterate_dense(
                                  layers, f.activation, f.skip, all.x.view(), all.iterations.view(),
                                  all.state.view(), steps, options.tolerance);
    if (done) all.x.touch();
    return done;
  });
}

Trajectories iterate(const Net& f, const Array& start, const IterateOptions& options) {
  if (const std::optional<Mlp> chain = as_mlp(f)) return iterate(*chain, start, options);
  require_rowwise(f, "iterate");
  return iterate(Map([&](const Tensor& x) { return f(x); }), start, options);
}

double recovery_probability(const Array& points, const Array& examples, double radius) {
  return fraction_within(nearest(examples, points), radius);
}

double fraction_within(const Nearest& found, double radius) {
  if (found.distance.empty()) return 0;
  const auto hits = std::count_if(found.distance.begin(), found.distance.end(),
                                  [&](double d) { return d < radius; });
  return static_cast<double>(hits) / static_cast<double>(found.distance.size());
}

std::vector<int64_t> basin_counts(const Nearest& found, int64_t examples, double radius) {
  std::vector<int64_t> counts(static_cast<size_t>(examples), 0);
  for (size_t i = 0; i < found.index.size(); ++i)
    if (found.distance[i] < radius) ++counts.at(static_cast<size_t>(found.index[i]));
  return counts;
}

int64_t examples_hit(const Nearest& found, int64_t examples, double radius) {
  const std::vector<int64_t> counts = basin_counts(found, examples, radius);
  return static_cast<int64_t>(counts.size()) - std::count(counts.begin(), counts.end(), 0);
}

int64_t attractor_count(const std::vector<double>& spectral_radii) {
  return std::count_if(spectral_radii.begin(), spectral_radii.end(),
                       [](double rho) { return rho < 1; });
}

}  // namespace basin
