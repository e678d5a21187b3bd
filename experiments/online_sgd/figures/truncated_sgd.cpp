// Paper: Refinetti and Goldt, "The dynamics of representation learning in shallow, non-linear
//   autoencoders", figure 5.
// Claim: when unit k is trained on what the units up to k leave over (truncated SGD, after Sanger),
//   an erf autoencoder learns the principal components themselves, where vanilla SGD learns a
//   rotation of them. The error at the end is the same, though it can rise for a while, and a
//   modified set of equations predicts it. So the first units alone give nearly the PCA
//   reconstruction of their rank, on images too.
// Here: K = M = 3, the paper's spectrum, eta = 1, weights of standard deviation 0.1, D = 500, t up
//   to 1000; then 9,000 Fashion-MNIST images (where they are found): D = 784, K = 64, eta = 20, t
//   up to 1000 or 5000. SGD of a constant rate never comes to rest: about the components the
//   decoders go on moving by O(D^(-1/2)). A start whose first units happen to point the right way
//   needs no rise of the error: those claims are about medians.
// Expected: truncated |cos(v_k, e_k)| > .9999; others below 3e-4 in the equations, below .005
//   averaged over late times, .003 to .018 at single times, early or late (D = 500; .0025 at
//   D = 4000); vanilla below .9; error .00545 against .00533 (PCA: .0043); largest rise .005 to
//   .025 for most starts; first 1 and 2 units .152 and .044 (PCA: .151, .043), of vanilla .3 and
//   .15; images: first 1, 4, 16, 64 units 1.00, 1.00, 1.01, 1.07 times the PCA error, vanilla 1.6,
//   3.0, 4.5, 1.05 times.
// Time: on one core smoke 1 s, quick 25 s, paper 4 min.
#include <optional>

#include "engine/image.h"
#include "experiments/online_sgd/figures/figure.h"
#include "experiments/online_sgd/simulation/recorded_weights.h"
#include "experiments/online_sgd/theory/basis.h"

namespace basin::online {
namespace {

struct Config {
  OnlineRun online = {.seeds = 12, .dimension = 1000, .points = 200};
  int64_t units = 3, images = 9000, image_units = 64;
  double image_eta = 20, image_last = 5000;

