#include "experiments/online/course.h"

#include <algorithm>
#include <bit>
#include <cctype>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <mutex>

#include "engine/error.h"
#include "engine/npy.h"
#include "experiments/online/divergence.h"
#include "experiments/table.h"
#include "models/interrupt.h"
#include "models/progress.h"

namespace basin::online {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// A line every few seconds while trajectories run on several threads.
class Progress {
 public:
  Progress(Run& run, const std::string& stage, int64_t total) : run_(run), stage_(stage), total_(total) {}
  void add(int64_t steps) {
    const std::lock_guard lock(mutex_);
    done_ += steps;
    if (seconds_since(last_) < 5) return;
    last_ = Clock::now();
    const double passed = seconds_since(start_), share = static_cast<double>(done_) / static_cast<double>(total_);
    run_.say(text(stage_, "  ", static_cast<int>(100 * share), " %  ",
                  short_number(static_cast<double>(done_) / passed), " steps/s  ",
                  duration_text(passed * (1 - share) / share), " left"));
  }
  void skip(int64_t steps) {
    const std::lock_guard lock(mutex_);
    total_ -= steps;
  }

 private:
  Run& run_;
  std::string stage_;
  int64_t total_, done_ = 0;
  Clock::time_point start_ = Clock::now(), last_ = Clock::now();
  std::mutex mutex_;
};

/// FNV-1a, 32 bits, of all but the first number: a damaged file must not pass for another trajectory.
double checksum(const std::vector<double>& all) {
  uint32_t h = 2166136261u;
  for (size_t i = 1; i < all.size(); ++i)
    for (uint64_t bits = std::bit_cast<uint64_t>(all[i]), byte = 0; byte < 8; ++byte, bits >>= 8)
      h = (h ^ static_cast<uint32_t>(bits & 0xFF)) * 16777619u;
  return h;
}

using Rows = std::vector<std::vector<double>>;

/// One trajectory of simulate(): what was observed and the file that it is kept in. Whatever ends it early, the file
/// has all observations and a state to go on from.
class Recorded {
 public:
  Recorded(std::string name, std::string file, std::unique_ptr<Simulator> simulator)
      : name_(std::move(name)), file_(std::move(file)), simulator_(std::move(simulator)) {
    start_ = simulator_->weights(), good_ = simulator_->state();
  }
  const Simulator& simulator() const { return *simulator_; }
  const Rows& seen() const { return seen_; }

  /// `until`: the last time of all, for what is said about a divergence.
  void advance(int64_t to_step, double until, Progress& progress) {
    const int64_t piece = 100000;  // steps between two looks at the clock and at Ctrl-C
    for (int64_t left; (left = to_step - simulator_->steps()) > 0;) {
      const int64_t now = std::min(left, piece);
      try {
        simulator_->run(now);
      } catch (const Error& e) {
        diverged(e, until);
      }
      progress.add(now);
      if (interrupted()) save();
      check_interrupt();
    }
  }

  void see(const Observe& observe, double until) {
    const Weights w = simulator_->weights();
    try {
      seen_.push_back(observe(w));
    } catch (const Error& e) {
      // Weights can be finite, and too large for their averages.
      if (!std::isfinite(departure(w, w, simulator_->spectrum()).after)) diverged(e, until);
      save();
      throw;
    } catch (...) {
      save();
      throw;
    }
    good_ = simulator_->state();
  }

  void save() const { save(simulator_->state()); }
  void load(const std::vector<int64_t>& steps);

 private:
  void save(const std::vector<double>& state) const;
  [[noreturn]] void diverged(const Error& why, double until);

