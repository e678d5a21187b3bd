// Refinetti and Goldt, "The dynamics of representation learning in shallow, non-linear
// autoencoders", figure 5. Claim: when unit k is trained on what the units up to k leave over
// (truncated SGD, after Sanger), an erf autoencoder learns the principal components themselves,
// where vanilla SGD learns a rotation of them; the error at the end is the same, though it can rise
// for a while, and a modified set of equations predicts it. So the first units alone give nearly
// the PCA reconstruction of their rank, on images too. Here: K = M = 3, the paper's spectrum, eta =
// 1, weights of standard deviation 0.1, D = 500, t up to 1000; then 9,000 Fashion-MNIST images
// (where they are found): D = 784, K = 64, eta = 20, t up to 1000 or 5000. Expected: truncated
// |cos(v_k, e_k)| > .9999; others below 3e-4 in the equations, below .005 averaged over late times,
// .003 to .018 at single times, early or late (D = 500; .0025 at D = 4000); vanilla below .9; error
// .00545 against .00533 (PCA: .0043); largest rise .005 to .025 for most starts; first 1 and 2
// units .152 and .044 (PCA: .151, .043), of vanilla .3 and .15; images: first 1, 4, 16, 64
// units 1.00, 1.00, 1.01, 1.07 times the PCA error, vanilla 1.6, 3.0, 4.5, 1.05 times. Run time on
// one core: smoke 1 s, quick 25 s, paper 4 minutes.
#include <cmath>

#include "engine/image.h"
#include "experiments/harness/plot.h"
#include "experiments/online_sgd/simulation/grey_images.h"
#include "experiments/online_sgd/simulation/simulate_and_solve.h"
#include "experiments/online_sgd/theory/basis.h"

namespace basin {
namespace {

using namespace online;

struct Config {
  int64_t seeds = 12, dimension = 1000, units = 3, points = 200;
  double eta = 1, init = 0.1, first = 0.1, last = 1000;
  int64_t images = 9000, image_units = 64;
  double image_eta = 20, image_last = 5000;

