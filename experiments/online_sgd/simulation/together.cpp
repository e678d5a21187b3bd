#include "experiments/online_sgd/simulation/together.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>

#include "engine/array.h"
#include "engine/error.h"
#include "experiments/online_sgd/simulation/cuda/sgd_kernel.h"

namespace basin::online {
namespace {

int64_t rounded_up(int64_t count, int64_t multiple) {
  return (count + multiple - 1) / multiple * multiple;
}

/// What is equal for all simulators of a launch.
struct Kind {
  int64_t units, modes, rows;  // rows of weights: 2 units, or units when tied
  bool tied;
  size_t state;  // numbers in state(); its last are a step number, biases and rows

  explicit Kind(const Simulator& s)
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
         (x.data == y.data || std::memcmp(x.data, y.data, static_cast<size_t>(x.size()) * size_of(x.dtype)) == 0);
}

void require_one_kind(const std::vector<Simulator*>& simulators) {
  const Simulator& first = *simulators[0];
  for (const Simulator* s : simulators) {
    const Sgd &a = *first.sgd(), &b = *s->sgd();
    require(s->steps() == first.steps(), "run_together: simulators at steps ", first.steps(), " and ", s->steps());
    require(a.model.rule == b.model.rule && a.model.tying == b.model.tying && a.model.g.kind() == b.model.g.kind() &&
                a.precision == b.precision && s->spectrum().modes.size() == first.spectrum().modes.size() &&
                s->weights().units() == first.weights().units(),
            "run_together: simulators of different kinds; one launch takes one rule, tying, hidden unit, precision and "
            "shape, [K, modes] here [",
            first.weights().units(), ", ", first.spectrum().modes.size(), "] and [", s->weights().units(), ", ",
            s->spectrum().modes.size(), "]");
    require(same_inputs(a.inputs, b.inputs), "run_together: simulators with different inputs");
  }
}

/// The simulators of one call in the memory of a device.
template <class T>
class Launch {
 public:
  Launch(const Device& device, const std::vector<Simulator*>& simulators)
      : device_(device), simulators_(simulators), kind_(*simulators[0]), pitch_(rounded_up(kind_.modes, 64)) {
    upload();
  }

  /// Takes all to the last of `at`.
  std::vector<std::vector<Noted>> run(const std::vector<int64_t>& at) {
    const int64_t units = kind_.units, numbers = 4 * units * units + units, first = simulators_[0]->steps();
    const auto count = static_cast<int64_t>(at.size());
    const Array record_at = from_vector(std::vector<double>(at.begin(), at.end()), {count}, device_);
    const Array records = zeros({size(), count, numbers}, DType::f64, device_);
    const Array failed = zeros({size()}, DType::f64, device_);
    const Sgd& sgd = *simulators_[0]->sgd();
    launch_sgd(device_.backend(), SgdTask<T>{weights_.view().as<T>(),
                                             bias_.view().as<T>(),
                                             scale_.view().as<T>(),
                                             rates_.view().as<T>(),
                                             keys_.view().as<KeyBits>(),
                                             inputs_.defined() ? inputs_.view().as<T>() : nullptr,
                                             record_at.view().as<double>(),
                                             records.view().as<double>(),
                                             failed.view().as<double>(),
                                             size(),
                                             kind_.modes,
                                             pitch_,
                                             units,
                                             inputs_.defined() ? inputs_.dim(0) : 0,
                                             first,
                                             at.back() - first,
                                             count,
                                             sgd.model.g.kind(),
                                             kind_.tied,
                                             sgd.model.rule == Rule::truncated});
    const std::vector<double> stopped = failed.to_vector<double>();
    for (size_t i = 0; i < stopped.size(); ++i)
      if (!(stopped[i] < 0))
        throw Diverged(text("online SGD: the weights of trajectory ", i, " are no longer finite at step ",
                            static_cast<int64_t>(stopped[i]), "; the rates are too large for this start"),
                       i);
    download(at.back());
    return noted(records.to_vector<double>(), at.size());
  }

 private:
  int64_t size() const { return static_cast<int64_t>(simulators_.size()); }

  void upload() {
    const auto n = simulators_.size(), pitch = static_cast<size_t>(pitch_), rows = static_cast<size_t>(kind_.rows);
    std::vector<T> weights(n * rows * pitch), bias, scale(n * pitch), rates;
    std::vector<uint32_t> keys;
    for (size_t i = 0; i < n; ++i) {
      const Simulator& s = *simulators_[i];
      const std::vector<double> state = s.state();
      const double* from = state.data() + kind_.bias_at();
      for (int64_t k = 0; k < kind_.units; ++k) bias.push_back(static_cast<T>(*from++));
      for (size_t r = 0; r < rows; ++r)
        for (int64_t mode = 0; mode < kind_.modes; ++mode)
          weights[(i * rows + r) * pitch + static_cast<size_t>(mode)] = static_cast<T>(*from++);
      const auto dimension = static_cast<double>(s.spectrum().dimension);
      for (int64_t mode = 0; mode < kind_.modes; ++mode)
        scale[i * pitch + static_cast<size_t>(mode)] = static_cast<T>(std::sqrt(dimension * s.spectrum().modes(mode)));
      const Sgd::Factors f = s.sgd()->factors(s.spectrum().dimension);
      for (const double rate : {f.field, f.w, f.v, f.b, f.decay}) rates.push_back(static_cast<T>(rate));
      keys.push_back(s.sgd()->key.lo), keys.push_back(s.sgd()->key.hi);
    }
    weights_ = from_vector(weights, {size(), kind_.rows, pitch_}, device_);
    bias_ = from_vector(bias, {size(), kind_.units}, device_);
    scale_ = from_vector(scale, {size(), pitch_}, device_);
    rates_ = from_vector(rates, {size(), rate_count}, device_);
    keys_ = from_vector(keys, {size(), 2}, device_);
    if (simulators_[0]->sgd()->inputs.defined()) inputs_ = copy_to(simulators_[0]->sgd()->inputs, device_);
  }

