#include "experiments/online_sgd/simulation/observed_trajectory.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/digest.h"
#include "engine/error.h"
#include "engine/npy.h"
#include "experiments/harness/table.h"
#include "experiments/online_sgd/simulation/divergence.h"
#include "models/training/interrupt.h"
#include "models/training/progress.h"

namespace basin::online {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// The first 48 bits of the SHA-256 of all numbers but the first, as a whole number, which a double
/// holds exactly. It is stored as the first number, so that a damaged file is not taken for a
/// trajectory.
double checksum(const std::vector<double>& all) {
  Sha256 hash;
  hash.add(all.data() + 1, (all.size() - 1) * sizeof(double));
  return static_cast<double>(std::stoull(hash.hex().substr(0, 12), nullptr, 16));
}

/// The numbers of a file that save() wrote. Errors: a file in which any bit is another.
std::vector<double> read_state(const std::string& file) {
  const Bytes bytes = read_file(file);
  const Array saved = parse_npy(bytes, file);
  const std::string header = npy_header(saved.dtype(), saved.shape());
  std::vector<double> all =
      saved.dtype() == DType::f64 ? saved.to_vector<double>() : std::vector<double>();
  const bool sound = all.size() > 3 && all[0] == checksum(all) &&
                     bytes.size() == header.size() + 8 * all.size() &&
                     std::memcmp(header.data(), bytes.data(), header.size()) == 0;
  require(sound, saved, ", no state of a simulation or a damaged one");
  return all;
}

}  // namespace

void SimulationProgress::add(int64_t steps) {
  const std::lock_guard lock(mutex_);
  done_ += steps;
  if (seconds_since(last_) < 5) return;
  last_ = Clock::now();
  const double passed = seconds_since(start_),
               share = static_cast<double>(done_) / static_cast<double>(total_);
  run_.say(text(stage_, "  ", static_cast<int>(100 * share), " %  ",
                short_number(static_cast<double>(done_) / passed), " steps/s  ",
                duration_text(passed * (1 - share) / share), " left"));
}

void ObservedTrajectory::advance(int64_t to_step, double until, SimulationProgress& progress) {
  const int64_t piece = 100000;  // steps before it looks at the clock and for Ctrl-C again
  while (simulator_->steps() < to_step) {
    const int64_t now = std::min(to_step - simulator_->steps(), piece);
    try {
      simulator_->advance(now);
    } catch (const Error& e) {
      throw_diverged(e, until);
    }
    progress.add(now);
    if (interrupted() || checkpoint_calls_.due()) save();
    check_interrupt();
  }
}

void ObservedTrajectory::observe(const Observe& observe, double until, bool last) {
  const Weights w = simulator_->weights();
  try {
    observations_.push_back(observe(w));
  } catch (const Error& e) {
    // Weights can be finite, and too large for their averages.
    if (!std::isfinite(fastest_growth(w, w, simulator_->spectrum()).after))
      throw_diverged(e, until);
    save();
    throw;
  } catch (...) {
    save();
    throw;
  }
  last_finite_ = simulator_->state();
  if (seconds_since(saved_) < 2 && !last) return;
  save();
  saved_ = Clock::now();
}

/// One row: checksum, number of observations, their size, the observations, the simulator's state.
void ObservedTrajectory::save(const std::vector<double>& state) const {
  if (observations_.empty()) return;  // nothing that a new start would not compute again
  std::vector<double> all{0, static_cast<double>(observations_.size()),
                          static_cast<double>(observations_[0].size())};
  for (const auto& row : observations_) all.insert(all.end(), row.begin(), row.end());
  all.insert(all.end(), state.begin(), state.end());
  all[0] = checksum(all);
  save_npy(file_, from_vector(all, {static_cast<int64_t>(all.size())}));
}

void ObservedTrajectory::explain_divergence(int64_t to_step, double until, const Error& found) {
  try {
    simulator_->advance(to_step - simulator_->steps());
  } catch (const Error& e) {
    throw_diverged(e, until);
  }
  throw Error(text(name_, ": ", found.what(),
                   " on the device, though not on the CPU; what was observed is in ", file_));
}

void ObservedTrajectory::load(const std::vector<int64_t>& steps, const Observe& observe) {
  std::vector<double> all;
  try {
    all = read_state(file_);
  } catch (const Error& e) {
    throw Error(text(file_, ": ", e.what(), "; delete it to begin this trajectory again"),
                e.fault());
  }
  const auto rows = static_cast<size_t>(all[1]), size = static_cast<size_t>(all[2]);
  const double* from = all.data() + 3;
  const double* const end = all.data() + all.size();
  for (size_t i = 0; i < rows; ++i, from += size) observations_.emplace_back(from, from + size);
  try {
    simulator_->restore(std::vector<double>(from, end));
  } catch (const Error& e) {
    throw Error(text(file_, ": ", e.what(),
                     "; it is of another simulation: delete it to begin this one again"));
  }
  const size_t wanted = observe(start_).size();
  require(size == wanted, file_, ": observations of ", size, " numbers, where ", wanted,
          " are made now (by another version?); delete it to begin this trajectory again");
  const int64_t at = simulator_->steps();
  require(
      rows <= steps.size() && at >= steps[rows - 1] && (rows == steps.size() || at <= steps[rows]),
      file_, ": ", rows, " observations, the simulation at step ", at,
      ": not those of the present times; delete it to begin this trajectory again");
  last_finite_ = simulator_->state();
}

void ObservedTrajectory::throw_diverged(const Error& why, double until) {
  const Weights broken = simulator_->weights();
  const int64_t step = simulator_->steps();
  save(last_finite_);
  simulator_->restore(last_finite_);
  const Spectrum& s = simulator_->spectrum();
  const double d = static_cast<double>(s.dimension);
  const Growth grown = fastest_growth(simulator_->weights(), broken, s);
  std::string message = text(name_, ": diverged at t = ", static_cast<double>(step) / d, " (step ",
                             step, " at D = ", s.dimension, "): ", grown.name, " = ",
                             short_number(grown.after), ", it was ", short_number(grown.before),
                             " at t = ", static_cast<double>(simulator_->steps()) / d, "; ");
  if (const std::optional<Model> model = simulator_->model()) {
    message += describe(stable_factors(*model, start_, s, until), model->rates);
  } else {
    message += "lower the rates";
  }
  throw Error(text(message, "; what was observed before is in ", file_, " (", why.what(), ")"));
}

}  // namespace basin::online
