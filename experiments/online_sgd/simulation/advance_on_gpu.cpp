#include "experiments/online_sgd/simulation/advance_on_gpu.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/array.h"
#include "engine/error.h"
#include "experiments/online_sgd/simulation/cuda/sgd_kernel.h"

namespace basin::online {
namespace {

int64_t rounded_up(int64_t count, int64_t multiple) {
  return (count + multiple - 1) / multiple * multiple;
}

/// What all simulators of a launch share.
struct Shape {
  int64_t units;
  int64_t modes;
  int64_t rows;  // rows of weights: 2 units, or units when tied
  bool tied;
  // how many numbers state() has; the last are the step number, the biases and the rows of weights
  size_t state;

  explicit Shape(const Simulator& s)
      : units(s.weights().units()),
        modes(s.spectrum().modes.size()),
        rows(s.sgd()->model.tying == Tying::untied ? 2 * units : units),
        tied(s.sgd()->model.tying != Tying::untied),
        state(s.state().size()) {}
  size_t bias_at() const { return state - static_cast<size_t>(units + rows * modes); }
};

bool same_inputs(const Array& a, const Array& b) {
  if (!a.defined() || !b.defined()) return a.defined() == b.defined();
  const View x = a.view(), y = b.view();
  return x.dtype == y.dtype && x.shape == y.shape &&
         (x.data == y.data ||
          std::memcmp(x.data, y.data, static_cast<size_t>(x.size()) * size_of(x.dtype)) == 0);
}

void require_alike(const std::vector<Simulator*>& simulators) {
  const Simulator& first = *simulators[0];
  for (const Simulator* s : simulators) {
    const Sgd &a = *first.sgd(), &b = *s->sgd();
    require(s->steps() == first.steps(), "advance_all: simulators at steps ", first.steps(),
            " and ", s->steps());
    require(a.model.rule == b.model.rule && a.model.tying == b.model.tying &&
                a.model.g.kind() == b.model.g.kind() && a.precision == b.precision &&
                s->spectrum().modes.size() == first.spectrum().modes.size() &&
                s->weights().units() == first.weights().units(),
            "advance_all: simulators that differ; one launch takes one rule, tying, hidden unit, "
            "precision and shape, "
            "[K, modes] here [",
            first.weights().units(), ", ", first.spectrum().modes.size(), "] and [",
            s->weights().units(), ", ", s->spectrum().modes.size(), "]");
    require(same_inputs(a.inputs, b.inputs), "advance_all: simulators with different inputs");
  }
}

/// The simulators of one call, copied to the memory of a device.
template <class T>
class Launch {
 public:
  Launch(const Device& device, const std::vector<Simulator*>& simulators)
      : device_(device),
        simulators_(simulators),
        shape_(*simulators[0]),
        pitch_(rounded_up(shape_.modes, 64)) {
    upload();
  }

  /// Takes all simulators to the last of `steps`.
  std::vector<std::vector<Snapshot>> advance(const std::vector<int64_t>& steps) {
    const int64_t units = shape_.units, numbers = 4 * units * units + units,
                  first = simulators_[0]->steps();
    const auto count = static_cast<int64_t>(steps.size());
    const Array snapshot_steps =
        from_vector(std::vector<double>(steps.begin(), steps.end()), {count}, device_);
    const Array snapshots = zeros({size(), count, numbers}, DType::f64, device_);
    const Array failed = zeros({size()}, DType::f64, device_);
    const Sgd& sgd = *simulators_[0]->sgd();
    launch_sgd(device_.backend(), SgdTask<T>{weights_.view().as<T>(),
                                             bias_.view().as<T>(),
                                             scale_.view().as<T>(),
                                             rates_.view().as<T>(),
                                             keys_.view().as<KeyBits>(),
                                             inputs_.defined() ? inputs_.view().as<T>() : nullptr,
                                             snapshot_steps.view().as<double>(),
                                             snapshots.view().as<double>(),
                                             failed.view().as<double>(),
                                             size(),
                                             shape_.modes,
                                             pitch_,
                                             units,
                                             inputs_.defined() ? inputs_.dim(0) : 0,
                                             first,
                                             steps.back() - first,
                                             count,
                                             sgd.model.g.kind(),
                                             shape_.tied,
                                             sgd.model.rule == Rule::truncated});
    const std::vector<double> stopped = failed.to_vector<double>();
    for (size_t i = 0; i < stopped.size(); ++i)
      if (!(stopped[i] < 0))
        throw Diverged(
            text("online SGD: the weights of trajectory ", i, " are no longer finite at step ",
                 static_cast<int64_t>(stopped[i]), "; the rates are too large for this start"),
            i);
    download(steps.back());
    return to_snapshots(snapshots.to_vector<double>(), steps.size());
  }

 private:
  int64_t size() const { return static_cast<int64_t>(simulators_.size()); }

