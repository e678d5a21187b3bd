// Online SGD with a flat bulk, at a cost that does not depend on the bulk's dimension N. A step and
// the order parameters read the bulk parts B [2K, N] of the weights only through their Gram matrix.
// Write B = L Q with L lower triangular and the rows of Q orthonormal. The bulk part of a fresh
// input is then Q^T a + r q, with a ~ N(0, sigma^2) in 2K dimensions, r = sigma chi with N - 2K
// degrees of freedom, and q a unit vector orthogonal to Q. The new rows are combinations of the old
// ones and of the input, with 2K + 1 coordinates each; their triangular factor replaces L. The
// weights have exactly the distribution that all N modes would give them.
#include <algorithm>
#include <array>
#include <cmath>

#include "engine/error.h"
#include "experiments/online_sgd/simulation/simulator.h"
#include "experiments/online_sgd/theory/gamma.h"
#include "kernels/unrolled.h"

namespace basin::online {
namespace {

/// `Units` is K, or 0 for a K that is known at run time only.
template <int Units>
class GramSimulator : public Simulator {
 public:
  GramSimulator(const Model& model, const Spectrum& spectrum, int64_t spikes, const Weights& start,
                const Key& key)
      : model_(model),
        key_(key.bits()),
        units_(start.units()),
        rows_(2 * start.units()),
        spikes_(spikes) {
    const int64_t bulk = spectrum.dimension - spikes;
    spectrum_ = spectrum;
    spectrum_.modes.conservativeResize(spikes + rows_);
    const double rt = spectrum.modes.size() > spikes ? spectrum.modes[spikes] : 0;
    spectrum_.modes.tail(rows_).setConstant(rt);
    spectrum_.rest = spectrum.trace() - spectrum_.modes.sum();
    const double d = static_cast<double>(spectrum.dimension);
    sigma_ = std::sqrt(rt * d), root_ = std::sqrt(d);
    half_freedom_ = static_cast<double>(bulk - rows_) / 2;
    spike_sd_ = (spectrum.modes.head(spikes) * d).cwiseSqrt();
    spike_rows_.resize(rows_, spikes);
    spike_rows_ << start.encoder.leftCols(spikes), root_ * start.decoder.leftCols(spikes);
    factor_ = RowMajor::Zero(rows_, rows_);
    Matrix b(rows_, start.modes() - spikes);
    b << start.encoder.rightCols(b.cols()), root_ * start.decoder.rightCols(b.cols());
    const Eigen::HouseholderQR<Matrix> qr(b.transpose());
    const int64_t known = std::min(b.cols(), rows_);
    factor_.leftCols(known) =
        Matrix(qr.matrixQR().topRows(known).template triangularView<Eigen::Upper>()).transpose();
    bias_ = start.bias;
    resize_scratch();
  }

  void advance(int64_t steps) override {
    for (int64_t i = 0; i < steps; ++i) {
      step();
      ++steps_;
    }
    require(factor_.allFinite() && spike_rows_.allFinite() && bias_.allFinite(),
            "Gram-space SGD: the weights are no longer finite after step ", steps_ - 1);
  }
  int64_t steps() const override { return steps_; }
  const Spectrum& spectrum() const override { return spectrum_; }
  std::optional<Model> model() const override { return model_; }
  Weights weights() const override {
    Weights w{Matrix(units_, spikes_ + rows_), Matrix(units_, spikes_ + rows_), bias_};
    w.encoder << spike_rows_.topRows(units_), factor_.topRows(units_);
    w.decoder << spike_rows_.bottomRows(units_), factor_.bottomRows(units_);
    w.decoder /= root_;
    return w;
  }
  std::vector<double> state() const override {
    std::vector<double> s = setting();
    s.push_back(static_cast<double>(steps_));
    for (const RowMajor* m : {&spike_rows_, &factor_})
      s.insert(s.end(), m->data(), m->data() + m->size());
    s.insert(s.end(), bias_.data(), bias_.data() + bias_.size());
    return s;
  }
  void restore(const std::vector<double>& state) override {
    const double* from = after_setting("Gram-space SGD", state, setting(),
                                       1 + spike_rows_.size() + factor_.size() + bias_.size());
    steps_ = static_cast<int64_t>(*from++);
    for (RowMajor* m : {&spike_rows_, &factor_}) {
      std::copy(from, from + m->size(), m->data());
      from += m->size();
    }
    std::copy(from, from + bias_.size(), bias_.data());
  }

 private:
  using RowMajor = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

  int64_t units() const { return Units ? Units : units_; }
  int64_t rows() const { return 2 * units(); }

  /// What a state must share with the simulator that takes it.
  std::vector<double> setting() const {
    const Rates& r = model_.rates;
    return {root_ * root_,
            static_cast<double>(units_),
            static_cast<double>(spikes_),
            static_cast<double>(model_.rule),
            static_cast<double>(model_.g.kind()),
            static_cast<double>(key_.lo),
            static_cast<double>(key_.hi),
            r.w,
            r.v,
            r.b,
            r.decay};
  }