  explicit Config(Preset preset) {
    if (preset == Preset::paper) return;
    online.dimension = 500;
    image_last = 1000;
    if (preset == Preset::quick) return;
    online = {.seeds = 2, .dimension = 100, .last = 30, .points = 30};
    images = 1000;
    image_units = 8;
    image_last = 20;
  }
  template <class F>
  void each_field(F&& f) {
    online.each_field(f);
    f("units", units, at_least(2), "K, hidden units, and as many large eigenvalues");
    f("images", images, at_least(0),
      "Fashion-MNIST test images to train on (0: none); the others are there to be shown");
    f("image_units", image_units, at_least(2), "hidden units of the networks for images");
    f("image_eta", image_eta, above(0), "their learning rate");
    f("image_last", image_last, above(0), "how long they learn (time = steps / D)");
  }
};

Network train(Run& run, const Config& config, const Spectrum& s, const std::string& name,
              Rule rule) {
  const Network n =
      config.online.train(run, {.name = name,
                                .model = {.rule = rule, .rates = config.online.rates()},
                                .spectrum = s,
                                .units = config.units,
                                .read = error_and_weights});
  run.save(name + "-simulated", n.paths.simulated.table());
  run.save(name + "-theory", n.paths.theory.table());
  return n;
}

double least_own(const Matrix& cosines) {
  return cosines.diagonal().minCoeff();
}

double largest_other(const Matrix& cosines) {
  Matrix others = cosines;
  others.diagonal().setZero();
  return others.maxCoeff();
}

void claim_components(Run& run, const Network& truncated, const Network& vanilla) {
  const int64_t units = truncated.units;
  const Observations& simulated = truncated.paths.simulated;
  const Observations& mixed = vanilla.paths.simulated;
  const auto decoders = [&](const Matrix& m) {
    return decoder_cosines(last_weights(m, units), units);
  };
  const auto own = [&](const Matrix& m) { return least_own(decoders(m)); };
  const auto other = [&](const Matrix& m) { return largest_other(decoders(m)); };
  const auto settled_other = [&](const Matrix& m) {
    return largest_other(decoder_cosines(settled_weights(m, units, simulated.times), units));
  };
  const auto own_encoder = [&](const Matrix& m) {
    return least_own(encoder_cosines(last_weights(m, units), units, true));
  };
  const auto inside = [&](const Matrix& m) {
    return std::sqrt(decoders(m).rowwise().squaredNorm().minCoeff());
  };
  const Words exact = run.words("truncated SGD converges to the exact principal components");
  exact.claim("truncated: 1 - |cos(v_k, e_k)|, largest of all units", 1 - simulated.of(own),
              every_seed(below(0.001)));
  const std::string others = "truncated: |cos(v_k, e_m)| with another component, largest, ";
  exact.claim(others + "equations at the end", truncated.paths.theory.of(other),
              every_seed(below(0.001)));
  exact.claim(others + "simulations, v_k averaged over the second half of the time",
              simulated.of(settled_other), every_seed(below(0.01)));
  exact.literal(others + "simulations, v_k at the end", simulated.of(other),
                every_seed(below(0.01)),
                "as large at all late times and smaller for larger D: the fluctuation of SGD, not "
                "what it fluctuates about");
  exact.claim("truncated: 1 - |cos(w_k, e_k)| within the components' space, largest",
              1 - simulated.of(own_encoder), every_seed(below(0.005)));
  const Words mixture = run.words("vanilla SGD only recovers a linear combination of them");
  mixture.claim("vanilla: |cos(v_k, e_k)|, least of all units", mixed.of(own),
                every_seed(below(0.9)));
  mixture.claim("vanilla: 1 - norm of the decoder's part in the components' space, largest",
                1 - mixed.of(inside), every_seed(below(0.001)));
}

/// How far the error climbs above a value that it had before.
double largest_rise(const Matrix& m) {
  double least = m(0, 0), rise = 0;
  for (const double e : m.col(0)) {
    least = std::min(least, e);
    rise = std::max(rise, e - least);
  }
  return rise;
}

void claim_error(Run& run, const Network& truncated, const Network& vanilla) {
  run.words("truncated SGD incurs no performance penalty")
      .claim("final error, truncated over vanilla", truncated.last() / vanilla.last(),
             near(1, 0.05));
  for (const Network& n : {truncated, vanilla})
    run.words("both autoencoders achieve the PCA error")
        .claim(n.name + ": final error over the PCA error", n.over_pca(n.units),
               every_seed(between(1, 1.5)));
  const Words rise = run.words("the error can increase temporarily with the truncated algorithm");
  rise.claim("truncated: largest rise of the error above an earlier value",
             truncated.paths.simulated.of(largest_rise), at_least(0.003));
  rise.claim("truncated, equations: the same", truncated.paths.theory.of(largest_rise),
             at_least(0.003));
  run.words("vanilla SGD descends the error")
      .claim("vanilla, equations: the same", vanilla.paths.theory.of(largest_rise),
             every_seed(below(1e-6)));
  const Words theory = run.words("the theory captures both learning curves perfectly");
  const auto relative = [](const Matrix& m, const Matrix& solution) {
    return ((m.col(0) - solution.col(0)).array().abs() / solution.col(0).array()).mean();
  };
  for (const Network& n : {truncated, vanilla}) {
    claim_agreement(
        theory,
        n.name + ": relative distance of a simulation from the equations, mean over log time",
        n.paths.of(relative), 0.02);
    claim_agreement(theory, n.name + ": largest distance of a simulation from the equations",
                    distances(n.paths).largest, 0.035);
  }
}

/// The error of the first k units alone, at the end of each simulation.
Samples partial_errors(const Network& n, int64_t k) {
  return n.paths.simulated.of([&](const Matrix& m) {
    return population_error(first_units(last_weights(m, n.units), k), n.spectrum, n.model.g);
  });
}

void claim_partial(Run& run, const Network& truncated, const Network& vanilla) {
  const Words close =
      run.words("the partial reconstruction from truncated SGD is close to the original");
  const Words mixes =
      run.words("the partial reconstruction of the vanilla autoencoder mixes components");
  for (int64_t k = 1; k < truncated.units; ++k) {
    const double pca = truncated.spectrum.pca_error(k);
    const std::string rank =
        text(": error of the first ", k, " units over the PCA error of that rank");
    close.claim("truncated" + rank, partial_errors(truncated, k) / pca, near(1, 0.05));
    mixes.claim("vanilla" + rank, partial_errors(vanilla, k) / pca, at_least(1.5));
  }
}

/// Every decoder of seed 0 in space (scaled to the components' norm, 1 / sqrt D left out) and the
/// components, saved as <name>.npy: rows are pixels, columns the place, the decoders, the
/// components. Training is the same in any basis, so this one is chosen afterwards.
Panel decoder_panel(Run& run, const Network& n, const Matrix& basis) {
  const Weights w = last_weights(n.paths.simulated.seeds[0], n.units);
  const int64_t d = w.modes(), units = n.units;
  const double root = std::sqrt(static_cast<double>(d));
  const Matrix decoder = in_basis(w, basis.transpose()).decoder;
  Matrix all(d, 1 + 2 * units);
  all.col(0).setLinSpaced(0, static_cast<double>(d - 1));
  for (int64_t k = 0; k < units; ++k) {
    const double sign = w.decoder(k, k) < 0 ? -1 : 1;
    all.col(1 + k) = sign * root / decoder.row(k).norm() * decoder.row(k).transpose();
  }
  all.rightCols(units) = root * basis.leftCols(units);
  const Array table = to_array(all);
  run.save(n.name, table);

  Panel panel{.title = "decoders, " + n.name,
              .x = {.label = "pixel", .low = 0, .high = static_cast<double>(d)},
              .y = {.low = -3.4, .high = 2.6},
              .key = "bottom left"};
  for (int k = 0; k < units; ++k)
    panel.curves.push_back({.x = column(table, 0),
                            .y = column(table, 1 + k),
                            .name = text("v_", k + 1),
                            .colour = k,
                            .size = 2.5});
  for (int64_t k = 0; k < units; ++k)
    panel.curves.push_back({.x = column(table, 0),
                            .y = column(table, 1 + units + k),
                            .name = k == 0 ? "components" : "",
                            .colour = 6,
                            .draw = Draw::dashed});
  return panel;
}

void draw(Run& run, const Config& config, const Network& truncated, const Network& vanilla,
          const Matrix& basis) {
  const int64_t units = config.units;
  const Spectrum& s = truncated.spectrum;
  // Rows are k = 0 .. K units: k, the PCA error of that rank, the errors of the first k of seed 0.
  Matrix all(units + 1, 4);
  all.row(0) << 0, s.trace() / 2, s.trace() / 2, s.trace() / 2;
  for (int64_t k = 1; k <= units; ++k)
    all.row(k) << static_cast<double>(k), s.pca_error(k), partial_errors(truncated, k).values[0],
        partial_errors(vanilla, k).values[0];
  const Array table = to_array(all);
  run.save("partial", table);
  const auto errors_of = [&](int64_t j, const std::string& name, int colour) {
    return Curve{.x = column(table, 0),
                 .y = column(table, j),
                 .name = name,
                 .colour = colour,
                 .draw = Draw::line_points};
  };
  run.draw({.name = "truncated-sgd",
            .panels = {error_panel("error: circles simulated, lines from the equations",
                                   time_axis(config.online.first, config.online.last),
                                   {.log = true}, pca_levels(s, 0, units), {vanilla, truncated}, 1),
                       {.title = "error of the first k units",
                        .x = {.label = "units k", .low = -0.2},
                        .y = {.log = true},
                        .curves = {errors_of(3, "vanilla", 0), errors_of(2, "truncated", 1),
                                   errors_of(1, "PCA of rank k", grey)},
                        .key = "bottom left"},
                       decoder_panel(run, truncated, basis),
                       decoder_panel(run, vanilla, basis)},
            .panel_width = 475});
}

/// Weights trained on images by both rules, and the errors of the first counts[i] units.
struct OnImages {
  std::vector<int64_t> counts;
  std::vector<Weights> trained = {};
  std::vector<std::vector<double>> errors = {};
};

/// A sheet of three rows, for a few images that were not trained on, side by side: each image, and
/// behind it reconstructions of growing rank: those of PCA, of the truncated rule, of the vanilla
/// one.
void show_images(Run& run, const GreyImages& images, const OnImages& found) {
  const int64_t shown = 4, columns = 1 + static_cast<int64_t>(found.counts.size());
  Matrix cells = Matrix::Zero(3 * shown * columns, images.spectrum.dimension);
  int64_t at = 0;
  for (size_t row = 0; row < 3; ++row)
    for (int64_t i = 0; i < shown; ++i) {
      const Matrix x = images.others.row(i * images.others.rows() / shown);
      cells.row(at++) = x;
      for (const int64_t k : found.counts) {
        if (row == 0)
          cells.row(at).head(k) = x.row(0).head(k);
        else
          cells.row(at) =
              reconstruction(first_units(found.trained[row - 1], k), Transfer("erf"), x);
        ++at;
      }
    }
  run.picture("fashion-partial", image_grid(images.pixels(cells), shown * columns, 2, 2));
}

void claim_images(Run& run, const Spectrum& s, const OnImages& found) {
  const std::vector<double>& truncated = found.errors[0];
  const std::vector<double>& vanilla = found.errors[1];
  const auto claim = [&](const Words& words, const std::string& rule, size_t i, double error,
                         const Criterion& criterion, const std::string& remark = "") {
    words.claim(text("Fashion-MNIST, ", rule, ": error of the first ", found.counts[i],
                     " units over the PCA error of that rank"),
                error / s.pca_error(found.counts[i]), criterion, remark);
  };
  const Words close =
      run.words("the partial reconstruction from truncated SGD is close to the original image");
  const Words mixes = run.words(
      "that of the vanilla autoencoder shows traces of pants mixed with those of a sweatshirt");
  const size_t last = found.counts.size() - 1;
  for (size_t i = 0; i < last; ++i) {
    claim(close, "truncated", i, truncated[i], near(1, 0.05));
    if (i > 0)
      claim(mixes, "vanilla", i, vanilla[i], at_least(1.5));
    else
      claim(mixes, "vanilla", i, vanilla[i], {},
            "the paper is about the first five; how near a single unit of a rotation comes to the "
            "first component is chance");
  }
  const Words same = run.words("the networks achieve essentially the same performance");
  same.claim("Fashion-MNIST: error of all units, truncated over vanilla",
             truncated[last] / vanilla[last], near(1, 0.05));
  claim(same, "truncated", last, truncated[last], near(1, 0.15));
  claim(same, "vanilla", last, vanilla[last], near(1, 0.15));
}

void study_images(Run& run, const Config& config) {
  if (config.images == 0) return;
  const std::optional<GreyImages> images = fashion_images(run.data(), config.images, 1000);
  if (!images)
    return run.say("no Fashion-MNIST in the data folder: the part on images is left out");
  const Key key = run.key().at("images");
  const Spectrum& s = images->spectrum;
  const Weights start = random_weights(key.at("start"), config.image_units, s, config.online.init);
  OnImages found;
  for (int64_t k = 1; k < config.image_units; k *= 4) found.counts.push_back(k);
  found.counts.push_back(config.image_units);
  for (const Rule rule : {Rule::truncated, Rule::vanilla}) {
    const Model model{.rule = rule, .rates = Rates::scaled(config.image_eta, s.dimension)};
    const Observations o = simulate(
        run, rule == Rule::truncated ? "images-truncated" : "images-vanilla", 1,
        {0, config.image_last},
        [&](int64_t) {
          return make_dataset_simulator(model, s, images->rows, start, key.at("inputs"));
        },
        [&](const Weights& w) { return error_and_weights(w, s, population_error(w, s, model.g)); });
    const Weights w = found.trained.emplace_back(last_weights(o.seeds[0], config.image_units));
    std::vector<double>& errors = found.errors.emplace_back();
    for (const int64_t k : found.counts)
      errors.push_back(empirical_error(first_units(w, k), *images, model.g));
  }
  claim_images(run, s, found);
  show_images(run, *images, found);
}

void compute(Run& run, const Config& config) {
  const int64_t units = config.units, dimension = config.online.dimension;
  require(dimension > 3 * units, "truncated-sgd: the dimension must be above three times the ",
          units, " units, got ", dimension);
  const Spectrum s = Spectrum::canonical(dimension, units);
  // Early, for an error about it should come before hours of training.
  const Matrix basis = completed_basis(sinusoids(dimension, units), run.key().at("basis"));
  const Network truncated = train(run, config, s, "truncated", Rule::truncated);
  const Network vanilla = train(run, config, s, "vanilla", Rule::vanilla);
  claim_components(run, truncated, vanilla);
  claim_error(run, truncated, vanilla);
  claim_partial(run, truncated, vanilla);
  draw(run, config, truncated, vanilla, basis);
  study_images(run, config);
}

BASIN_EXPERIMENT(
    Config, compute, .name = "truncated-sgd", .paper = "shallow-online-sgd", .figure = "figure 5",
    .summary = "truncated SGD learns the principal components themselves, at the same error")

}  // namespace
}  // namespace basin::online