  void upload() {
    const auto n = simulators_.size(), pitch = static_cast<size_t>(pitch_),
               rows = static_cast<size_t>(shape_.rows);
    std::vector<T> weights(n * rows * pitch), bias, scale(n * pitch), rates;
    std::vector<uint32_t> keys;
    for (size_t i = 0; i < n; ++i) {
      const Simulator& s = *simulators_[i];
      const std::vector<double> state = s.state();
      const double* from = state.data() + shape_.bias_at();
      for (int64_t k = 0; k < shape_.units; ++k) bias.push_back(static_cast<T>(*from++));
      for (size_t r = 0; r < rows; ++r)
        for (int64_t mode = 0; mode < shape_.modes; ++mode)
          weights[(i * rows + r) * pitch + static_cast<size_t>(mode)] = static_cast<T>(*from++);
      const auto dimension = static_cast<double>(s.spectrum().dimension);
      for (int64_t mode = 0; mode < shape_.modes; ++mode)
        scale[i * pitch + static_cast<size_t>(mode)] =
            static_cast<T>(std::sqrt(dimension * s.spectrum().modes(mode)));
      const Sgd::Factors f = s.sgd()->factors(s.spectrum().dimension);
      for (const double rate : {f.field, f.w, f.v, f.b, f.decay})
        rates.push_back(static_cast<T>(rate));
      keys.push_back(s.sgd()->key.lo);
      keys.push_back(s.sgd()->key.hi);
    }
    weights_ = from_vector(weights, {size(), shape_.rows, pitch_}, device_);
    bias_ = from_vector(bias, {size(), shape_.units}, device_);
    scale_ = from_vector(scale, {size(), pitch_}, device_);
    rates_ = from_vector(rates, {size(), rate_count}, device_);
    keys_ = from_vector(keys, {size(), 2}, device_);
    if (simulators_[0]->sgd()->inputs.defined())
      inputs_ = copy_to(simulators_[0]->sgd()->inputs, device_);
  }

  void download(int64_t steps) {
    const std::vector<T> weights = weights_.template to_vector<T>(),
                         bias = bias_.template to_vector<T>();
    std::vector<std::vector<double>> states;
    for (size_t i = 0; i < simulators_.size(); ++i) {
      std::vector<double> state = simulators_[i]->state();
      double* to = state.data() + shape_.bias_at();
      to[-1] = static_cast<double>(steps);
      const auto units = static_cast<size_t>(shape_.units), rows = static_cast<size_t>(shape_.rows);
      for (size_t k = 0; k < units; ++k) *to++ = static_cast<double>(bias[i * units + k]);
      for (size_t r = 0; r < rows; ++r)
        for (int64_t mode = 0; mode < shape_.modes; ++mode)
          *to++ = static_cast<double>(
              weights[(i * rows + r) * static_cast<size_t>(pitch_) + static_cast<size_t>(mode)]);
      if (!std::all_of(state.begin(), state.end(), [](double x) { return std::isfinite(x); }))
        throw Diverged(text("online SGD: the weights of trajectory ", i,
                            " are no longer finite after step ", steps - 1),
                       i);
      states.push_back(std::move(state));
    }
    for (size_t i = 0; i < states.size(); ++i) simulators_[i]->restore(states[i]);
  }

  std::vector<std::vector<Snapshot>> to_snapshots(const std::vector<double>& sums,
                                                  size_t count) const {
    using ByRows =
        Eigen::Map<const Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>;
    const int64_t units = shape_.units;
    std::vector<std::vector<Snapshot>> out(simulators_.size());
    const double* from = sums.data();
    for (size_t i = 0; i < out.size(); ++i) {
      const auto d = static_cast<double>(simulators_[i]->spectrum().dimension);
      const double unit[] = {1 / d, 1 / (d * std::sqrt(d)), 1 / (d * d),
                             1 / d};  // of the sums in SgdTask::snapshots
      for (size_t r = 0; r < count; ++r) {
        Matrix m[4];
        for (int j = 0; j < 4; ++j, from += units * units)
          m[j] = unit[j] * ByRows(from, units, units);
        out[i].push_back({{m[0], m[1], m[2], m[3]}, Eigen::Map<const Vector>(from, units)});
        from += units;
      }
    }
    return out;
  }

  Device device_;
  const std::vector<Simulator*>& simulators_;
  Shape shape_;
  int64_t pitch_;
  Array weights_, bias_, scale_, rates_, keys_, inputs_;
};

}  // namespace

std::vector<std::vector<Snapshot>> advance_on_gpu(const Device& device,
                                                  const std::vector<Simulator*>& simulators,
                                                  const std::vector<int64_t>& steps) {
  require_alike(simulators);
  if (simulators[0]->sgd()->precision == Precision::f32)
    return Launch<float>(device, simulators).advance(steps);
  return Launch<double>(device, simulators).advance(steps);
}

}  // namespace basin::online
