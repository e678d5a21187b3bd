// Paper: Refinetti and Goldt, "The dynamics of representation learning in shallow, non-linear
//   autoencoders", figure 5.
// Claim: when unit k is trained on what the units up to k leave over (truncated SGD, after Sanger),
//   an erf autoencoder learns the principal components themselves, where vanilla SGD learns a
//   rotation of them. The error at the end is the same, though it can rise for a while, and a
//   modified set of equations predicts it. So the first units alone give nearly the PCA
//   reconstruction of their rank, on images too.
// Here: K = M = 3, the paper's spectrum, eta = 1, weights of standard deviation 0.1, D = 500, t up
//   to 1000; then 9,000 Fashion-MNIST images (where they are found): D = 784, K = 64, eta = 20, t
//   up
//   to 1000 or 5000. SGD of a constant rate never comes to rest: about the components the decoders
//   go on moving by O(D^(-1/2)). A start whose first units happen to point the right way needs no
//   rise of the error: those claims are about medians.
// Expected: truncated |cos(v_k, e_k)| > .9999; others below 3e-4 in the equations, below .005
//   averaged over late times, .003 to .018 at single times, early or late (D = 500; .0025 at
//   D = 4000); vanilla below .9; error .00545 against .00533 (PCA: .0043); largest rise .005 to
//   .025 for most starts; first 1 and 2 units .152 and .044 (PCA: .151, .043), of vanilla .3 and
//   .15; images: first 1, 4, 16, 64 units 1.00, 1.00, 1.01, 1.07 times the PCA error, vanilla 1.6,
//   3.0, 4.5, 1.05 times.
// Time: on one core smoke 1 s, quick 25 s, paper 4 min.
#include <algorithm>
#include <cmath>
#include <optional>

#include "engine/image.h"
#include "experiments/online_sgd/simulation/grey_images.h"
#include "experiments/online_sgd/simulation/recorded_weights.h"
#include "experiments/online_sgd/simulation/settings.h"
#include "experiments/online_sgd/simulation/simulate_and_solve.h"
#include "experiments/online_sgd/theory/basis.h"

namespace basin {
namespace {

using namespace online;

struct Config {
  OnlineRun online = {.seeds = 12, .dimension = 1000, .points = 200};
  int64_t units = 3, images = 9000, image_units = 64;
  double image_eta = 20, image_last = 5000;

