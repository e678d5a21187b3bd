// Refinetti and Goldt, "The dynamics of representation learning in shallow, non-linear
// autoencoders", appendix A. Claim: Hebb's rule finds the leading component but its weights grow
// without bound; Oja's rule finds it with weights of norm 1; Sanger's rule, in which unit k sees
// what the units up to k leave over, finds the leading components one by one. Here: y = w.x / sqrt
// D and rate eta / D, which are the textbook rules y = w.x with rate eta / D^2; D = 1000,
// eigenvalues (.6, .3, .15) D, bulk variance .1, weights of standard deviation .01, t = steps / D
// up to 150. Expected: Hebb's weights grow as exp(eta rt_1 t), with decay below eta rt_1 still
// exponentially, with decay above it they vanish; Oja with one unit and Sanger 1 - |cos(w_k, e_k)|
// of 1e-4 to 5e-4, norms 1, covariance of the outputs within .05 of the equations; Oja with three
// units spans the same space (2.9998 of 3) without finding single components. Run time on one core:
// smoke 1 s, quick 12 s, paper 30 s.
#include <cmath>

#include "experiments/harness/plot.h"
#include "experiments/online_sgd/simulation/hebbian.h"
#include "experiments/online_sgd/simulation/simulate_and_solve.h"

namespace basin {
namespace {

using namespace online;

struct Config {
  int64_t seeds = 10, dimension = 1000, points = 150;
  std::vector<double> spikes{0.6, 0.3, 0.15};
  double bulk_variance = 0.1, eta = 1, init = 0.01, weak_decay = 0.3, strong_decay = 0.9,
         last = 150;

  explicit Config(Preset preset) {
    if (preset == Preset::paper) return;
    seeds = 4, points = 75;
    if (preset == Preset::quick) return;
    seeds = 2, dimension = 200, points = 20;
  }
  template <class F>
  void each_field(F&& f) {
    f("seeds", seeds, "independent starts and inputs");
    f("dimension", dimension, "D, the size of an input");
    f("spikes", spikes,
      "large eigenvalues of the covariance over D, largest first: one unit for each");
    f("bulk_variance", bulk_variance, "all other eigenvalues");
    f("eta", eta, "learning rate: eta / D a step");
    f("init", init, "standard deviation of the weights at the start");
    f("weak_decay", weak_decay, "weight decay beside Hebb's rule, below eta times the first spike");
    f("strong_decay", strong_decay, "the same above it");
    f("last", last, "last time (time = steps / D)");
    f("points", points, "times recorded, equally spaced");
  }
};

/// What is read off the weights [K, D] of one rule at one time.
struct Reading {
  int64_t units, spikes;

  /// Components on the spikes, norms, covariance Q1 of the outputs, and how much of the spikes'
  /// space (of `units`) the units span.
  std::vector<double> of(const Matrix& omega, const Spectrum& s) const {
    const Matrix parts = omega.leftCols(spikes),
                 q1 = omega * s.modes.asDiagonal() * omega.transpose();
    std::vector<double> row(parts.data(), parts.data() + parts.size());
    for (int64_t k = 0; k < units; ++k) row.push_back(omega.row(k).norm());
    row.insert(row.end(), q1.data(), q1.data() + q1.size());
    Eigen::HouseholderQR<Matrix> qr(omega.transpose());
    const Matrix span = qr.householderQ() * Matrix::Identity(omega.cols(), units);
    row.push_back(span.topRows(spikes).squaredNorm());
    return row;
  }
  int64_t part(int64_t k, int64_t mode) const { return mode * units + k; }
  int64_t norm(int64_t k) const { return units * spikes + k; }
  int64_t q1() const { return units * spikes + units; }
  int64_t overlap() const { return q1() + units * units; }
  double cosine(const Matrix& course, int64_t i, int64_t k, int64_t mode) const {
    return std::abs(course(i, part(k, mode))) / course(i, norm(k));
  }
};

/// One rule: its simulations and, from the same starts, the equations; [times, numbers] a seed.
struct Result {
  Reading read;
  std::vector<Matrix> simulated, theory;