  void download(int64_t steps) {
    const std::vector<T> weights = weights_.template to_vector<T>(), bias = bias_.template to_vector<T>();
    std::vector<std::vector<double>> states;
    for (size_t i = 0; i < simulators_.size(); ++i) {
      std::vector<double> state = simulators_[i]->state();
      double* to = state.data() + kind_.bias_at();
      to[-1] = static_cast<double>(steps);
      const auto units = static_cast<size_t>(kind_.units), rows = static_cast<size_t>(kind_.rows);
      for (size_t k = 0; k < units; ++k) *to++ = static_cast<double>(bias[i * units + k]);
      for (size_t r = 0; r < rows; ++r)
        for (int64_t mode = 0; mode < kind_.modes; ++mode)
          *to++ =
              static_cast<double>(weights[(i * rows + r) * static_cast<size_t>(pitch_) + static_cast<size_t>(mode)]);
      if (!std::all_of(state.begin(), state.end(), [](double x) { return std::isfinite(x); }))
        throw Diverged(
            text("online SGD: the weights of trajectory ", i, " are no longer finite after step ", steps - 1), i);
      states.push_back(std::move(state));
    }
    for (size_t i = 0; i < states.size(); ++i) simulators_[i]->restore(states[i]);
  }

  std::vector<std::vector<Noted>> noted(const std::vector<double>& records, size_t count) const {
    using ByRows = Eigen::Map<const Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>;
    const int64_t units = kind_.units;
    std::vector<std::vector<Noted>> out(simulators_.size());
    const double* from = records.data();
    for (size_t i = 0; i < out.size(); ++i) {
      const auto d = static_cast<double>(simulators_[i]->spectrum().dimension);
      const double unit[] = {1 / d, 1 / (d * std::sqrt(d)), 1 / (d * d), 1 / d};  // of the sums in SgdTask::records
      for (size_t r = 0; r < count; ++r) {
        Matrix m[4];
        for (int j = 0; j < 4; ++j, from += units * units) m[j] = unit[j] * ByRows(from, units, units);
        out[i].push_back({{m[0], m[1], m[2], m[3]}, Eigen::Map<const Vector>(from, units)});
        from += units;
      }
    }
    return out;
  }

  Device device_;
  const std::vector<Simulator*>& simulators_;
  Kind kind_;
  int64_t pitch_;
  Array weights_, bias_, scale_, rates_, keys_, inputs_;
};

std::vector<std::vector<Noted>> run_on_threads(const std::vector<Simulator*>& simulators,
                                               const std::vector<int64_t>& at) {
  std::vector<std::vector<Noted>> out(simulators.size());
  for_trajectories(static_cast<int64_t>(simulators.size()), [&](int64_t i) {
    Simulator& s = *simulators[static_cast<size_t>(i)];
    for (const int64_t step : at) {
      s.run(step - s.steps());
      const Weights w = s.weights();
      out[static_cast<size_t>(i)].push_back({order_parameters(w, s.spectrum()), w.bias});
    }
  });
  return out;
}

}  // namespace

std::string refusal(const Device& device, const Simulator& simulator) {
  if (device.is_cpu()) return "";
  if (!simulator.sgd()) return "a simulator with a law of its own (Gram matrix, Hebbian rules)";
  const int64_t units = simulator.weights().units(), modes = simulator.spectrum().modes.size();
  if (simulator.sgd()->model.g.kind() == UnitKind::quadrature)
    return "a hidden unit of one's own, " + simulator.sgd()->model.g.name();
  if (units > most_kernel_units || modes > most_kernel_modes)
    return "K = " + std::to_string(units) + " units on " + std::to_string(modes) + " modes; it takes " +
           std::to_string(most_kernel_units) + " on " + std::to_string(most_kernel_modes);
  return "";
}

std::vector<std::vector<Noted>> run_together(const Device& device, const std::vector<Simulator*>& simulators,
                                             const std::vector<int64_t>& at) {
  if (simulators.empty()) return {};
  require(!at.empty() && at[0] >= simulators[0]->steps() &&
              std::adjacent_find(at.begin(), at.end(), std::greater_equal<>()) == at.end(),
          "run_together: needs step numbers that rise, from ", simulators[0]->steps(), " on");
  for (const Simulator* s : simulators) {
    const std::string why = refusal(device, *s);
    require(why.empty(), "run_together: the kernel of ", device.name(), " does not take ", why, "; run it on the CPU");
  }
  if (device.is_cpu()) return run_on_threads(simulators, at);
  require_one_kind(simulators);
  if (simulators[0]->sgd()->precision == Precision::f32) return Launch<float>(device, simulators).run(at);
  return Launch<double>(device, simulators).run(at);
}

}  // namespace basin::online
