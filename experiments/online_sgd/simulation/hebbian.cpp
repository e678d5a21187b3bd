#include "experiments/online_sgd/simulation/hebbian.h"

#include <algorithm>
#include <cmath>

#include "engine/error.h"
#include "experiments/harness/run.h"
#include "experiments/online_sgd/simulation/draw.h"

namespace basin::online {
namespace {

using RowMatrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

void check_start(const Spectrum& s, const Matrix& start) {
  require_units("Hebbian rules", start.rows(), s.dimension);
  require(start.cols() == s.modes.size(), "Hebbian rules: weights [", start.rows(), ", ",
          start.cols(), "] for ", s.modes.size(), " modes");
}

class HebbianSimulator : public Simulator {
 public:
  HebbianSimulator(const Hebbian& model, const Spectrum& spectrum, const Matrix& start,
                   const Key& key)
      : model_(model), spectrum_(spectrum), key_(key.bits()), omega_(start) {
    check_start(spectrum, start);
    const int64_t drawn = (start.cols() + chunk_modes - 1) / chunk_modes * chunk_modes;
    scale_ = x_ = Eigen::RowVectorXd::Zero(drawn);
    scale_.head(start.cols()) =
        spectrum.modes.cwiseSqrt().transpose();  // x / sqrt D has variance rt
  }

  void advance(int64_t steps) override {
    for (int64_t i = 0; i < steps; ++i) step();
    require(omega_.allFinite(), "Hebbian rules: the weights are no longer finite after step ",
            steps_ - 1);
  }
  int64_t steps() const override { return steps_; }
  Weights weights() const override {
    return {omega_, omega_ / std::sqrt(static_cast<double>(spectrum_.dimension)),
            Vector::Zero(omega_.rows())};
  }
  const Spectrum& spectrum() const override { return spectrum_; }

  std::vector<double> state() const override {
    std::vector<double> all = setting();
    all.push_back(static_cast<double>(steps_));
    all.insert(all.end(), omega_.data(), omega_.data() + omega_.size());
    return all;
  }
  void restore(const std::vector<double>& state) override {
    const double* from = after_setting("Hebbian rules", state, setting(), 1 + omega_.size());
    steps_ = static_cast<int64_t>(*from++);
    std::copy(from, from + omega_.size(), omega_.data());
  }

 private:
  std::vector<double> setting() const {
    return {static_cast<double>(spectrum_.dimension),
            static_cast<double>(omega_.rows()),
            static_cast<double>(omega_.cols()),
            static_cast<double>(model_.rule),
            static_cast<double>(key_.lo),
            static_cast<double>(key_.hi),
            model_.eta,
            model_.decay};
  }

  void step() {
    draw_normals(key_, static_cast<uint64_t>(steps_), x_.size() / chunk_modes, scale_.data(),
                 x_.data());
    left_ = x_.head(omega_.cols());
    y_.noalias() = omega_ * left_.transpose();
    require(y_.allFinite(), "Hebbian rules: the weights are no longer finite at step ", steps_);
    const double d = static_cast<double>(spectrum_.dimension), rate = model_.eta / d,
                 keep = 1 - model_.decay / d;
    if (model_.rule == HebbianRule::oja) left_.noalias() -= y_.transpose() * omega_;
    for (int64_t k = 0; k < omega_.rows(); ++k) {
      if (model_.rule == HebbianRule::sanger)
        left_ -= y_[k] * omega_.row(k);  // of the units up to k, all still old
      omega_.row(k) = keep * omega_.row(k) + rate * y_[k] * left_;
    }
    ++steps_;
  }

  Hebbian model_;
  Spectrum spectrum_;
  KeyBits key_;
  RowMatrix omega_;
  Eigen::RowVectorXd scale_, x_, left_;
  Vector y_;
  int64_t steps_ = 0;
};

}  // namespace

Matrix hebbian_velocity(const Hebbian& model, const Matrix& omega, const Spectrum& s) {
  const Matrix scaled = omega * s.modes.asDiagonal();
  Matrix change = scaled;
  if (model.rule != HebbianRule::hebb) {
    Matrix q1 = scaled * omega.transpose();
    if (model.rule == HebbianRule::sanger) q1 = q1.triangularView<Eigen::Lower>().toDenseMatrix();
    change.noalias() -= q1 * omega;
  }
  return model.eta * change - model.decay * omega;
}

HebbianPath solve_hebbian(const Hebbian& model, const Matrix& start, const Spectrum& s,
                          const std::vector<double>& times) {
  check_start(s, start);
  const int64_t units = start.rows();
  const int64_t modes = start.cols();
  const VelocityField field = [&](double, const Vector& y, Vector& dy) {
    const Matrix change =
        hebbian_velocity(model, Eigen::Map<const Matrix>(y.data(), units, modes), s);
    dy = change.reshaped();
  };
  IntegrateOptions options;
  options.implicit =
      false;  // no rate is far above the others: an explicit method does, with all modes
  options.absolute = 1e-30;  // weights that go to zero keep their relative accuracy
  options.progress = [](double) { check_interrupt(); };
  const Path path = integrate(field, start.reshaped(), times, options);
  HebbianPath all{{}, path.failure};
  for (const Vector& y : path.states)
    all.omega.emplace_back(Eigen::Map<const Matrix>(y.data(), units, modes));
  return all;
}

std::unique_ptr<Simulator> make_hebbian_simulator(const Hebbian& model, const Spectrum& spectrum,
                                                  const Matrix& start, const Key& key) {
  return std::make_unique<HebbianSimulator>(model, spectrum, start, key);
}

}  // namespace basin::online