  Samples each(const std::function<double(const Matrix&)>& number) const {
    std::vector<double> all;
    for (const Matrix& course : simulated) all.push_back(number(course));
    return all;
  }
  Samples last_angle(int64_t k, int64_t mode) const {
    return each([&](const Matrix& m) { return 1 - read.cosine(m, m.rows() - 1, k, mode); });
  }
  Samples last(int64_t column) const {
    return each([&](const Matrix& m) { return m(m.rows() - 1, column); });
  }
  /// Largest distance of Q1 from the equations over all times and units.
  Samples deviation() const {
    std::vector<double> all;
    const int64_t columns = read.units * read.units;
    for (size_t i = 0; i < simulated.size(); ++i)
      all.push_back(
          (simulated[i].middleCols(read.q1(), columns) - theory[i].middleCols(read.q1(), columns))
              .cwiseAbs()
              .maxCoeff());
    return all;
  }
  /// d log |w_1| / dt over the second half of the run.
  Samples growth(const std::vector<Matrix>& courses, const std::vector<double>& times) const {
    std::vector<double> all;
    const size_t end = times.size() - 1, middle = end / 2;
    for (const Matrix& m : courses)
      all.push_back(std::log(m(static_cast<int64_t>(end), read.norm(0)) /
                             m(static_cast<int64_t>(middle), read.norm(0))) /
                    (times[end] - times[middle]));
    return all;
  }
};

Result study(Run& run, const std::string& name, const Config& config, const Hebbian& model,
             int64_t units, const Spectrum& s, const std::vector<double>& times) {
  Result result{{units, static_cast<int64_t>(config.spikes.size())}, {}, {}};
  const auto key = [&](int64_t seed) { return run.key().at(static_cast<uint64_t>(seed)); };
  const auto start = [&](int64_t seed) -> Matrix {
    return random_weights(key(seed).at("start"), units, s, config.init).encoder;
  };
  result.simulated =
      simulate(
          run, name, config.seeds, times,
          [&](int64_t seed) {
            return make_hebbian_simulator(model, s, start(seed), key(seed).at("inputs"));
          },
          [&](const Weights& w) { return result.read.of(w.encoder, s); })
          .seeds;
  for (int64_t seed = 0; seed < config.seeds; ++seed) {
    const std::string stage = text(name, ", equations, seed ", seed);
    const Matrix course = integrate_stage(run, stage, times, [&] {
      const HebbianPath path = solve_hebbian(model, start(seed), s, times);
      Rows rows;
      for (const Matrix& omega : path.omega) rows.push_back(result.read.of(omega, s));
      return Reached{to_matrix(rows), path.failure};
    });
    require_reached("hebbian-rules: " + stage, course, times.size());
    result.theory.push_back(course);
    check_interrupt();
  }
  return result;
}

void judge_hebb(Run& run, const Config& config, const std::vector<double>& times,
                const Result& plain, const Result& weak, const Result& strong) {
  const std::string grows = "it imposes no bound on the growth of the weight vector";
  const std::string remedy = "a natural remedy is to introduce some form of weight decay";
  const double rate = config.eta * config.spikes[0];
  std::vector<double> turned;
  for (size_t i = 0; i < plain.simulated.size(); ++i) {
    const Matrix& m = plain.simulated[i];
    double least = 1;
    for (int64_t k = 0; k < plain.read.units; ++k)
      least = std::min(least, plain.read.cosine(m, m.rows() - 1, k, 0));
    turned.push_back(1 - least);
  }
  run.claim_below("Hebb: 1 - |cos| of the weights with the first component, largest of all units",
                  "we obtain an estimate of the leading PC", turned, 0.001);
  run.report("Hebb: norm of the weights at the end", grows, plain.last(plain.read.norm(0)));
  run.claim_near(
      "Hebb: rate of growth of log |w|, second half, over eta rt_1", grows,
      plain.each([&](const Matrix& m) { return plain.growth({m}, times).values[0] / rate; }), 1,
      0.03);
  run.claim_near("equations: the same", grows, plain.growth(plain.theory, times).median() / rate, 1,
                 0.01);
  run.claim_near("Hebb, weak decay: rate of growth, over eta rt_1 - decay", remedy,
                 weak.each([&](const Matrix& m) {
                   return weak.growth({m}, times).values[0] / (rate - config.weak_decay);
                 }),
                 1, 0.05);
  run.claim("Hebb, strong decay: norm at the end, over the start", remedy,
            strong.each([&](const Matrix& m) {
              return m(m.rows() - 1, strong.read.norm(0)) / m(0, strong.read.norm(0));
            }),
            "< 1e-3 for every seed: no decay holds the norm",
            strong.last(strong.read.norm(0)).largest() < 1e-3);
}

void judge_oja(Run& run, const Result& one, const Result& several) {
  const std::string words = "Oja's rule indeed converges to the PC with the largest eigenvalue";
  const int64_t units = several.read.units;
  run.claim_below("Oja, one unit: 1 - |cos(w, e_1)|", words, one.last_angle(0, 0), 0.001);
  run.claim_near("Oja, one unit: norm of w", "adding normalisation to the Hebbian update",
                 one.last(one.read.norm(0)), 1, 0.01);
  run.claim_below("Oja, one unit: largest distance of Q1 from the equations",
                  "mean dynamics of the rule", one.deviation(), 0.05);
  run.claim_below(text("Oja, ", units,
                       " units: share of the space of the leading components outside their span"),
                  "with several units Oja's rule finds the subspace",
                  several.each([&](const Matrix& m) {
                    return 1 - m(m.rows() - 1, several.read.overlap()) / static_cast<double>(units);
                  }),
                  0.001);
  run.claim_below(text("Oja, ", units, " units: least |cos(w_k, e_k)|"), "but not the components",
                  several.each([&](const Matrix& m) {
                    double least = 1;
                    for (int64_t k = 0; k < units; ++k)
                      least = std::min(least, several.read.cosine(m, m.rows() - 1, k, k));
                    return least;
                  }),
                  0.9);
  run.claim_below(text("Oja, ", units, " units: largest distance of Q1 from the equations"),
                  "mean dynamics of the rule", several.deviation(), 0.05);
}

void judge_sanger(Run& run, const Result& sanger) {
  const std::string words = "it allows estimation of the first few leading eigenvectors";
  for (int64_t k = 0; k < sanger.read.units; ++k) {
    run.claim_below(text("Sanger: 1 - |cos(w_", k + 1, ", e_", k + 1, ")|"), words,
                    sanger.last_angle(k, k), 0.001);
    run.claim_near(text("Sanger: norm of w_", k + 1), words, sanger.last(sanger.read.norm(k)), 1,
                   0.01);
  }
  run.claim_below("Sanger: largest distance of Q1 from the equations", "mean dynamics of the rule",
                  sanger.deviation(), 0.05);
}

/// Columns: time, then `of(course, row)` of seed 0's simulation and of its equations.
std::string block(Run& run, const std::string& name, const std::vector<double>& times,
                  const Result& result,
                  const std::function<std::vector<double>(const Matrix&, int64_t)>& of) {
  const auto count = static_cast<int64_t>(of(result.theory[0], 0).size());
  Matrix table(times.size(), 1 + 2 * count);
  for (int64_t i = 0; i < table.rows(); ++i) {
    const std::vector<double> a = of(result.simulated[0], i), b = of(result.theory[0], i);
    table(i, 0) = times[static_cast<size_t>(i)];
    for (int64_t j = 0; j < count; ++j) {
      table(i, 1 + j) = a[static_cast<size_t>(j)];
      table(i, 1 + count + j) = b[static_cast<size_t>(j)];
    }
  }
  run.save(name, to_array(table));
  return data_block(name, to_array(table));
}

/// Circles for the simulation (columns 2 ..), lines for the equations (columns 2 + count ..).
std::string curves(const std::string& name, const std::vector<std::string>& titles,
                   const std::string& first = "") {
  std::string line = "plot " + first;
  for (size_t j = 0; j < titles.size(); ++j)
    line += text(j || !first.empty() ? ", " : "", "$", name, " using 1:", 2 + j,
                 " with points pt 6 ps 0.7 lc ", j + 1, " notitle, $", name,
                 " using 1:", 2 + titles.size() + j, " with lines lw 2 lc ", j + 1, " title '",
                 titles[j], "'");
  return line + "\n";
}

void draw(Run& run, const Config& config, const std::vector<double>& times,
          const std::vector<Result>& all) {
  const auto norm = [&](const Result& r) {
    return [&](const Matrix& m, int64_t i) { return std::vector<double>{m(i, r.read.norm(0))}; };
  };
  const auto cosines = [&](const Result& r) {
    return [&](const Matrix& m, int64_t i) {
      std::vector<double> row;
      for (int64_t k = 0; k < r.read.units; ++k) row.push_back(r.read.cosine(m, i, k, k));
      return row;
    };
  };
  const auto first_unit = [&](const Matrix& m, int64_t i) {
    return std::vector<double>{all[3].read.cosine(m, i, 0, 0), m(i, all[3].read.norm(0))};
  };
  std::string script = block(run, "hebb", times, all[0], norm(all[0])) +
                       block(run, "weak", times, all[1], norm(all[1])) +
                       block(run, "strong", times, all[2], norm(all[2])) +
                       block(run, "oja", times, all[3], first_unit) +
                       block(run, "subspace", times, all[4], cosines(all[4])) +
                       block(run, "sanger", times, all[5], cosines(all[5]));
  script +=
      "set multiplot layout 1,4\nset grid lc rgb '#dddddd'\nset xlabel 'time t = steps / D'\n";
  script += text("set xrange [0:", config.last,
                 "]\nset key top left\nset logscale y\nset format y '10^{%T}'\n",
                 "set title 'Hebb: norm of w_1'\n",
                 "plot $hebb using 1:2 with points pt 6 ps 0.7 lc 1 notitle, $hebb using 1:3 with "
                 "lines lw 2 lc 1 title ",
                 "'no decay', $weak using 1:2 with points pt 6 ps 0.7 lc 2 notitle, $weak using "
                 "1:3 with lines lw 2 lc ",
                 "2 title 'decay ", config.weak_decay,
                 "', $strong using 1:2 with points pt 6 ps 0.7 lc 3 notitle, $strong using 1:3 "
                 "with lines lw 2 lc 3 ",
                 "title 'decay ", config.strong_decay,
                 "'\nunset logscale y\nset format y '%g'\nset yrange [0:1.1]\n",
                 "set key bottom right\nset title 'Oja, one unit'\n");
  script += curves("oja", {"|cos(w, e_1)|", "norm of w"});
  std::vector<std::string> titles;
  for (size_t k = 1; k <= config.spikes.size(); ++k)
    titles.push_back(text("|cos(w_", k, ", e_", k, ")|"));
  script += text("set title 'Oja, ", titles.size(), " units'\n") + curves("subspace", titles);
  script += "set title 'Sanger: circles simulation, lines equations'\n" + curves("sanger", titles);
  run.plot("hebbian-rules", script + "unset multiplot\n", 1800, 420);
}

void compute(Run& run, const Config& config) {
  const auto units = static_cast<int64_t>(config.spikes.size());
  require(config.seeds > 0 && units > 1 && config.dimension > units && config.points > 3 &&
              config.last > 0 && config.eta > 0 && config.init > 0,
          "hebbian-rules: needs a seed, two spikes or more and fewer than the dimension, 4 points "
          "or more, and positive "
          "eta, init and last");
  for (int64_t k = 1; k < units; ++k)
    require(config.spikes[static_cast<size_t>(k)] < config.spikes[static_cast<size_t>(k) - 1],
            "hebbian-rules: the spikes must fall");
  const double rate = config.eta * config.spikes[0];
  require(
      config.weak_decay >= 0 && config.weak_decay < rate && config.strong_decay > rate,
      "hebbian-rules: weak_decay must be below and strong_decay above eta times the first spike, ",
      rate);
  const Spectrum s =
      Spectrum::spiked(config.dimension, Eigen::Map<const Vector>(config.spikes.data(), units),
                       config.bulk_variance);
  std::vector<double> times;
  for (int64_t i = 0; i <= config.points; ++i)
    times.push_back(config.last * static_cast<double>(i) / static_cast<double>(config.points));
  const auto of = [&](const std::string& name, HebbianRule rule, double decay, int64_t count) {
    return study(run, name, config, {rule, config.eta, decay}, count, s, times);
  };
  const std::vector<Result> all{of("hebb", HebbianRule::hebb, 0, units),
                                of("hebb-weak-decay", HebbianRule::hebb, config.weak_decay, 1),
                                of("hebb-strong-decay", HebbianRule::hebb, config.strong_decay, 1),
                                of("oja", HebbianRule::oja, 0, 1),
                                of("subspace", HebbianRule::oja, 0, units),
                                of("sanger", HebbianRule::sanger, 0, units)};
  judge_hebb(run, config, times, all[0], all[1], all[2]);
  judge_oja(run, all[3], all[4]);
  judge_sanger(run, all[5]);
  draw(run, config, times, all);
}

BASIN_EXPERIMENT(Config, compute, .name = "hebbian-rules", .paper = "shallow-online-sgd",
                 .figure = "appendix A",
                 .summary =
                     "Hebb's rule diverges, Oja's finds the first component or a subspace, "
                     "Sanger's all components")

}  // namespace
}  // namespace basin
