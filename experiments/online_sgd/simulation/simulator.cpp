#include "experiments/online_sgd/simulation/simulator.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/error.h"
#include "experiments/online_sgd/simulation/draw.h"
#include "experiments/online_sgd/simulation/sgd_pass.h"

namespace basin::online {
namespace {

/// g and g' of one field.
template <class T>
void evaluate(const Transfer& g, T field, T& value, T& slope) {
  if (g.kind() != UnitKind::quadrature) return online::evaluate(g.kind(), field, value, slope);
  value = static_cast<T>(g.value(field)), slope = static_cast<T>(g.slope(field));
}

void check_setting(const Spectrum& spectrum, const Weights& start) {
  const int64_t modes = spectrum.modes.size();
  const int64_t units = start.units();
  require(modes >= 1 && modes <= spectrum.dimension, "online SGD: ", modes, " modes of ",
          spectrum.dimension, " dimensions");
  require(spectrum.rest == 0, "online SGD simulates every mode with variance, ", spectrum.rest,
          " is left out");
  require((spectrum.modes.array() >= 0).all() && spectrum.modes.allFinite(),
          "online SGD: a variance that is negative or not finite");
  require_units("online SGD", units, spectrum.dimension);
  require(start.modes() == modes && start.decoder.rows() == units &&
              start.decoder.cols() == modes && start.bias.size() == units,
          "online SGD: an encoder of ", units, " x ", start.modes(), ", a decoder of ",
          start.decoder.rows(), " x ", start.decoder.cols(), " and ", start.bias.size(),
          " biases for ", modes, " modes");
}

template <class T>
class OnlineSgd : public Simulator {
 public:
  OnlineSgd(const Model& model, const Spectrum& spectrum, const Weights& start, const Key& key,
            const Array& inputs);

  void advance(int64_t steps) override;
  int64_t steps() const override { return steps_; }
  Weights weights() const override;
  const Spectrum& spectrum() const override { return spectrum_; }
  std::optional<Model> model() const override { return sgd_.model; }
  std::vector<double> state() const override;
  void restore(const std::vector<double>& state) override;
  const Sgd* sgd() const override { return &sgd_; }

 private:
  int64_t units() const { return layers_.units; }
  int64_t modes() const { return spectrum_.modes.size(); }
  double root() const { return std::sqrt(static_cast<double>(spectrum_.dimension)); }
  std::vector<double> setting() const;
  void set_rates();
  void draw_input();
  void plan_update();