  void resize_scratch() {
    input_.resize(static_cast<size_t>(spikes_));
    random_.resize(static_cast<size_t>((spikes_ + rows_ + 3) / 4 * 4));
    bulk_.resize(static_cast<size_t>(rows_ + 1));
    for (auto* v : {&field_, &value_, &slope_, &push_, &bias_step_})
      v->resize(static_cast<size_t>(rows_));
    moved_ = RowMajor::Zero(rows_, rows_ + 1);
  }

  /// The spikes' components, and the bulk's coordinates along Q and along q. Step s reads the
  /// Philox blocks from s 2^24 on: normals in order, then what the chi variate needs.
  void draw() {
    const uint64_t first = static_cast<uint64_t>(steps_) << 24;
    const size_t blocks = random_.size() / 4;
    for (size_t b = 0; b < blocks; ++b) {
      const Philox4 words = random_block(key_, first + b);
      for (size_t j = 0; j < 4; ++j) random_[4 * b + j] = standard_normal<double>(words.v[j]);
    }
    const auto m = static_cast<size_t>(spikes_);
    for (size_t i = 0; i < m; ++i) input_[i] = spike_sd_[static_cast<int64_t>(i)] * random_[i];
    const auto p = static_cast<size_t>(rows());
    for (size_t i = 0; i < p; ++i) bulk_[i] = sigma_ * random_[m + i];
    bulk_[p] = sigma_ * std::sqrt(2 * gamma_variate(key_, first + blocks, half_freedom_));
  }

  /// field_ = rows . x; value_, slope_ = g, g' of the encoder's; push_ = what multiplies x in each
  /// row's update.
  void fields() {
    const int64_t k = units();
    const int64_t p = rows();
    const int64_t m = spikes_;
    for (int64_t i = 0; i < p; ++i) {
      const double* row = spike_rows_.data() + i * m;
      const double* l = factor_.data() + i * p;
      double sum = 0;
      for (int64_t j = 0; j < m; ++j) sum += row[j] * input_[static_cast<size_t>(j)];
      for (int64_t j = 0; j <= i; ++j) sum += l[j] * bulk_[static_cast<size_t>(j)];
      field_[static_cast<size_t>(i)] = sum;
    }
    const double d = root_ * root_;
    for (int64_t i = 0; i < k; ++i) {
      const auto at = static_cast<size_t>(i);
      const double lambda = field_[at] / root_ + bias_[i];
      value_[at] = model_.g.value(lambda), slope_[at] = model_.g.slope(lambda);
    }
    for (int64_t i = 0; i < k; ++i) {
      const auto at = static_cast<size_t>(i);
      const int64_t last = model_.rule == Rule::truncated ? i : k - 1;
      double along = field_[static_cast<size_t>(k + i)];  // v_k . Delta
      for (int64_t a = 0; a <= last; ++a)
        along -= overlap(k + i, k + a) * value_[static_cast<size_t>(a)];
      push_[at] = model_.rates.w / d * along / root_ * slope_[at];
      push_[static_cast<size_t>(k + i)] = model_.rates.v / d * value_[at];
      bias_step_[at] = model_.rates.b / d * along * slope_[at];
    }
  }

  double overlap(int64_t i, int64_t j) const {
    const int64_t p = rows();
    const int64_t m = spikes_;
    double sum = 0;
    for (int64_t c = 0; c < m; ++c)
      sum += spike_rows_.data()[i * m + c] * spike_rows_.data()[j * m + c];
    for (int64_t c = 0; c <= std::min(i, j); ++c)
      sum += factor_.data()[i * p + c] * factor_.data()[j * p + c];
    return sum;
  }