  std::string name_, file_;
  std::unique_ptr<Simulator> simulator_;
  Weights start_;
  Rows seen_;
  std::vector<double> good_;  // the simulator's state at the last observation, or at the start
};

/// One row: checksum, number of observations, their size, the observations, the simulator's state.
void Recorded::save(const std::vector<double>& state) const {
  if (seen_.empty()) return;  // no more than a new start knows
  std::vector<double> all{0, static_cast<double>(seen_.size()), static_cast<double>(seen_[0].size())};
  for (const auto& row : seen_) all.insert(all.end(), row.begin(), row.end());
  all.insert(all.end(), state.begin(), state.end());
  all[0] = checksum(all);
  save_npy(file_, from_vector(all, {static_cast<int64_t>(all.size())}));
}

/// `steps`: of each observation.
void Recorded::load(const std::vector<int64_t>& steps) {
  const Array saved = load_npy(file_);
  const std::vector<double> all = saved.dtype() == DType::f64 ? saved.to_vector<double>() : std::vector<double>();
  require(all.size() > 3 && all[0] == checksum(all), file_, ": ", saved,
          ", no state of a simulation or a damaged one; delete it to begin this trajectory again");
  const auto rows = static_cast<size_t>(all[1]), size = static_cast<size_t>(all[2]);
  const double* from = all.data() + 3;
  for (size_t i = 0; i < rows; ++i, from += size) seen_.emplace_back(from, from + size);
  try {
    simulator_->restore({from, all.data() + all.size()});
  } catch (const Error& e) {
    throw Error(text(file_, ": ", e.what(), "; it is of another simulation: delete it to begin this one again"));
  }
  const int64_t at = simulator_->steps();
  require(rows <= steps.size() && at >= steps[rows - 1] && (rows == steps.size() || at <= steps[rows]), file_, ": ",
          rows, " observations, the simulation at step ", at,
          ": not those of the present times; delete it to begin this trajectory again");
  good_ = simulator_->state();
}

void Recorded::diverged(const Error& why, double until) {
  const Weights broken = simulator_->weights();
  const int64_t step = simulator_->steps();
  save(good_);
  simulator_->restore(good_);
  const Spectrum& s = simulator_->spectrum();
  const double d = static_cast<double>(s.dimension);
  const Departure gone = departure(simulator_->weights(), broken, s);
  std::string message = text(name_, ": diverged at t = ", static_cast<double>(step) / d, " (step ", step,
                             " at D = ", s.dimension, "): ", gone.name, " = ", short_number(gone.after), ", it was ",
                             short_number(gone.before), " at t = ", static_cast<double>(simulator_->steps()) / d, "; ");
  if (const std::optional<Model> model = simulator_->model()) {
    message += describe(stable_factors(*model, start_, s, until), model->rates);
  } else {
    message += "lower the rates";
  }
  throw Error(text(message, "; what was observed before is in ", file_, " (", why.what(), ")"));
}

Matrix rows_to_matrix(const std::vector<std::vector<double>>& rows) {
  Matrix m(rows.size(), rows.empty() ? 0 : rows[0].size());
  for (size_t i = 0; i < rows.size(); ++i)
    m.row(static_cast<int64_t>(i)) = Eigen::Map<const Vector>(rows[i].data(), m.cols()).transpose();
  return m;
}

Matrix cosines(const Matrix& w, int64_t modes, bool spikes_only) {
  const Matrix part = w.leftCols(modes);
  const Vector norms = (spikes_only ? part : w).rowwise().norm();
  return norms.cwiseMax(1e-300).cwiseInverse().asDiagonal() * part.cwiseAbs();
}

}  // namespace

std::vector<double> log_times(double first, double last, int64_t count) {
  require(first > 0 && last > first && count > 1, "log_times: needs 0 < first < last and two times or more, got ",
          first, ", ", last, ", ", count);
  std::vector<double> times{0};
  for (int64_t i = 0; i < count; ++i)
    times.push_back(first * std::pow(last / first, static_cast<double>(i) / static_cast<double>(count - 1)));
  return times;
}

std::vector<Matrix> simulate(Run& run, const std::string& stage, int64_t seeds, const std::vector<double>& times,
                             const std::function<std::unique_ptr<Simulator>(int64_t seed)>& make,
                             const Observe& observe) {
  std::filesystem::create_directories(run.path("checkpoints"));
  std::vector<Matrix> all(static_cast<size_t>(seeds));
  const double dimension = static_cast<double>(make(0)->spectrum().dimension);
  std::vector<int64_t> steps;
  for (const double t : times) steps.push_back(std::llround(t * dimension));
  Progress progress(run, stage, seeds * steps.back());
  for_trajectories(seeds, [&](int64_t seed) {
    const std::string name = text(stage, "-seed", seed), file = run.path("checkpoints/" + name + ".npy");
    Recorded one(name, file, make(seed));
    if (run.resuming() && std::filesystem::exists(file)) one.load(steps);
    progress.skip(one.simulator().steps());
    Clock::time_point saved = Clock::now();
    for (size_t i = one.seen().size(); i < times.size(); ++i) {
      one.advance(steps[i], times.back(), progress);
      one.see(observe, times.back());
      if (seconds_since(saved) < 2 && i + 1 < times.size()) continue;
      one.save();
      saved = Clock::now();
    }
    all[static_cast<size_t>(seed)] = rows_to_matrix(one.seen());
  });
  return all;
}

