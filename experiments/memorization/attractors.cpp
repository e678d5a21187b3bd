#include "experiments/memorization/attractors.h"

#include <algorithm>
#include <functional>

#include "experiments/harness/plot.h"

namespace basin {

double AttractorStudy::attractors() const {
  return static_cast<double>(attractor_count(radii)) / static_cast<double>(radii.size());
}

double AttractorStudy::largest_basin() const {
  return static_cast<double>(*std::max_element(basins.begin(), basins.end())) / static_cast<double>(starts);
}

double AttractorStudy::unreached() const {
  double attracting = 0, empty = 0;
  for (size_t i = 0; i < radii.size(); ++i)
    if (radii[i] < 1) attracting += 1, empty += basins[i] == 0;
  return attracting > 0 ? empty / attracting : 0;
}

AttractorStudy study_attractors(Run& run, const std::string& stage, const Mlp& net, const Tensor& x, const Array& end,
                                double radius) {
  AttractorStudy study;
  run.timed("spectra", [&] { study.spectra = eigenvalues(net, x); });
  const int64_t n = x.array().dim(0);
  const auto count = std::min<size_t>(10, study.spectra[0].size());
  std::vector<double> leading;
  for (const Eigenvalues& found : study.spectra) {
    study.radii.push_back(std::abs(found[0]));
    for (size_t i = 0; i < count; ++i) leading.insert(leading.end(), {found[i].real(), found[i].imag()});
  }
  study.starts = end.dim(0);
  study.basins = basin_counts(nearest(end, x.array()), n, radius);
  run.save(stage + "-eigenvalues", from_vector(leading, {n, static_cast<int64_t>(count), 2}));
  run.save(stage + "-basins", from_vector(std::vector<double>(study.basins.begin(), study.basins.end()), {n}));
  return study;
}

void report_attractors(Run& run, const std::string& net, const std::vector<AttractorStudy>& seeds) {
  const auto each = [&](const std::function<double(const AttractorStudy&)>& number) {
    std::vector<double> values;
    for (const AttractorStudy& s : seeds) values.push_back(number(s));
    return values;
  };
  run.report(net + "largest spectral radius at a training point", "largest eigenvalue < 1 (theorem 2)",
             each([](const auto& s) { return *std::max_element(s.radii.begin(), s.radii.end()); }));
  run.report(net + "median spectral radius", "", each([](const auto& s) { return median(s.radii); }));
  run.report(net + "training points whose leading eigenvalue is not real", "", each([](const auto& s) {
               const auto complex = [](const Eigenvalues& found) { return found[0].imag() != 0; };
               return static_cast<double>(std::count_if(s.spectra.begin(), s.spectra.end(), complex)) /
                      static_cast<double>(s.spectra.size());
             }));
  run.report(net + "largest basin, as a fraction of the starts", "",
             each([](const auto& s) { return s.largest_basin(); }));
  run.report(net + "attractors whose basin holds no start", "", each([](const auto& s) { return s.unreached(); }));
}

namespace {

constexpr int bins = 40;
constexpr double bin_width = 0.05;  // the last bin holds all that is larger

/// Fractions of all spectral radii of all seeds in each bin, as rows (centre, fraction).
Array histogram(const std::vector<AttractorStudy>& seeds) {
  std::vector<double> rows;
  for (int b = 0; b < bins; ++b) rows.insert(rows.end(), {(b + 0.5) * bin_width, 0});
  double all = 0;
  for (const AttractorStudy& s : seeds) all += static_cast<double>(s.radii.size());
  for (const AttractorStudy& s : seeds)
    for (double radius : s.radii) {
      const double bin = std::min(radius / bin_width, bins - 1.0);  // also for a radius that is not a number
      rows[2 * static_cast<size_t>(bin >= 0 ? bin : bins - 1.0) + 1] += 1;
    }
  for (size_t row = 0; row < bins; ++row) rows[2 * row + 1] /= std::max(all, 1.0);
  return from_vector(rows, {bins, 2});
}

/// Rows (rank as a fraction of the training points, fraction of the starts), largest basin first; one without a start
/// is drawn as half a start, at the lower edge.
Array sorted_basins(const AttractorStudy& s) {
  std::vector<int64_t> sizes = s.basins;
  std::sort(sizes.begin(), sizes.end(), std::greater<>());
  const auto share = [&](int64_t size) {
    return std::max(0.5, static_cast<double>(size)) / static_cast<double>(s.starts);
  };
  std::vector<double> rows{0, share(sizes[0])};
  for (size_t i = 0; i < sizes.size(); ++i)
    rows.insert(rows.end(), {static_cast<double>(i + 1) / static_cast<double>(sizes.size()), share(sizes[i])});
  return from_vector(rows, {static_cast<int64_t>(sizes.size()) + 1, 2});
}

}  // namespace

void draw_attractors(Run& run, const std::string& name,
                     const std::vector<std::pair<std::string, std::vector<AttractorStudy>>>& networks) {
  std::string script, panels;
  for (size_t i = 0; i < networks.size(); ++i) {
    const auto& [title, seeds] = networks[i];
    script += data_block(text("radii", i), histogram(seeds));
    panels +=
        text("set title '", title, "'\nset xlabel 'spectral radius at a training point (the last bin: all above ",
             (bins - 1) * bin_width, ")'\nset ylabel 'fraction'\nunset logscale y\nset yrange [0:*]\n",
             "set xrange [0:", bins * bin_width, "]\nset arrow 1 from 1, graph 0 to 1, graph 1 nohead dt 2\nplot ",
             "$radii", i, " with boxes fs solid 0.6 lc rgb '#1f77b4' notitle\nunset arrow 1\n", "set title '", title,
             "'\nset xlabel 'training points by falling basin (lower edge: no start)'\n",
             "set ylabel 'basin, fraction of the starts'\nset logscale y\nset yrange [",
             0.5 / static_cast<double>(seeds[0].starts), ":1]\nset xrange [0:1]\nplot");
    for (size_t seed = 0; seed < seeds.size(); ++seed) {
      script += data_block(text("basins", i, "_", seed), sorted_basins(seeds[seed]));
      panels += text(seed ? ", " : " ", "$basins", i, "_", seed, " with fsteps lw 1.5 title 'seed ", seed, "'");
    }
    panels += "\n";
  }
  script +=
      text("set multiplot layout ", networks.size(), ",2\nset grid lc rgb '#dddddd'\nset boxwidth ", bin_width, "\n");
  run.plot(name, script + panels + "unset multiplot\n", 1000, 360 * static_cast<int>(networks.size()));
}

}  // namespace basin