  /// moved_ = the new bulk rows in (Q, q), and the spikes' rows in place.
  void update() {
    const int64_t k = units();
    const int64_t p = rows();
    const int64_t m = spikes_;
    const double keep = 1 - model_.rates.decay / (root_ * root_);
    double* moved = moved_.data();
    for (int64_t i = 0; i < p; ++i) {
      const double push = push_[static_cast<size_t>(i)];
      for (int64_t j = 0; j < p; ++j)
        moved[i * (p + 1) + j] =
            keep * factor_.data()[i * p + j] + push * bulk_[static_cast<size_t>(j)];
      moved[i * (p + 1) + p] = push * bulk_[static_cast<size_t>(p)];
    }
    for (int64_t i = k; i < p; ++i) {
      const int64_t last = model_.rule == Rule::truncated ? i : p - 1;
      for (int64_t a = k; a <= last; ++a) {
        const double part = push_[static_cast<size_t>(i)] * value_[static_cast<size_t>(a - k)];
        for (int64_t j = 0; j <= a; ++j) moved[i * (p + 1) + j] -= part * factor_.data()[a * p + j];
      }
    }
    for (int64_t c = 0; c < m; ++c) {  // a decoder row reads the others' old values
      const double x = input_[static_cast<size_t>(c)];
      double* column = spike_rows_.data() + c;
      double seen = 0;  // sum of g_a v_a over the units that this one sees
      for (int64_t a = 0; a < k; ++a) {
        column[a * m] = keep * column[a * m] + push_[static_cast<size_t>(a)] * x;
        if (model_.rule == Rule::vanilla)
          seen += value_[static_cast<size_t>(a)] * column[(k + a) * m];
      }
      for (int64_t a = 0; a < k; ++a) {
        double& v = column[(k + a) * m];
        if (model_.rule == Rule::truncated) seen += value_[static_cast<size_t>(a)] * v;
        v = keep * v + push_[static_cast<size_t>(k + a)] * (x - seen);
      }
    }
    for (int64_t a = 0; a < k; ++a) bias_[a] += bias_step_[static_cast<size_t>(a)];
  }

  /// factor_ = the lower triangular factor of moved_ moved_^T (Cholesky). A row that is a
  /// combination of those above it, up to rounding, gets a zero on the diagonal.
  void refactor() {
    const int64_t p = rows();
    double* l = factor_.data();
    const double* b = moved_.data();
    for (int64_t j = 0; j < p; ++j) {
      double inverse = 0;
      for (int64_t i = j; i < p; ++i) {
        double sum = 0;
        for (int64_t c = 0; c <= p; ++c) sum += b[i * (p + 1) + c] * b[j * (p + 1) + c];
        const double whole = sum;
        for (int64_t c = 0; c < j; ++c) sum -= l[i * p + c] * l[j * p + c];
        if (i == j) {
          const bool independent = sum > 1e-15 * whole;
          l[j * p + j] =
              independent ? std::sqrt(sum) : whole - whole;  // NaN once a product overflows
          inverse = independent ? 1 / l[j * p + j] : 0;
        } else {
          l[i * p + j] = sum * inverse;
        }
      }
    }
  }

  void step() {
    draw();
    fields();
    double all =
        0;  // what is not finite shows in a field or, where a bias holds a unit off, in a step
    for (int64_t i = 0; i < rows(); ++i)
      all += field_[static_cast<size_t>(i)] + push_[static_cast<size_t>(i)];
    require(all - all == 0, "Gram-space SGD: the weights are no longer finite at step ", steps_,
            "; the rates are too large for this start");
    update();
    refactor();
  }

  Model model_;
  KeyBits key_;
  int64_t units_;
  int64_t rows_;
  int64_t spikes_;
  int64_t steps_ = 0;
  Spectrum spectrum_;
  double sigma_ = 0;
  double root_ = 1;
  double half_freedom_ = 0;
  Vector spike_sd_;
  Vector bias_;
  RowMajor spike_rows_, factor_, moved_;  // [2K, M], [2K, 2K], [2K, 2K + 1]
  std::vector<double> input_;
  std::vector<double> random_;
  std::vector<double> bulk_;
  std::vector<double> field_;
  std::vector<double> value_;
  std::vector<double> slope_;
  std::vector<double> push_;
  std::vector<double> bias_step_;
};

}  // namespace

std::unique_ptr<Simulator> make_gram_simulator(const Model& model, const Spectrum& spectrum,
                                               int64_t spikes, const Weights& start,
                                               const Key& key) {
  const int64_t rows = 2 * start.units(), bulk = spectrum.dimension - spikes,
                n = spectrum.modes.size();
  require_units("Gram-space SGD", start.units(), spectrum.dimension);
  require(model.tying == Tying::untied,
          "Gram-space SGD: written for untied weights; simulate all modes instead");
  require(spikes >= 0 && spikes <= n && bulk > rows + 1, "Gram-space SGD: the bulk has ", bulk,
          " modes and must have more than ", rows + 1, " (2K + 1); simulate all modes instead");
  require(start.modes() == n, "Gram-space SGD: weights on ", start.modes(),
          " modes, but the spectrum has ", n);
  const auto tail = spectrum.modes.tail(n - spikes);
  require(tail.size() > 0 && (tail.array() - tail[0]).abs().maxCoeff() <= 1e-12 * tail[0],
          "Gram-space SGD: the bulk is not flat; simulate all modes instead");
  std::unique_ptr<Simulator> made;
  unrolled<4>([&](auto k) {
    if (start.units() == k + 1)
      made = std::make_unique<GramSimulator<k + 1>>(model, spectrum, spikes, start, key);
  });
  if (!made) made = std::make_unique<GramSimulator<0>>(model, spectrum, spikes, start, key);
  return made;
}

}  // namespace basin::online
