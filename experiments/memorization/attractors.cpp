#include "experiments/memorization/attractors.h"

#include <algorithm>
#include <cmath>
#include <functional>

namespace basin {

std::vector<double> arrived(const std::vector<Array>& after, const Array& examples, double radius) {
  std::vector<double> within;
  for (const Array& points : after)
    within.push_back(fraction_within(nearest(points, examples), radius));
  return within;
}

void measure_attractors(Run& run, Measurements& m, const Mlp& net, const Array& x, const Array& end,
                        double radius) {
  // of the Jacobian at each training point, by falling modulus
  const std::vector<Eigenvalues> spectra =
      run.timed("spectra", [&] { return eigenvalues(net, Tensor(x)); });
  const auto n = static_cast<double>(spectra.size());
  const auto shown = std::min<size_t>(10, spectra[0].size());
  std::vector<double> radii, leading;
  double complex = 0;
  for (const Eigenvalues& found : spectra) {
    radii.push_back(std::abs(found[0]));
    complex += found[0].imag() != 0;
    for (size_t i = 0; i < shown; ++i)
      leading.insert(leading.end(), {found[i].real(), found[i].imag()});
  }
  const std::vector<int64_t> counts = basin_counts(nearest(end, x), x.dim(0), radius);
  const std::vector<double> basins(counts.begin(), counts.end());
  const auto starts = static_cast<double>(end.dim(0)),
             attracting = static_cast<double>(attractor_count(radii));
  double empty = 0;
  for (size_t i = 0; i < radii.size(); ++i) empty += radii[i] < 1 && basins[i] == 0;

  m.add("attractors", attracting / n);
  m.add("largest radius", Samples(radii).largest());
  m.add("median radius", median(radii));
  m.add("complex", complex / n);
  m.add("largest basin", Samples(basins).largest() / starts);
  m.add("unreached", attracting > 0 ? empty / attracting : 0);
  m.add("starts", starts);
  m.add("spectral radii", radii);
  m.add("basins", basins);
  m.add("eigenvalues", from_vector(leading, {x.dim(0), static_cast<int64_t>(shown), 2}));
}

void report_attractors(const CaseRows& rows) {
  rows.report("largest spectral radius at a training point", "largest eigenvalue < 1 (theorem 2)",
              "largest radius");
  rows.report("median spectral radius", "", "median radius");
  rows.report("training points whose leading eigenvalue is not real", "", "complex");
  rows.report("largest basin, as a fraction of the starts", "", "largest basin");
  rows.report("attractors whose basin holds no start", "", "unreached");
}

namespace {

constexpr int bins = 40;
constexpr double bin_width = 0.05;  // the last bin holds all that is larger

/// Fractions of all spectral radii of all seeds in each bin.
Curve histogram(const std::vector<double>& radii) {
  Curve c{.draw = Draw::bars, .width = bin_width};
  for (int b = 0; b < bins; ++b) c.x.push_back((b + 0.5) * bin_width);
  c.y.assign(bins, 0);
  for (const double radius : radii) {
    const double bin =
        std::min(radius / bin_width, bins - 1.0);  // also for a radius that is not a number
    c.y[static_cast<size_t>(bin >= 0 ? bin : bins - 1.0)] += 1 / static_cast<double>(radii.size());
  }
  return c;
}

/// Rank as a fraction of the training points against the fraction of starts, largest basin first;
/// one without a start is drawn as half a start, at the lower edge.
Curve sorted_basins(const Measurements& m) {
  std::vector<double> sizes = m.list("basins");
  std::sort(sizes.begin(), sizes.end(), std::greater<>());
  Curve c{.draw = Draw::steps};
  for (size_t i = 0; i <= sizes.size(); ++i) {
    c.x.push_back(static_cast<double>(i) / static_cast<double>(sizes.size()));
    c.y.push_back(std::max(0.5, sizes[i > 0 ? i - 1 : 0]) / m.number("starts"));
  }
  return c;
}

}  // namespace

void draw_attractors(Run& run, const Study& networks) {
  Chart chart{.name = "spectra-and-basins", .columns = 2, .panel_width = 500, .panel_height = 360};
  for (const CaseResult& network : networks) {
    Panel spectra{
        .title = network.name(),
        .x = {.label = text("spectral radius at a training point (the last bin: all above ",
                            (bins - 1) * bin_width, ")"),
              .low = 0,
              .high = bins * bin_width},
        .y = {.label = "fraction", .low = 0},
        .curves = {histogram(network.pooled("spectral radii"))},
        .uprights = {{1}}};
    Panel basins{.title = network.name(),
                 .x = {.label = "training points by falling basin (lower edge: no start)",
                       .low = 0,
                       .high = 1},
                 .y = {.label = "basin, fraction of the starts",
                       .log = true,
                       .low = 0.5 / network.seed(0).number("starts"),
                       .high = 1},
                 .key = "top right"};
    for (size_t seed = 0; seed < network.count(); ++seed) {
      Curve& c = basins.curves.emplace_back(sorted_basins(network.seed(seed)));
      c.name = text("seed ", seed);
      c.colour = seed;
    }
    chart.panels.push_back(spectra);
    chart.panels.push_back(basins);
  }
  run.draw(chart);
}

}  // namespace basin
