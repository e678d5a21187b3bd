#include "experiments/online_sgd/simulation/curves.h"

#include <algorithm>
#include <cmath>

#include "engine/error.h"

namespace basin::online {
namespace {

Matrix cosines(const Matrix& w, int64_t modes, bool spikes_only) {
  const Matrix part = w.leftCols(modes);
  const Vector norms = (spikes_only ? part : w).rowwise().norm();
  return norms.cwiseMax(1e-300).cwiseInverse().asDiagonal() * part.cwiseAbs();
}

/// The times of the rows in front.
Array with_times(const std::vector<double>& times, const Matrix& m) {
  Matrix table(m.rows(), 1 + m.cols());
  table << Eigen::Map<const Vector>(times.data(), m.rows()), m;
  return to_array(table);
}

}  // namespace

std::vector<double> even_times(double last, int64_t count) {
  std::vector<double> times;
  for (int64_t i = 0; i <= count; ++i)
    times.push_back(last * static_cast<double>(i) / static_cast<double>(count));
  return times;
}

std::vector<double> log_times(double first, double last, int64_t count) {
  require(first > 0 && last > first && count > 1,
          "log_times: needs 0 < first < last and two times or more, got ", first, ", ", last, ", ",
          count);
  std::vector<double> times{0};
  for (int64_t i = 0; i < count; ++i)
    times.push_back(
        first * std::pow(last / first, static_cast<double>(i) / static_cast<double>(count - 1)));
  return times;
}

std::vector<double> longer(std::vector<double> times, double last) {
  require(last > times.back(),
          "the equations must be solved for longer than the simulations: up to ", last,
          ", which is not after ", times.back());
  const double pace = times.back() / times[times.size() - 2];
  for (double t = times.back() * pace; t < 0.99 * last; t *= pace) times.push_back(t);
  times.push_back(last);
  return times;
}

Matrix to_matrix(const Rows& rows) {
  Matrix m(rows.size(), rows.empty() ? 0 : rows[0].size());
  for (size_t i = 0; i < rows.size(); ++i)
    m.row(static_cast<int64_t>(i)) = Eigen::Map<const Vector>(rows[i].data(), m.cols()).transpose();
  return m;
}

void require_reached(const std::string& stage, const Matrix& rows, size_t count) {
  require(rows.rows() >= static_cast<int64_t>(count), stage, ": the integrator reached ",
          rows.rows(), " of ", count,
          " times (result.json says why, short-path-*.npy has what it reached); a shorter time, "
          "smaller rates or another "
          "relative error may take it to the end");
}

Array to_array(const Matrix& m) {
  std::vector<double> values;
  for (int64_t i = 0; i < m.rows(); ++i)
    for (int64_t j = 0; j < m.cols(); ++j) values.push_back(m(i, j));
  return from_vector(values, {m.rows(), m.cols()});
}

Samples Observations::last(int64_t column) const {
  return of([&](const Matrix& m) { return m(m.rows() - 1, column); });
}

Samples Observations::growth(int64_t column) const {
  return of([&](const Matrix& m) { return m(m.rows() - 1, column) / m(0, column); });
}

Vector Observations::median(int64_t column) const {
  for (const Matrix& m : seeds)
    require(m.rows() == static_cast<int64_t>(times.size()), "median: a seed has ", m.rows(), " of ",
            times.size(), " times");
  Vector middle(times.size());
  for (int64_t i = 0; i < middle.size(); ++i)
    middle[i] = of([&](const Matrix& m) { return m(i, column); }).median();
  return middle;
}

Array Observations::table(int64_t column) const {
  Matrix m(seeds.at(0).rows(), seeds.size());
  for (size_t i = 0; i < seeds.size(); ++i) {
    require(seeds[i].rows() == m.rows(), "table: seed ", i, " has ", seeds[i].rows(),
            " times, the first one ", m.rows());
    m.col(static_cast<int64_t>(i)) = seeds[i].col(column);
  }
  return with_times(times, m);
}

Array Observations::table_of(size_t seed) const {
  return with_times(times, seeds.at(seed));
}

Distances distances(const Trajectories& paths, int64_t column, double until) {
  const std::vector<double>& times = paths.simulated.times;
  Distances d;
  for (size_t i = 0; i < paths.simulated.seeds.size(); ++i) {
    const Matrix& simulated = paths.simulated.seeds[i];
    const Matrix& theory = paths.theory.seeds.at(i);
    const int64_t n = simulated.rows();
    require_reached(text("equations of seed ", i), theory, static_cast<size_t>(n));
    const Vector off = (simulated.col(column).head(n) - theory.col(column).head(n)).cwiseAbs();
    double area = 0;
    double last = times[0];
    for (int64_t t = 1; t < n && times[static_cast<size_t>(t)] <= until * (1 + 1e-9); ++t) {
      const double now = times[static_cast<size_t>(t)];
      area += (now - last) * (off[t] + off[t - 1]) / 2;
      last = now;
    }
    require(last > times[0], "distances: the first time is ",
            times.size() > 1 ? times[1] : times[0], ", beyond ", until,
            ", up to which the mean is taken; record earlier times");
    d.mean.values.push_back(area / (last - times[0]));
    d.largest.values.push_back(off.maxCoeff());
  }
  return d;
}

std::pair<double, double> log_log_slope(const std::vector<double>& x,
                                        const std::vector<double>& y) {
  const auto n = static_cast<double>(x.size());
  double mx = 0;
  double my = 0;
  double xx = 0;
  double xy = 0;
  double rest = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    mx += std::log(x[i]) / n;
    my += std::log(y[i]) / n;
  }
  for (size_t i = 0; i < x.size(); ++i) {
    xx += std::pow(std::log(x[i]) - mx, 2);
    xy += (std::log(x[i]) - mx) * std::log(y[i]);
  }
  const double slope = xy / xx;
  for (size_t i = 0; i < x.size(); ++i)
    rest += std::pow(std::log(y[i]) - my - slope * (std::log(x[i]) - mx), 2);
  return {slope, n > 2 ? std::sqrt(rest / (n - 2) / xx) : 0};
}