  explicit Config(Preset preset) {
    if (preset == Preset::paper) return;
    dimension = 500, image_last = 1000;
    if (preset == Preset::quick) return;
    seeds = 2, dimension = 100, last = 30, points = 30;
    images = 1000, image_units = 8, image_last = 20;
  }
  template <class F>
  void each_field(F&& f) {
    f("seeds", seeds, "independent starts and inputs");
    f("dimension", dimension, "D, the size of an input");
    f("units", units, "K, hidden units, and as many large eigenvalues");
    f("eta", eta, "learning rate: eta for the decoder, eta / D for the encoder");
    f("init", init, "standard deviation of the weights at the start");
    f("first", first, "first time recorded after 0 (time = steps / D)");
    f("last", last, "last time");
    f("points", points, "times recorded, logarithmically spaced");
    f("images", images,
      "Fashion-MNIST test images to train on (0: none); the others are there to be shown");
    f("image_units", image_units, "hidden units of the networks for images");
    f("image_eta", image_eta, "their learning rate");
    f("image_last", image_last, "how long they learn (time = steps / D)");
  }
};

const Rule rules[] = {Rule::truncated, Rule::vanilla};
const char* name_of(Rule rule) {
  return rule == Rule::truncated ? "truncated" : "vanilla";
}

// All weights are recorded: encoder, then decoder, column by column.
std::vector<double> flat(const Weights& w) {
  std::vector<double> row(w.encoder.data(), w.encoder.data() + w.encoder.size());
  row.insert(row.end(), w.decoder.data(), w.decoder.data() + w.decoder.size());
  return row;
}

Weights weights_at(const Matrix& course, int64_t i, int64_t units) {
  const Vector row = course.row(i);
  const int64_t modes = row.size() / 2 / units;
  return {Eigen::Map<const Matrix>(row.data(), units, modes),
          Eigen::Map<const Matrix>(row.data() + units * modes, units, modes), Vector::Zero(units)};
}

Weights first_units(const Weights& w, int64_t units) {
  return {w.encoder.topRows(units), w.decoder.topRows(units), w.bias.head(units)};
}

/// One seed of one rule.
struct Course {
  Vector error, theory;  // by time
  Weights last,
      settled;  // of the simulation, on all modes: at the end, and their mean over the second half
  Weights predicted;  // by the equations for the end
};

Vector errors_of(const Matrix& course, int64_t units, const Spectrum& s, const Transfer& g) {
  Vector errors(course.rows());
  for (int64_t i = 0; i < course.rows(); ++i)
    errors[i] = population_error(weights_at(course, i, units), s, g);
  return errors;
}

/// The mean over the recorded times in the second half of the training.
Weights settled_weights(const Matrix& course, int64_t units, const std::vector<double>& times) {
  int64_t from = course.rows() - 1;
  while (from > 1 && times[static_cast<size_t>(from) - 1] >= times.back() / 2) --from;
  return weights_at(course.bottomRows(course.rows() - from).colwise().mean(), 0, units);
}

std::vector<Course> study(Run& run, const Config& config, const Spectrum& s, Rule rule,
                          const std::vector<double>& times) {
  Model model;
  model.rule = rule;
  model.rates = Rates::scaled(config.eta, config.dimension);
  const auto key = [&](int64_t seed) { return run.key().at(static_cast<uint64_t>(seed)); };
  const auto start = [&](int64_t seed) {
    return random_weights(key(seed).at("start"), config.units, s, config.init);
  };
  const std::vector<Matrix> simulated =
      simulate(
          run, name_of(rule), config.seeds, times,
          [&](int64_t seed) {
            return make_simulator(model, s, start(seed), key(seed).at("inputs"));
          },
          flat)
          .seeds;
  std::vector<Course> all;
  for (int64_t seed = 0; seed < config.seeds; ++seed) {
    const Matrix& course = simulated[static_cast<size_t>(seed)];
    const Lumped few = lump(start(seed), s, config.units);
    const Matrix path = solve(run, text("equations, ", name_of(rule), ", seed ", seed), model,
                              few.weights, few.spectrum, times, flat);
    require_reached(text("truncated-sgd: equations, ", name_of(rule), ", seed ", seed), path,
                    times.size());
    all.push_back({errors_of(course, config.units, s, model.g),
                   errors_of(path, config.units, few.spectrum, model.g),
                   weights_at(course, course.rows() - 1, config.units),
                   settled_weights(course, config.units, times),
                   weights_at(path, path.rows() - 1, config.units)});
  }
  return all;
}

Samples each(const std::vector<Course>& all, const std::function<double(const Course&)>& number) {
  std::vector<double> values;
  for (const Course& course : all) values.push_back(number(course));
  return values;
}

double least_diagonal(const Matrix& cosines) {
  return cosines.diagonal().minCoeff();
}

double largest_elsewhere(const Matrix& cosines) {
  Matrix others = cosines;
  others.diagonal().setZero();
  return others.maxCoeff();
}

/// How far a curve climbs above a value that it had before.
double largest_rise(const Vector& error) {
  double least = error[0], rise = 0;
  for (double e : error) least = std::min(least, e), rise = std::max(rise, e - least);
  return rise;
}

void judge_components(Run& run, int64_t units, const std::vector<Course>& truncated,
                      const std::vector<Course>& vanilla) {
  const std::string exact = "truncated SGD converges to the exact principal components";
  const std::string mixed = "vanilla SGD only recovers a linear combination of them";
  const auto decoders = [&](const Course& c) { return decoder_cosines(c.last, units); };
  const auto encoders = [&](const Course& c) { return encoder_cosines(c.last, units, true); };
  const Samples own =
      each(truncated, [&](const Course& c) { return 1 - least_diagonal(decoders(c)); });
  run.claim("truncated: 1 - |cos(v_k, e_k)|, largest of all units", exact, own,
            "< 0.001 for every seed", own.largest() < 0.001);
  // SGD of a constant rate never comes to rest: about the components the decoders go on moving by
  // O(D^(-1/2)).
  const auto elsewhere = [&](Weights Course::*w) {
    return each(truncated,
                [&](const Course& c) { return largest_elsewhere(decoder_cosines(c.*w, units)); });
  };
  const std::string others = "truncated: |cos(v_k, e_m)| with another component, largest, ";
  const Samples predicted = elsewhere(&Course::predicted), settled = elsewhere(&Course::settled);
  run.claim(others + "equations at the end", exact, predicted, "< 0.001 for every seed",
            predicted.largest() < 0.001);
  run.claim(others + "simulations, v_k averaged over the second half of the time", exact, settled,
            "< 0.01 for every seed", settled.largest() < 0.01);
  const Samples moving = elsewhere(&Course::last);
  run.literal_claim(
      others + "simulations, v_k at the end", exact, moving, "< 0.01 for every seed",
      moving.largest() < 0.01,
      "as large at all late times and smaller for larger D: the fluctuation of SGD, not what it "
      "fluctuates about");
  const Samples encoder =
      each(truncated, [&](const Course& c) { return 1 - least_diagonal(encoders(c)); });
  run.claim("truncated: 1 - |cos(w_k, e_k)| within the components' space, largest", exact, encoder,
            "< 0.005 for every seed", encoder.largest() < 0.005);
  const Samples rotated =
      each(vanilla, [&](const Course& c) { return least_diagonal(decoders(c)); });
  run.claim("vanilla: |cos(v_k, e_k)|, least of all units", mixed, rotated, "< 0.9 for every seed",
            rotated.largest() < 0.9);
  const Samples outside = each(vanilla, [&](const Course& c) {
    return 1 - std::sqrt(decoders(c).rowwise().squaredNorm().minCoeff());
  });
  run.claim("vanilla: 1 - norm of the decoder's part in the components' space, largest", mixed,
            outside, "< 0.001 for every seed", outside.largest() < 0.001);
}

void judge_theory(Run& run, const std::vector<Course> (&all)[2]) {
  const std::string theory = "the theory captures both learning curves perfectly";
  for (int r = 0; r < 2; ++r) {
    const std::string name = name_of(rules[r]);
    const Samples mean = each(all[r], [](const Course& c) {
      return ((c.error - c.theory).array().abs() / c.theory.array()).mean();
    });
    claim_agreement(
        run, name + ": relative distance of a simulation from the equations, mean over log time",
        theory, mean, 0.02);
    const Samples most =
        each(all[r], [](const Course& c) { return (c.error - c.theory).cwiseAbs().maxCoeff(); });
    claim_agreement(run, name + ": largest distance of a simulation from the equations", theory,
                    most, 0.035);
  }
}

void judge_error(Run& run, const Spectrum& s, const std::vector<double>& times,
                 const std::vector<Course> (&all)[2]) {
  const std::string penalty = "truncated SGD incurs no performance penalty";
  const int64_t end = static_cast<int64_t>(times.size()) - 1, units = all[0][0].last.units();
  std::vector<double> ratio;
  for (size_t i = 0; i < all[0].size(); ++i)
    ratio.push_back(all[0][i].error[end] / all[1][i].error[end]);
  run.claim_near("final error, truncated over vanilla", penalty, ratio, 1, 0.05);
  for (int r = 0; r < 2; ++r) {
    const Samples final =
        each(all[r], [&](const Course& c) { return c.error[end] / s.pca_error(units); });
    run.claim(text(name_of(rules[r]), ": final error over the PCA error"),
              "both autoencoders achieve the PCA error", final, "1 to 1.5 for every seed",
              final.least() >= 1 && final.largest() <= 1.5);
  }
  // A start whose first units happen to point the right way needs no rise: this is about the
  // median.
  const std::string rise = "the error can increase temporarily with the truncated algorithm";
  run.claim_at_least("truncated: largest rise of the error above an earlier value", rise,
                     each(all[0], [](const Course& c) { return largest_rise(c.error); }), 0.003);
  run.claim_at_least("truncated, equations: the same", rise,
                     each(all[0], [](const Course& c) { return largest_rise(c.theory); }), 0.003);
  const Samples flow = each(all[1], [](const Course& c) { return largest_rise(c.theory); });
  run.claim("vanilla, equations: the same", "vanilla SGD descends the error", flow,
            "< 1e-6 for every seed", flow.largest() < 1e-6);
  judge_theory(run, all);
}

/// Error of the first k units alone.
double partial_error(const Course& c, const Spectrum& s, int64_t units) {
  return population_error(first_units(c.last, units), s, Transfer("erf"));
}

void judge_partial(Run& run, const Spectrum& s, const std::vector<Course> (&all)[2]) {
  const int64_t units = all[0][0].last.units();
  for (int64_t k = 1; k < units; ++k) {
    const auto ratio = [&](const Course& c) { return partial_error(c, s, k) / s.pca_error(k); };
    run.claim_near(
        text("truncated: error of the first ", k, " units over the PCA error of that rank"),
        "the partial reconstruction from truncated SGD is close to the original",
        each(all[0], ratio), 1, 0.05);
    run.claim_at_least(
        text("vanilla: error of the first ", k, " units over the PCA error of that rank"),
        "the partial reconstruction of the vanilla autoencoder mixes components",
        each(all[1], ratio), 1.5);
  }
}

/// Rows are pixels: place, then for every unit the decoder (scaled to the components' norm, 1 /
/// sqrt D left out) and its component. Training is the same in any basis, so this one is chosen
/// afterwards.
Matrix decoders_in_space(const Weights& w, int64_t spikes, const Matrix& basis) {
  const int64_t d = w.modes(), units = w.units();
  const double root = std::sqrt(static_cast<double>(d));
  const Matrix decoder = in_basis(w, basis.transpose()).decoder;
  Matrix table(d, 1 + units + spikes);
  table.col(0).setLinSpaced(0, static_cast<double>(d - 1));
  for (int64_t k = 0; k < units; ++k) {
    const double sign = w.decoder(k, std::min(k, spikes - 1)) < 0 ? -1 : 1;
    table.col(1 + k) = sign * root / decoder.row(k).norm() * decoder.row(k).transpose();
  }
  table.rightCols(spikes) = root * basis.leftCols(spikes);
  return table;
}

std::string decoder_panel(const std::string& name, int64_t units, const std::string& title) {
  std::string script = "set title '" + title + "'\nplot ";
  for (int64_t k = 0; k < units; ++k)
    script += text("$", name, " using 1:", 2 + k, " with lines lw 4 lc ", k + 1, " title 'v_",
                   k + 1, "', ");
  for (int64_t k = 0; k < units; ++k)
    script += text(k ? ", " : "", "$", name, " using 1:", 2 + units + k,
                   " with lines lw 1 dt 2 lc rgb 'black' ", k ? "notitle" : "title 'components'");
  return script + "\n";
}

void draw(Run& run, const Config& config, const Spectrum& s, const std::vector<double>& times,
          const std::vector<Course> (&all)[2], const Matrix& basis) {
  const auto n = static_cast<int64_t>(times.size());
  Matrix curves(n, 5), partial(config.units + 1, 4);
  curves << Eigen::Map<const Vector>(times.data(), n), all[0][0].error, all[1][0].error,
      all[0][0].theory, all[1][0].theory;
  partial.row(0) << 0, s.trace() / 2, s.trace() / 2, s.trace() / 2;
  for (int64_t k = 1; k <= config.units; ++k)
    partial.row(k) << static_cast<double>(k), s.pca_error(k), partial_error(all[0][0], s, k),
        partial_error(all[1][0], s, k);
  const Matrix truncated = decoders_in_space(all[0][0].last, config.units, basis),
               vanilla = decoders_in_space(all[1][0].last, config.units, basis);
  std::string script;
  for (const auto& [name, table] : {std::pair<const char*, const Matrix*>{"curves", &curves},
                                    {"partial", &partial},
                                    {"truncated", &truncated},
                                    {"vanilla", &vanilla}}) {
    run.save(name, to_array(*table));
    script += data_block(name, to_array(*table));
  }
  script +=
      "set multiplot layout 1,4\nset grid lc rgb '#dddddd'\nset logscale xy\nset key bottom left\n";
  script += text("set xrange [", config.first, ":", config.last, "]\nset format y '10^{%T}'\n",
                 "set xlabel 'time t = steps / D'\nset title 'reconstruction error'\n");
  for (int64_t k = 0; k <= config.units; ++k)
    script += text("set arrow from ", config.first, ",", s.pca_error(k), " to ", config.last, ",",
                   s.pca_error(k), " nohead dt 2 lc rgb '#888888'\n");
  script +=
      "plot $curves using 1:3 with points pt 6 ps 0.6 lc rgb '#1f5fa8' title 'vanilla', $curves "
      "using 1:2 with points "
      "pt 6 ps 0.6 lc rgb '#d62728' title 'truncated', $curves using 1:5 with lines lw 2 lc rgb "
      "'#1f5fa8' title "
      "'equations', $curves using 1:4 with lines lw 2 lc rgb '#d62728' title 'equations', NaN with "
      "lines dt 2 lc rgb "
      "'#888888' title 'PCA, rank 0, 1, ...'\nunset arrow\nunset logscale x\nset xrange "
      "[-0.2:*]\nset xtics 1\nset "
      "xlabel 'units k'\nset title 'error of the first k units'\nplot $partial using 1:4 with "
      "linespoints pt 7 lc rgb "
      "'#1f5fa8' title 'vanilla', $partial using 1:3 with linespoints pt 7 lc rgb '#d62728' title "
      "'truncated', "
      "$partial "
      "using 1:2 with linespoints pt 6 ps 2 dt 2 lc rgb '#888888' title 'PCA of rank k'\nunset "
      "logscale y\nset xtics "
      "auto\nset format y '%g'\nset xlabel 'pixel'\nset yrange [-3.4:2.6]\nset key bottom left "
      "horizontal\n";
  script += text("set xrange [0:", config.dimension, "]\n");
  script += decoder_panel("truncated", config.units, "decoders, truncated") +
            decoder_panel("vanilla", config.units, "decoders, vanilla");
  run.plot("truncated-sgd", script + "unset multiplot\n", 1900, 440);
}

/// A sheet of three rows: PCA reconstructions of growing rank, partial ones of the truncated rule,
/// and of the vanilla one; behind the original, for a few images that were not trained on, side by
/// side.
void show_images(Run& run, const GreyImages& images, const Weights (&trained)[2],
                 const std::vector<int64_t>& counts) {
  const int64_t shown = 4, columns = 1 + static_cast<int64_t>(counts.size()),
                d = images.spectrum.dimension;
  Matrix rows = Matrix::Zero(3 * shown * columns, d);
  int64_t at = 0;
  for (int row = 0; row < 3; ++row)
    for (int64_t i = 0; i < shown; ++i) {
      const Matrix x = images.others.row(i * images.others.rows() / shown);
      rows.row(at++) = x;
      for (int64_t k : counts) {
        if (row == 0)
          rows.row(at).head(k) = x.row(0).head(k);
        else
          rows.row(at) = reconstruction(first_units(trained[row - 1], k), Transfer("erf"), x);
        ++at;
      }
    }
  run.picture("fashion-partial", image_grid(images.pixels(rows), shown * columns, 2, 2));
}

void judge_images(Run& run, const Spectrum& s, const std::vector<int64_t>& counts,
                  const std::vector<double> (&errors)[2]) {
  const std::string close =
      "the partial reconstruction from truncated SGD is close to the original image";
  const std::string mixed =
      "that of the vanilla autoencoder shows traces of pants mixed with those of a sweatshirt";
  const auto title = [&](Rule rule, int64_t k) {
    return text("Fashion-MNIST, ", name_of(rule), ": error of the first ", k,
                " units over the PCA error of that rank");
  };
  const size_t last = counts.size() - 1;
  for (size_t i = 0; i < last; ++i) {
    const double pca = s.pca_error(counts[i]);
    run.claim_near(title(Rule::truncated, counts[i]), close, errors[0][i] / pca, 1, 0.05);
    run.claim_at_least(title(Rule::vanilla, counts[i]), mixed, errors[1][i] / pca, 1.5);
  }
  const std::string same = "the networks achieve essentially the same performance";
  run.claim_near("Fashion-MNIST: error of all units, truncated over vanilla", same,
                 errors[0][last] / errors[1][last], 1, 0.05);
  for (int r = 0; r < 2; ++r)
    run.claim_near(title(rules[r], counts[last]), same, errors[r][last] / s.pca_error(counts[last]),
                   1, 0.15);
}

void study_images(Run& run, const Config& config) {
  if (config.images == 0) return;
  const std::optional<GreyImages> images = fashion_images(run.data(), config.images, 1000);
  if (!images)
    return run.say("no Fashion-MNIST in the data folder: the part on images is left out");
  const Key key = run.key().at("images");
  const Spectrum& s = images->spectrum;
  Model model;
  model.rates = Rates::scaled(config.image_eta, s.dimension);
  std::vector<int64_t> counts;
  for (int64_t k = 1; k < config.image_units; k *= 4) counts.push_back(k);
  counts.push_back(config.image_units);
  Weights trained[2];
  std::vector<double> errors[2];
  for (int r = 0; r < 2; ++r) {
    model.rule = rules[r];
    const Matrix course =
        simulate(
            run, text("images-", name_of(rules[r])), 1, {0, config.image_last},
            [&](int64_t) {
              return make_dataset_simulator(
                  model, s, images->rows,
                  random_weights(key.at("start"), config.image_units, s, config.init),
                  key.at("inputs"));
            },
            flat)
            .seeds[0];
    trained[r] = weights_at(course, course.rows() - 1, config.image_units);
    for (const int64_t k : counts)
      errors[r].push_back(empirical_error(first_units(trained[r], k), *images, model.g));
  }
  judge_images(run, s, counts, errors);
  show_images(run, *images, trained, counts);
}

void compute(Run& run, const Config& config) {
  require(config.seeds > 0 && config.units > 1 && config.dimension > 3 * config.units &&
              config.points > 2 && config.images >= 0 && config.image_units > 1 &&
              config.image_last > 0,
          "truncated-sgd: needs a seed, two units or more, a dimension above three times as many, "
          "3 points or more, no "
          "negative number of images, and two units or more and a positive time for them");
  const Spectrum s = Spectrum::canonical(config.dimension, config.units);
  const std::vector<double> times = log_times(config.first, config.last, config.points);
  // Early, for an error about it should come before hours of training.
  const Matrix basis =
      completed_basis(sinusoids(config.dimension, config.units), run.key().at("basis"));
  const std::vector<Course> all[2] = {study(run, config, s, rules[0], times),
                                      study(run, config, s, rules[1], times)};
  judge_components(run, config.units, all[0], all[1]);
  judge_error(run, s, times, all);
  judge_partial(run, s, all);
  draw(run, config, s, times, all, basis);
  study_images(run, config);
}

BASIN_EXPERIMENT(
    Config, compute, .name = "truncated-sgd", .paper = "shallow-online-sgd", .figure = "figure 5",
    .summary = "truncated SGD learns the principal components themselves, at the same error")

}  // namespace
}  // namespace basin
