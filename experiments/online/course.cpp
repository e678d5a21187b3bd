#include "experiments/online/course.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <mutex>

#include "engine/error.h"
#include "engine/npy.h"
#include "experiments/table.h"
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

/// One row: number of observations, their size, the observations, the simulator's state.
void save_state(const std::string& file, const std::vector<std::vector<double>>& seen, const Simulator& simulator) {
  std::vector<double> all{static_cast<double>(seen.size()), static_cast<double>(seen[0].size())};
  for (const auto& row : seen) all.insert(all.end(), row.begin(), row.end());
  const std::vector<double> state = simulator.state();
  all.insert(all.end(), state.begin(), state.end());
  save_npy(file, from_vector(all, {static_cast<int64_t>(all.size())}));
}

void load_state(const std::string& file, std::vector<std::vector<double>>& seen, Simulator& simulator) {
  const std::vector<double> all = load_npy(file).to_vector<double>();
  const size_t rows = all.size() > 2 ? static_cast<size_t>(all[0]) : 0, size = rows ? static_cast<size_t>(all[1]) : 0;
  require(rows > 0 && all.size() > 2 + rows * size, file, ": no state of a simulation; delete it to begin again");
  const double* from = all.data() + 2;
  for (size_t i = 0; i < rows; ++i, from += size) seen.emplace_back(from, from + size);
  simulator.restore({from, all.data() + all.size()});
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
  const auto step_at = [&](double t) { return static_cast<int64_t>(std::llround(t * dimension)); };
  Progress progress(run, stage, seeds * step_at(times.back()));
  for_trajectories(seeds, [&](int64_t seed) {
    const std::unique_ptr<Simulator> simulator = make(seed);
    const std::string file = run.path(text("checkpoints/", stage, "-seed", seed, ".npy"));
    std::vector<std::vector<double>> seen;
    if (run.resuming() && std::filesystem::exists(file)) load_state(file, seen, *simulator);
    progress.skip(simulator->steps());
    const int64_t piece = 100000;  // steps between two looks at the clock and at Ctrl-C
    Clock::time_point saved = Clock::now();
    for (size_t i = seen.size(); i < times.size(); ++i) {
      for (int64_t left; (left = step_at(times[i]) - simulator->steps()) > 0;) {
        const int64_t now = std::min(left, piece);
        simulator->run(now);
        progress.add(now);
        check_interrupt();
      }
      seen.push_back(observe(simulator->weights()));
      if (seconds_since(saved) < 2 && i + 1 < times.size()) continue;
      save_state(file, seen, *simulator);
      saved = Clock::now();
    }
    all[static_cast<size_t>(seed)] = rows_to_matrix(seen);
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
  if (!path.failure.empty()) run.say(stage + ": " + path.failure);
  std::vector<std::vector<double>> rows;
  for (const Weights& w : path.weights) rows.push_back(observe(w));
  return rows_to_matrix(rows);
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
    require(theory[i].rows() >= n, "distances: the equations of seed ", i, " ended after ", theory[i].rows(), " of ", n,
            " times; a smaller relative error or the other integrator may take them further");
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