double distribution_distance(std::vector<double> x, std::vector<double> y) {
  std::sort(x.begin(), x.end());
  std::sort(y.begin(), y.end());
  const auto share_below = [](const std::vector<double>& v, double at) {
    const auto count = std::upper_bound(v.begin(), v.end(), at) - v.begin();
    return static_cast<double>(count) / static_cast<double>(v.size());
  };
  double worst = 0;
  for (const auto* v : {&x, &y})
    for (const double at : *v)
      worst = std::max(worst, std::abs(share_below(x, at) - share_below(y, at)));
  return worst;
}

double log_slope(const std::vector<double>& times, const Vector& y, double from, double to) {
  double n = 0;
  double x1 = 0;
  double y1 = 0;
  double xx = 0;
  double xy = 0;
  for (int64_t i = 0; i < y.size(); ++i) {
    const double t = times[static_cast<size_t>(i)];
    if (t < from * (1 - 1e-9) || t > to * (1 + 1e-9)) continue;
    const double a = std::log(t);
    const double b = std::log(y[i]);
    n += 1;
    x1 += a;
    y1 += b;
    xx += a * a;
    xy += a * b;
  }
  return (n * xy - x1 * y1) / (n * xx - x1 * x1);
}

double log_slope_at(const std::vector<double>& times, const Vector& y, int64_t i) {
  const double* t = &times[static_cast<size_t>(i)];
  return std::log(y[i + 1] / y[i - 1]) / std::log(t[1] / t[-1]);
}

double steepest_log_slope(const std::vector<double>& times, const Vector& y) {
  double least = 0;
  for (int64_t i = 2; i + 1 < y.size(); ++i) least = std::min(least, log_slope_at(times, y, i));
  return least;
}

double joined_at(const std::vector<double>& times, const Vector& a, const Vector& b,
                 double tolerance) {
  double joined = INFINITY;
  for (int64_t i = a.size() - 1; i >= 0 && std::abs(a[i] / b[i] - 1) < tolerance; --i)
    joined = times[static_cast<size_t>(i)];
  return joined;
}

int64_t index_at(const std::vector<double>& times, double t) {
  const auto found = std::lower_bound(times.begin(), times.end(), t * (1 - 1e-9));
  return std::min<int64_t>(found - times.begin(), static_cast<int64_t>(times.size()) - 1);
}

void claim_agreement(const Words& words, const std::string& of, const Samples& distance,
                     double bound) {
  words.claim(of, distance, below(bound));
  words.literal(of + ", every start", distance, every_seed(below(bound)),
                "a start close to the border between two courses waits at a saddle until noise "
                "decides");
}

void claim_distances(Claims& claims, const std::string& name, const Trajectories& paths, Asked mean,
                     Asked largest) {
  const Distances d = distances(paths);
  const Words words = claims.words("the equations predict the error at all times");
  const auto claim = [&](const char* which, const Samples& distance, Asked asked, double bound) {
    const std::string of = which + (" distance of a simulation from the equations" + name);
    if (asked == Asked::of_median) return claim_agreement(words, of, distance, bound);
    words.claim(of, distance, every_seed(below(bound)));
  };
  claim("mean", d.mean, mean, 0.004);
  claim("largest", d.largest, largest, 0.035);
}

Axis time_axis(double first, double last) {
  return {.label = "time t = steps / D", .log = true, .low = first, .high = last};
}

Levels pca_levels(const Spectrum& s, int64_t from_rank, int64_t to_rank) {
  Levels levels{.name = text("PCA, rank ", from_rank, ", ", from_rank + 1, ", ...")};
  for (int64_t rank = from_rank; rank <= to_rank; ++rank) levels.at.push_back(s.pca_error(rank));
  return levels;
}

void add_curves(Panel& panel, const Observations& all, int64_t column, const Curve& like,
                size_t seeds) {
  for (size_t i = 0; i < std::min(seeds, all.seeds.size()); ++i) {
    const Matrix& m = all.seeds[i];
    Curve& c = panel.curves.emplace_back(like);
    if (i > 0) c.name = "";
    c.x.assign(all.times.begin(), all.times.begin() + m.rows());
    for (const double value : m.col(column)) c.y.push_back(panel.y.log ? std::abs(value) : value);
  }
}

void add_curves(Panel& panel, const Trajectories& paths, int64_t column, const std::string& name,
                Colour colour, size_t seeds) {
  add_curves(panel, paths.simulated, column, {.colour = colour, .draw = Draw::circles}, seeds);
  add_curves(panel, paths.theory, column, {.name = name, .colour = colour}, 1);
}

Matrix decoder_cosines(const Weights& w, int64_t modes, bool spikes_only) {
  return cosines(w.decoder, modes, spikes_only);
}

Matrix encoder_cosines(const Weights& w, int64_t modes, bool spikes_only) {
  return cosines(w.encoder, modes, spikes_only);
}

}  // namespace basin::online
