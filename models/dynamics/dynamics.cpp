#include "models/dynamics/dynamics.h"

#include <algorithm>
#include <memory>
#include <numeric>
#include <utility>

#include "engine/recorded_step.h"
#include "kernels/iteration.h"

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

/// The points of a run with their bookkeeping: x [N, d], iterations and state (PointState) i32 [N].
struct Points {
  Array x, iterations, state;
};

/// Rows of an array, any dtype.
Array rows_of(const Array& x, const std::vector<int32_t>& rows) {
  return gather(Tensor(x), from_vector(rows, {static_cast<int64_t>(rows.size())})).array();
}

/// Applies f to the points that still run. On the CPU a point leaves the batch as soon as it has
/// stopped; on a device that records, the host looks at the states only now and then, and shrinks
/// the batch when half of it is done.
class Stepper {
 public:
  Stepper(const Map& f, Points& all, const IterateOptions& options)
      : f_(f), all_(all), options_(options) {
    rows_.resize(static_cast<size_t>(all.x.dim(0)));
    std::iota(rows_.begin(), rows_.end(), 0);
    use(all);
  }

  void advance(int64_t steps) {
    const bool records = all_.x.device().backend().can_capture();
    for (int64_t chunk; steps > 0 && !rows_.empty(); steps -= chunk) {
      options_.between();
      chunk = std::min<int64_t>(steps, records ? 16 : 1);
      for (int64_t i = 0; i < chunk; ++i) step_->run();
      const std::vector<int32_t> states = batch_.state.to_vector<int32_t>();
      std::vector<int32_t> kept;
      for (size_t i = 0; i < states.size(); ++i)
        if (states[i] == point_running) kept.push_back(static_cast<int32_t>(i));
      const size_t gone = rows_.size() - kept.size();
      if (gone > 0 && (kept.empty() || !records || 2 * gone >= rows_.size())) shrink(kept);
    }
  }

  /// Brings `all` up to date.
  void put_back() {
    if (rows_.empty() || batch_.x.storage() == all_.x.storage()) return;
    const int64_t n = all_.x.dim(0);
    std::vector<int32_t> from(static_cast<size_t>(n));
    std::iota(from.begin(), from.end(), 0);
    for (size_t i = 0; i < rows_.size(); ++i)
      from[static_cast<size_t>(rows_[i])] = static_cast<int32_t>(n) + static_cast<int32_t>(i);
    const auto merge = [&](Array& old, const Array& part) {
      Shape shape = old.shape();
      shape[0] += part.dim(0);
      const Array both(shape, old.dtype(), old.device());
      assign(slice(both, 0, 0, n), old);
      assign(slice(both, 0, n, shape[0]), part);
      old = rows_of(both, from);
    };
    merge(all_.x, batch_.x);
    merge(all_.iterations, batch_.iterations);
    merge(all_.state, batch_.state);
  }

 private:
  void use(const Points& batch) {
    batch_ = batch;
    step_ = std::make_unique<RecordedStep>(batch.x.device(), [this] { step(); });
  }

  void step() {
    Array next = stop_gradient(f_(Tensor(batch_.x))).array();
    require(next.shape() == batch_.x.shape(), "iterate: f must keep the shape, but ", batch_.x,
            " became ", next);
    // settle() overwrites x, which f may have returned a view of.
    if (next.storage() == batch_.x.storage()) next = copy_of(next);
    if (next.dtype() != batch_.x.dtype()) next = cast(next, batch_.x.dtype());
    next = contiguous(next);
    batch_.x.device().backend().iteration().settle(batch_.x.view(), next.view(),
                                                   batch_.iterations.view(), batch_.state.view(),
                                                   options_.tolerance);
    batch_.x.touch();
  }

  void shrink(const std::vector<int32_t>& kept) {
    put_back();
    const Points old = batch_;
    std::vector<int32_t> rows;
    for (int32_t i : kept) rows.push_back(rows_[static_cast<size_t>(i)]);
    rows_ = std::move(rows);
    if (!kept.empty())
      use({rows_of(old.x, kept), rows_of(old.iterations, kept), rows_of(old.state, kept)});
  }

  const Map& f_;
  Points& all_;
  const IterateOptions& options_;
  Points batch_;
  std::vector<int32_t> rows_;  // the point that row i of the batch belongs to
  std::unique_ptr<RecordedStep> step_;
};

/// `fused` does some steps of f in one launch, or says that it cannot.
Trajectories run(const Map& f, const Array& start, const IterateOptions& options,
                 const std::function<bool(const Points&, int64_t)>& fused) {
  const Shape count{start.dim(0)};
  Points all{copy_of(start), zeros(count, DType::i32, start.device()),
             zeros(count, DType::i32, start.device())};
  std::unique_ptr<Stepper> stepper;
  int64_t done = 0;
  const auto advance_to = [&](int64_t t) {
    const int64_t steps = t - std::exchange(done, t);
    options.between();
    if (steps == 0 || (!stepper && fused(all, steps))) return;
    if (!stepper) stepper = std::make_unique<Stepper>(f, all, options);
    stepper->advance(steps);
    stepper->put_back();
  };
  Trajectories result;
  for (int64_t at : options.record_at) {
    advance_to(at);
    result.snapshots.push_back(copy_of(all.x));
  }
  advance_to(options.max_iterations);
  result.points = all.x;
  const std::vector<int32_t> iterations = all.iterations.to_vector<int32_t>(),
                             states = all.state.to_vector<int32_t>();
  result.iterations.assign(iterations.begin(), iterations.end());
  result.converged =
      std::count(states.begin(), states.end(), static_cast<int32_t>(point_converged));
  return result;
}

}  // namespace

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