  Sgd sgd_;
  Spectrum spectrum_;
  Layers<T> layers_;
  Passes<T> passes_;
  Pending<T> pending_;
  Sums<T> sums_;
  std::vector<T> bias_;
  std::vector<Lanes<T>> scale_, x_,
      old_x_;  // sqrt rho; the inputs of this step and of the one before
  T field_scale_;
  T w_rate_;
  T v_rate_;
  T b_rate_;
  int64_t steps_ = 0;
};

template <class T>
OnlineSgd<T>::OnlineSgd(const Model& model, const Spectrum& spectrum, const Weights& start,
                        const Key& key, const Array& inputs)
    : sgd_{model, key.bits(), {}, sizeof(T) == 4 ? Precision::f32 : Precision::f64},
      spectrum_(spectrum) {
  check_setting(spectrum, start);
  if (inputs.defined()) {
    require(inputs.rank() == 2 && inputs.dim(0) >= 1 && inputs.dim(1) == modes(),
            "online SGD: inputs ", inputs, " for ", modes(), " modes");
    sgd_.inputs =
        contiguous(inputs.dtype() == dtype_of<T>() ? inputs : cast(inputs, dtype_of<T>()));
    sgd_.inputs.data<T>();  // an error now when it is not on the host
  }
  // Modes beyond the last have no variance and no weight: nothing ever happens there.
  const int64_t vectors =
      (modes() + chunk_modes - 1) / chunk_modes * (chunk_modes / Lanes<T>::count);
  layers_ = {start.units(), vectors, model.tying != Tying::untied, {}};
  layers_.rows.resize(static_cast<size_t>(vectors * layers_.stride()));
  for (int64_t k = 0; k < units(); ++k) {
    for (int64_t mode = 0; mode < modes(); ++mode) {
      if (!layers_.tied) layers_.set(k, mode, static_cast<T>(start.encoder(k, mode)));
      layers_.set(layers_.encoders() + k, mode, static_cast<T>(root() * start.decoder(k, mode)));
    }
    bias_.push_back(static_cast<T>(start.bias(k)));
  }
  scale_.resize(static_cast<size_t>(vectors));
  x_ = old_x_ = scale_;
  for (int64_t mode = 0; mode < modes(); ++mode)
    scale_[static_cast<size_t>(mode / Lanes<T>::count)].v[mode % Lanes<T>::count] =
        static_cast<T>(std::sqrt(static_cast<double>(spectrum.dimension) * spectrum.modes(mode)));
  passes_ = Passes<T>::of(units(), layers_.tied);
  sums_ = Sums<T>::of(units());
  set_rates();
}

template <class T>
void OnlineSgd<T>::set_rates() {
  const Sgd::Factors factors = sgd_.factors(spectrum_.dimension);
  const std::vector<T> none(static_cast<size_t>(units()));
  pending_ = {none, none, none, static_cast<T>(factors.decay), sgd_.model.rule == Rule::truncated};
  field_scale_ = static_cast<T>(factors.field);
  w_rate_ = static_cast<T>(factors.w), v_rate_ = static_cast<T>(factors.v),
  b_rate_ = static_cast<T>(factors.b);
}

template <class T>
void OnlineSgd<T>::draw_input() {
  const auto step = static_cast<uint64_t>(steps_);
  T* x = reinterpret_cast<T*>(x_.data());
  if (!sgd_.inputs.defined()) {
    draw_normals(sgd_.key, step, layers_.vectors * Lanes<T>::count / chunk_modes,
                 reinterpret_cast<const T*>(scale_.data()), x);
    return;
  }
  const T* all = sgd_.inputs.data<T>();
  const auto bytes = static_cast<size_t>(modes()) * sizeof(T);
  std::memcpy(x, all + row_of_step(sgd_.key, step, sgd_.inputs.dim(0)) * modes(), bytes);
  const char* following = reinterpret_cast<const char*>(
      all + row_of_step(sgd_.key, step + 1, sgd_.inputs.dim(0)) * modes());
  for (size_t at = 0; at < bytes; at += 64) __builtin_prefetch(following + at);
}

/// From the sums over modes to the coefficients of the update; the biases are updated here.
template <class T>
void OnlineSgd<T>::plan_update() {
  const T* wx = sums_.values.data();
  const T* vx = wx + units();
  const T* vv = vx + units();
  T all = 0;
  for (int64_t k = 0; k < units(); ++k) {
    const T field = wx[k] * field_scale_ + bias_[k];
    evaluate(sgd_.model.g, field, pending_.g[k],
             pending_.w_step[k]);  // g' stands in for the coefficient until it is known
    all += field;
  }
  const bool pairs = sums_.has_pairs(units());
  if (!pairs) sum_errors(layers_, pending_, x_.data(), sums_);
  for (int64_t k = 0; k < units(); ++k) {
    T error = vx[k];  // v_k . Delta, when the pairs are taken off
    for (int64_t a = 0; pairs && a < (pending_.truncated ? k + 1 : units()); ++a)
      error -= (a <= k ? vv[pair_index(k, a)] : vv[pair_index(a, k)]) * pending_.g[a];
    const T gradient = error * pending_.w_step[k];
    pending_.w_step[k] = w_rate_ * gradient;
    pending_.v_step[k] = v_rate_ * pending_.g[k];
    bias_[k] += b_rate_ * gradient;
    all += pending_.w_step[k] + pending_.v_step[k] + bias_[k];
  }
  require(all - all == 0, "online SGD: the weights are no longer finite at step ", steps_,
          "; the rates are too large for this start");
}

template <class T>
void OnlineSgd<T>::advance(int64_t steps) {
  require(steps >= 0, "online SGD: ", steps, " steps");
  for (int64_t i = 0; i < steps; ++i) {
    draw_input();
    (i == 0 ? passes_.first : passes_.next)(layers_, pending_, old_x_.data(), x_.data(), sums_);
    plan_update();
    std::swap(x_, old_x_);
    ++steps_;
  }
  if (steps == 0) return;
  passes_.last(layers_, pending_, old_x_.data(), nullptr, sums_);
  Lanes<T> worst = Lanes<T>();
  for (const Lanes<T>& lanes : layers_.rows)
    worst.v += lanes.v - lanes.v;  // 0, or NaN for what is not finite
  require(sum_of(worst) == 0, "online SGD: the weights are no longer finite after step ",
          steps_ - 1);
}

template <class T>
Weights OnlineSgd<T>::weights() const {
  Weights out{Matrix(units(), modes()), Matrix(units(), modes()), Vector(units())};
  for (int64_t k = 0; k < units(); ++k) {
    for (int64_t mode = 0; mode < modes(); ++mode) {
      out.encoder(k, mode) = layers_.at(k, mode);  // tied: the one set there is
      out.decoder(k, mode) = layers_.at(layers_.encoders() + k, mode) / root();
    }
    out.bias(k) = bias_[k];
  }
  return out;
}

/// What a state must share with the simulator that takes it.
template <class T>
std::vector<double> OnlineSgd<T>::setting() const {
  const Rates& r = sgd_.model.rates;
  return {static_cast<double>(sizeof(T)),
          static_cast<double>(spectrum_.dimension),
          static_cast<double>(modes()),
          static_cast<double>(units()),
          static_cast<double>(sgd_.model.rule),
          static_cast<double>(sgd_.model.tying),
          static_cast<double>(sgd_.model.g.kind()),
          static_cast<double>(sgd_.inputs.defined() ? sgd_.inputs.dim(0) : 0),
          static_cast<double>(sgd_.key.lo),
          static_cast<double>(sgd_.key.hi),
          r.w,
          r.v,
          r.b,
          r.decay};
}

template <class T>
std::vector<double> OnlineSgd<T>::state() const {
  std::vector<double> out = setting();
  out.push_back(static_cast<double>(steps_));
  out.insert(out.end(), bias_.begin(), bias_.end());
  for (int64_t r = 0; r < layers_.stride(); ++r)
    for (int64_t mode = 0; mode < modes(); ++mode) out.push_back(layers_.at(r, mode));
  return out;
}

template <class T>
void OnlineSgd<T>::restore(const std::vector<double>& state) {
  const double* at =
      after_setting("online SGD", state, setting(), 1 + units() + layers_.stride() * modes());
  steps_ = static_cast<int64_t>(*at++);
  for (T& bias : bias_) bias = static_cast<T>(*at++);
  for (int64_t r = 0; r < layers_.stride(); ++r)
    for (int64_t mode = 0; mode < modes(); ++mode) layers_.set(r, mode, static_cast<T>(*at++));
}

std::unique_ptr<Simulator> make(const Model& model, const Spectrum& spectrum, const Array& inputs,
                                const Weights& start, const Key& key, Precision precision) {
  if (precision == Precision::f32)
    return std::make_unique<OnlineSgd<float>>(model, spectrum, start, key, inputs);
  return std::make_unique<OnlineSgd<double>>(model, spectrum, start, key, inputs);
}

}  // namespace

Sgd::Factors Sgd::factors(int64_t dimension) const {
  const auto d = static_cast<double>(dimension);
  const Rates& r = model.rates;
  const double v = model.tying == Tying::detached ? 0 : r.v / d;
  return {1 / std::sqrt(d), r.w / d / std::sqrt(d), v, r.b / d, r.decay / d};
}

std::unique_ptr<Simulator> make_simulator(const Model& model, const Spectrum& spectrum,
                                          const Weights& start, const Key& key,
                                          Precision precision) {
  return make(model, spectrum, {}, start, key, precision);
}

std::unique_ptr<Simulator> make_dataset_simulator(const Model& model, const Spectrum& spectrum,
                                                  const Array& inputs, const Weights& start,
                                                  const Key& key, Precision precision) {
  require(inputs.defined(), "online SGD: no inputs");
  return make(model, spectrum, inputs, start, key, precision);
}

const double* after_setting(const std::string& what, const std::vector<double>& state,
                            const std::vector<double>& setting, int64_t numbers) {
  const size_t wanted = setting.size() + static_cast<size_t>(numbers);
  require(state.size() == wanted && std::equal(setting.begin(), setting.end(), state.begin()), what,
          ": a state of another setting (", state.size(), " numbers, not ", wanted,
          ", or another key, rate or shape)");
  return state.data() + setting.size();
}

}  // namespace basin::online