Matrix follow(Run& run, const std::string& stage, const Model& model, const Weights& start, const Spectrum& s,
              const std::vector<double>& times, const Observe& observe, const IntegrateOptions& options) {
  IntegrateOptions watched = options;
  watched.progress = [&](double t) {
    if (options.progress) options.progress(t);
    check_interrupt();
  };
  const Trajectory path = solve(model, start, s, times, watched);
  Rows rows;
  for (const Weights& w : path.weights) rows.push_back(observe(w));
  const Matrix reached = rows_to_matrix(rows);
  if (!path.failure.empty()) keep_short_path(run, stage, times, reached, path.failure);
  return reached;
}

void keep_short_path(Run& run, const std::string& stage, const std::vector<double>& times, const Matrix& reached,
                     const std::string& failure) {
  std::string file = "short-path-" + stage;
  std::replace_if(
      file.begin(), file.end(), [](unsigned char c) { return !std::isalnum(c) && c != '-' && c != '_'; }, '-');
  Matrix table(reached.rows(), 1 + reached.cols());
  table << Eigen::Map<const Vector>(times.data(), reached.rows()), reached;
  run.save(file, to_array(table));
  run.result(
      "stopped early: " + stage,
      Json{{"why", failure}, {"times_reached", reached.rows()}, {"times", times.size()}, {"saved", file + ".npy"}});
  run.say(text(stage, ": ", failure, "; ", reached.rows(), " of ", times.size(), " times were reached, in ",
               run.path(file + ".npy")));
}

void require_reached(const std::string& stage, const Matrix& rows, size_t count) {
  require(
      rows.rows() >= static_cast<int64_t>(count), stage, ": the integrator reached ", rows.rows(), " of ", count,
      " times (result.json says why, short-path-*.npy has what it reached); a shorter time, smaller rates or another "
      "relative error may take it to the end");
}

Array to_array(const Matrix& m) {
  std::vector<double> values;
  for (int64_t i = 0; i < m.rows(); ++i)
    for (int64_t j = 0; j < m.cols(); ++j) values.push_back(m(i, j));
  return from_vector(values, {m.rows(), m.cols()});
}

Matrix gather(const std::vector<Matrix>& seeds, int64_t column) {
  Matrix m(seeds.at(0).rows(), seeds.size());
  for (size_t i = 0; i < seeds.size(); ++i) m.col(static_cast<int64_t>(i)) = seeds[i].col(column);
  return m;
}

Vector mean_of(const Matrix& m) {
  return m.rowwise().mean();
}

Vector deviation_of(const Matrix& m) {
  if (m.cols() < 2) return Vector::Zero(m.rows());
  const Matrix centred = m.colwise() - mean_of(m);
  return (centred.rowwise().squaredNorm() / static_cast<double>(m.cols() - 1)).cwiseSqrt();
}

Distances distances(const std::vector<Matrix>& simulated, const std::vector<Matrix>& theory,
                    const std::vector<double>& times, int64_t column, double until) {
  Distances d{std::vector<double>{}, std::vector<double>{}};
  for (size_t i = 0; i < simulated.size(); ++i) {
    const int64_t n = simulated[i].rows();
    require_reached(text("equations of seed ", i), theory[i], static_cast<size_t>(n));
    const Vector off = (simulated[i].col(column).head(n) - theory[i].col(column).head(n)).cwiseAbs();
    double area = 0, last = times[0];
    for (int64_t t = 1; t < n && times[static_cast<size_t>(t)] <= until * (1 + 1e-9); ++t) {
      const double now = times[static_cast<size_t>(t)];
      area += (now - last) * (off[t] + off[t - 1]) / 2;
      last = now;
    }
    d.mean.values.push_back(area / (last - times[0]));
    d.largest.values.push_back(off.maxCoeff());
  }
  return d;
}

Matrix decoder_cosines(const Weights& w, int64_t modes, bool spikes_only) {
  return cosines(w.decoder, modes, spikes_only);
}

Matrix encoder_cosines(const Weights& w, int64_t modes, bool spikes_only) {
  return cosines(w.encoder, modes, spikes_only);
}

}  // namespace basin::online