  explicit Config(Preset preset) {
    if (preset == Preset::paper) return;
    online.dimension = 500;
    image_last = 1000;
    if (preset == Preset::quick) return;
    online.seeds = 2;
    online.dimension = 100;
    online.last = 30;
    online.points = 30;
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

Model model_of(Rule rule, double eta, int64_t dimension) {
  Model model;
  model.rule = rule;
  model.rates = Rates::scaled(eta, dimension);
  return model;
}

constexpr int64_t error = 0;  // the column of error_and_weights

Trajectories train(Run& run, const Config& config, const Spectrum& all, const std::string& name,
                   Rule rule) {
  const OnlineRun& o = config.online;
  const std::vector<double> times = o.times();
  const Model model = model_of(rule, o.eta, o.dimension);
  const auto start = [&](const Key& key) { return random_weights(key, config.units, all, o.init); };
  const auto row = [&](const Weights& w, const Spectrum& s) {
    return error_and_weights(w, s, model.g);
  };
  const Trajectories paths =
      simulate_and_solve(run, {name, model, all, config.units, start, row}, o.seeds, times, times);
  run.save(name + "-simulated", paths.simulated.table(error));
  run.save(name + "-theory", paths.theory.table(error));
  return paths;
}

double least_own(const Matrix& cosines) {
  return cosines.diagonal().minCoeff();
}

double largest_other(const Matrix& cosines) {
  Matrix others = cosines;
  others.diagonal().setZero();
  return others.maxCoeff();
}

void claim_components(Run& run, int64_t units, const Trajectories& truncated,
                      const Observations& vanilla) {
  std::string words = "truncated SGD converges to the exact principal components";
  const auto claim = [&](const std::string& of, const Samples& measured, double bound,
                         const std::string& remark = "") {
    run.claim({.of = of,
               .paper = words,
               .measured = measured,
               .criterion = every_seed(below(bound)),
               .literal = !remark.empty(),
               .remark = remark});
  };
  const auto decoders = [&](const Matrix& m) {
    return decoder_cosines(last_weights(m, units), units);
  };
  const auto own = [&](const Matrix& m) { return least_own(decoders(m)); };
  const auto other = [&](const Matrix& m) { return largest_other(decoders(m)); };
  const auto settled_other = [&](const Matrix& m) {
    const Weights w = settled_weights(m, units, truncated.simulated.times);
    return largest_other(decoder_cosines(w, units));
  };
  const auto own_encoder = [&](const Matrix& m) {
    return least_own(encoder_cosines(last_weights(m, units), units, true));
  };
  const auto inside = [&](const Matrix& m) {
    return std::sqrt(decoders(m).rowwise().squaredNorm().minCoeff());
  };
  const Observations& o = truncated.simulated;
  claim("truncated: 1 - |cos(v_k, e_k)|, largest of all units", 1 - o.of(own), 0.001);
  const std::string others = "truncated: |cos(v_k, e_m)| with another component, largest, ";
  claim(others + "equations at the end", truncated.theory.of(other), 0.001);
  claim(others + "simulations, v_k averaged over the second half of the time", o.of(settled_other),
        0.01);
  claim(others + "simulations, v_k at the end", o.of(other), 0.01,
        "as large at all late times and smaller for larger D: the fluctuation of SGD, not what it "
        "fluctuates about");
  claim("truncated: 1 - |cos(w_k, e_k)| within the components' space, largest",
        1 - o.of(own_encoder), 0.005);
  words = "vanilla SGD only recovers a linear combination of them";
  claim("vanilla: |cos(v_k, e_k)|, least of all units", vanilla.of(own), 0.9);
  claim("vanilla: 1 - norm of the decoder's part in the components' space, largest",
        1 - vanilla.of(inside), 0.001);
}

/// How far the error climbs above a value that it had before.
double largest_rise(const Matrix& m) {
  double least = m(0, error), rise = 0;
  for (const double e : m.col(error)) {
    least = std::min(least, e);
    rise = std::max(rise, e - least);
  }
  return rise;
}

void claim_error(Run& run, double pca, const Trajectories& truncated, const Trajectories& vanilla) {
  const auto claim = [&](const std::string& of, const std::string& words, const Samples& measured,
                         const Criterion& criterion) {
    run.claim({.of = of, .paper = words, .measured = measured, .criterion = criterion});
  };
  const Samples ours = truncated.simulated.last(error), others = vanilla.simulated.last(error);
  claim("final error, truncated over vanilla", "truncated SGD incurs no performance penalty",
        ours / others, near(1, 0.05));
  const std::string achieve = "both autoencoders achieve the PCA error";
  const Criterion close = every_seed(between(1, 1.5));
  claim("truncated: final error over the PCA error", achieve, ours / pca, close);
  claim("vanilla: final error over the PCA error", achieve, others / pca, close);
  const std::string rise = "the error can increase temporarily with the truncated algorithm";
  claim("truncated: largest rise of the error above an earlier value", rise,
        truncated.simulated.of(largest_rise), at_least(0.003));
  claim("truncated, equations: the same", rise, truncated.theory.of(largest_rise), at_least(0.003));
  claim("vanilla, equations: the same", "vanilla SGD descends the error",
        vanilla.theory.of(largest_rise), every_seed(below(1e-6)));
}

void claim_theory(Run& run, const std::string& name, const Trajectories& paths) {
  const std::string words = "the theory captures both learning curves perfectly";
  Samples relative;
  for (size_t i = 0; i < paths.theory.seeds.size(); ++i) {
    const Vector simulated = paths.simulated.seeds[i].col(error);
    const Vector theory = paths.theory.seeds[i].col(error);
    relative.values.push_back(((simulated - theory).array().abs() / theory.array()).mean());
  }
  claim_agreement(
      run, name + ": relative distance of a simulation from the equations, mean over log time",
      words, relative, 0.02);
  claim_agreement(run, name + ": largest distance of a simulation from the equations", words,
                  distances(paths, error).largest, 0.035);
}

/// The error of the first k units alone, at the end.
double partial_error(const Matrix& m, int64_t k, int64_t units, const Spectrum& s) {
  return population_error(first_units(last_weights(m, units), k), s, Transfer("erf"));
}

void claim_partial(Run& run, int64_t units, const Spectrum& s, const Observations& truncated,
                   const Observations& vanilla) {
  for (int64_t k = 1; k < units; ++k) {
    const auto ratio = [&](const Matrix& m) {
      return partial_error(m, k, units, s) / s.pca_error(k);
    };
    const std::string rank =
        text(": error of the first ", k, " units over the PCA error of that rank");
    run.claim({.of = "truncated" + rank,
               .paper = "the partial reconstruction from truncated SGD is close to the original",
               .measured = truncated.of(ratio),
               .criterion = near(1, 0.05)});
    run.claim({.of = "vanilla" + rank,
               .paper = "the partial reconstruction of the vanilla autoencoder mixes components",
               .measured = vanilla.of(ratio),
               .criterion = at_least(1.5)});
  }
}

/// Every decoder in space (scaled to the components' norm, 1 / sqrt D left out) and the components,
/// saved as <name>.npy: rows are pixels, columns the place, the decoders, the components. Training
/// is the same in any basis, so this one is chosen afterwards.
Panel decoder_panel(Run& run, const std::string& name, const Weights& w, const Matrix& basis) {
  const int64_t d = w.modes(), units = w.units();
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
  run.save(name, table);

  Panel panel{.title = "decoders, " + name,
              .x = {.label = "pixel", .low = 0, .high = static_cast<double>(d)},
              .y = {.low = -3.4, .high = 2.6},
              .key = "bottom left"};
  for (int64_t j = 1; j <= 2 * units; ++j) {
    Curve& c = panel.curves.emplace_back();
    c.x = column(table, 0);
    c.y = column(table, j);
    if (j <= units) {
      c.name = text("v_", j);
      c.colour = static_cast<int>(j - 1);
      c.size = 2.5;
    } else {
      c.name = j == units + 1 ? "components" : "";
      c.colour = 6;
      c.draw = Draw::dashed;
    }
  }
  return panel;
}

void draw(Run& run, const Config& config, const Spectrum& s, const Trajectories& truncated,
          const Trajectories& vanilla, const Matrix& basis) {
  const int64_t units = config.units;
  Panel errors = error_panel("error: circles simulated, lines from the equations",
                             config.online.first, config.online.last, pca_levels(s, 0, units));
  errors.y.log = true;
  add_curves(errors, vanilla, error, "vanilla", 0, 1);
  add_curves(errors, truncated, error, "truncated", 1, 1);

  // Rows are k = 0 .. K units: k, the PCA error of that rank, the errors of the first k of seed 0.
  Matrix all(units + 1, 4);
  all.row(0) << 0, s.trace() / 2, s.trace() / 2, s.trace() / 2;
  const Matrix &first = truncated.simulated.seeds[0], &second = vanilla.simulated.seeds[0];
  for (int64_t k = 1; k <= units; ++k)
    all.row(k) << static_cast<double>(k), s.pca_error(k), partial_error(first, k, units, s),
        partial_error(second, k, units, s);
  const Array table = to_array(all);
  run.save("partial", table);
  Panel partial{.title = "error of the first k units",
                .x = {.label = "units k", .low = -0.2},
                .y = {.log = true},
                .key = "bottom left"};
  const std::string names[] = {"PCA of rank k", "truncated", "vanilla"};
  for (int j = 2; j >= 0; --j)
    partial.curves.push_back({.x = column(table, 0),
                              .y = column(table, 1 + j),
                              .name = names[j],
                              .colour = j == 0 ? grey : 2 - j,
                              .draw = Draw::line_points});
  const auto decoders = [&](const std::string& name, const Matrix& m) {
    return decoder_panel(run, name, last_weights(m, units), basis);
  };
  run.draw({.name = "truncated-sgd",
            .panels = {errors, partial, decoders("truncated", first), decoders("vanilla", second)},
            .panel_width = 475});
}

/// A sheet of three rows, for a few images that were not trained on, side by side: each image, and
/// behind it reconstructions of growing rank: those of PCA, of the truncated rule, of the vanilla
/// one.
void show_images(Run& run, const GreyImages& images, const std::vector<Weights>& trained,
                 const std::vector<int64_t>& counts) {
  const int64_t shown = 4, columns = 1 + static_cast<int64_t>(counts.size());
  Matrix cells = Matrix::Zero(3 * shown * columns, images.spectrum.dimension);
  int64_t at = 0;
  for (size_t row = 0; row < 3; ++row)
    for (int64_t i = 0; i < shown; ++i) {
      const Matrix x = images.others.row(i * images.others.rows() / shown);
      cells.row(at++) = x;
      for (const int64_t k : counts) {
        if (row == 0)
          cells.row(at).head(k) = x.row(0).head(k);
        else
          cells.row(at) = reconstruction(first_units(trained[row - 1], k), Transfer("erf"), x);
        ++at;
      }
    }
  run.picture("fashion-partial", image_grid(images.pixels(cells), shown * columns, 2, 2));
}

void claim_images(Run& run, const Spectrum& s, const std::vector<int64_t>& counts,
                  const std::vector<double>& truncated, const std::vector<double>& vanilla) {
  const auto claim = [&](const std::string& rule, size_t i, double value, const std::string& words,
                         const Criterion& criterion, const std::string& remark = "") {
    run.claim({.of = text("Fashion-MNIST, ", rule, ": error of the first ", counts[i],
                          " units over the PCA error of that rank"),
               .paper = words,
               .measured = value / s.pca_error(counts[i]),
               .criterion = criterion,
               .remark = remark});
  };
  const size_t last = counts.size() - 1;
  for (size_t i = 0; i < last; ++i) {
    claim("truncated", i, truncated[i],
          "the partial reconstruction from truncated SGD is close to the original image",
          near(1, 0.05));
    const std::string mixes =
        "that of the vanilla autoencoder shows traces of pants mixed with those of a sweatshirt";
    if (i > 0)
      claim("vanilla", i, vanilla[i], mixes, at_least(1.5));
    else
      claim("vanilla", i, vanilla[i], mixes, {},
            "the paper is about the first five; how near a single unit of a rotation comes to the "
            "first component is chance");
  }
  const std::string same = "the networks achieve essentially the same performance";
  run.claim({.of = "Fashion-MNIST: error of all units, truncated over vanilla",
             .paper = same,
             .measured = truncated[last] / vanilla[last],
             .criterion = near(1, 0.05)});
  claim("truncated", last, truncated[last], same, near(1, 0.15));
  claim("vanilla", last, vanilla[last], same, near(1, 0.15));
}

void study_images(Run& run, const Config& config) {
  if (config.images == 0) return;
  const std::optional<GreyImages> images = fashion_images(run.data(), config.images, 1000);
  if (!images)
    return run.say("no Fashion-MNIST in the data folder: the part on images is left out");
  const Key key = run.key().at("images");
  const Spectrum& s = images->spectrum;
  const Weights start = random_weights(key.at("start"), config.image_units, s, config.online.init);
  std::vector<int64_t> counts;
  for (int64_t k = 1; k < config.image_units; k *= 4) counts.push_back(k);
  counts.push_back(config.image_units);
  std::vector<Weights> trained;
  std::vector<std::vector<double>> errors;
  for (const Rule rule : {Rule::truncated, Rule::vanilla}) {
    const Model model = model_of(rule, config.image_eta, s.dimension);
    const Observations o = simulate(
        run, rule == Rule::truncated ? "images-truncated" : "images-vanilla", 1,
        {0, config.image_last},
        [&](int64_t) {
          return make_dataset_simulator(model, s, images->rows, start, key.at("inputs"));
        },
        [&](const Weights& w) { return error_and_weights(w, s, model.g); });
    trained.push_back(last_weights(o.seeds[0], config.image_units));
    std::vector<double>& of_rule = errors.emplace_back();
    for (const int64_t k : counts)
      of_rule.push_back(empirical_error(first_units(trained.back(), k), *images, model.g));
  }
  claim_images(run, s, counts, errors[0], errors[1]);
  show_images(run, *images, trained, counts);
}

void compute(Run& run, const Config& config) {
  const int64_t units = config.units, dimension = config.online.dimension;
  require(dimension > 3 * units, "truncated-sgd: the dimension must be above three times the ",
          units, " units, got ", dimension);
  const Spectrum s = Spectrum::canonical(dimension, units);
  // Early, for an error about it should come before hours of training.
  const Matrix basis = completed_basis(sinusoids(dimension, units), run.key().at("basis"));
  const Trajectories truncated = train(run, config, s, "truncated", Rule::truncated);
  const Trajectories vanilla = train(run, config, s, "vanilla", Rule::vanilla);
  claim_components(run, units, truncated, vanilla.simulated);
  claim_error(run, s.pca_error(units), truncated, vanilla);
  claim_theory(run, "truncated", truncated);
  claim_theory(run, "vanilla", vanilla);
  claim_partial(run, units, s, truncated.simulated, vanilla.simulated);
  draw(run, config, s, truncated, vanilla, basis);
  study_images(run, config);
}

BASIN_EXPERIMENT(
    Config, compute, .name = "truncated-sgd", .paper = "shallow-online-sgd", .figure = "figure 5",
    .summary = "truncated SGD learns the principal components themselves, at the same error")

}  // namespace
}  // namespace basin
