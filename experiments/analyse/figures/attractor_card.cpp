// Paper: none; the attractor card of any autoencoder that is read from a file.
// Claim: none; every row is reported.
// Here: starts are iterated until they rest, cycle, leave or have moved for long; fixed points are
//   solved for from the examples, from where starts came to rest and from some of the starts; what
//   still moves gets its largest Lyapunov exponent. Without a file a small network is trained on a
//   Swiss roll, so that there is something to see.
// Time: a few seconds for a small dense network.
#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <numeric>

#include "data/synthetic.h"
#include "experiments/analyse/card.h"
#include "experiments/harness/settings.h"
#include "experiments/harness/table.h"
#include "experiments/harness/training.h"

namespace basin {
namespace {

struct Config {
  std::string network, examples, from = "box";
  int64_t starts = 2000;
  double spread = 1;
  CardOptions card;

  explicit Config(Preset preset) {
    if (preset == Preset::paper) starts = 20000;
    if (preset != Preset::smoke) return;
    starts = 100;
    card.newton_starts = 20;
    card.max_iterations = 300;
  }
  template <class F>
  void each_field(F&& f) {
    f("network", network,
      "file of the network, or a folder with one; empty: a small one is trained on a Swiss roll");
    f("examples", examples,
      "file with what it was trained on (.npy or .safetensors); empty: what was measured beside "
      "it");
    f("from", from, one_of({"box", "normal"}),
      "starts: uniform in the box around the examples, or normal; without examples always normal");
    f("starts", starts, at_least(2), "starting points");
    f("spread", spread, above(0), "side of the box beside that of the examples, or deviation");
    f("max_iterations", card.max_iterations, at_least(10), "applications for each start");
    f("relative", card.relative, inside(0, 1),
      "a step shorter than this part of the scale is taken for rest, and then looked at again");
    f("same", card.same, inside(0, 1), "ends closer than this part of the scale are one");
    f("newton_starts", card.newton_starts, at_least(0),
      "starts that Newton's method begins at, beside examples and ends");
    f("newton_examples", card.newton_examples, at_least(0), "and so many of the examples");
    f("exponents", card.exponents, at_least(0),
      "starts still moving whose largest Lyapunov exponent is measured");
  }
};

/// 3-64-64-64-3 on 30 points.
Subject trained_here(Run& run) {
  const Array roll = swiss_roll(run.key().at("data"), 30, DType::f32);
  const DenseNet net{.depth = 4, .width = 64};
  Mlp mlp = net.make(run, 3, run.key().at("net"));
  const Tensor x(copy_to(roll, run.device()));
  TrainOptions options;
  options.max_steps = run.preset() == Preset::smoke ? 300 : 4000;
  options.optimizer.learning_rate = 3e-3;
  options.keep_best_after_fraction = 0.5;
  const TrainResult result = train_stage(
      run, "network", mlp, [&](const Mlp& m) { return mse(m(x), x); }, options);
  Subject subject(with_state(mlp, result.best));
  subject.name = "swiss-roll";
  subject.examples = x.array();
  return subject;
}

Array starts_of(const Run& run, const Config& config, const Subject& subject) {
  const Shape shape{config.starts, subject.d};
  const Key key = run.key().at("starts");
  if (config.from == "normal" || !subject.examples.defined())
    return normal(key, shape, subject.dtype, 0, config.spread, run.device());
  const Tensor x(subject.examples);
  const Tensor low = min(x, 0, true), high = max(x, 0, true);
  if (sum(high - low).item() == 0)  // one example, or equal ones: there is no box
    return (low + Tensor(normal(key, shape, subject.dtype, 0, config.spread, run.device())))
        .array();
  const Tensor middle = (low + high) * 0.5, half = (high - low) * (0.5 * config.spread);
  return (middle + half * Tensor(uniform(key, shape, subject.dtype, -1, 1, run.device()))).array();
}

std::string between(const Interval& interval) {
  return text("95 %: ", short_number(interval.low), " to ", short_number(interval.high));
}

void report(Run& run, const Subject& subject, const Card& card) {
  const auto row = [&](const std::string& of, double value, const std::string& remark = "") {
    run.report(of, "", value, remark);
  };
  for (size_t i = 0; i < fate_count; ++i) {
    const Share& share = card.summary.fates[i];
    row(text("starts that end as: ", name_of(static_cast<Fate>(i))), share.share,
        between(share.interval));
  }
  const int64_t starts = card.summary.starts;
  row("attractors and cycles that starts end at", static_cast<double>(card.reached),
      text(card.summary.new_in_last_half,
           " places of rest were found by the second half of the starts only; an attractor with a "
           "share above .01 would have been missed with probability ",
           short_number(missed_probability(0.01, starts))));
  row("starts at rest where nothing that attracts was solved for",
      static_cast<double>(card.unsolved) / static_cast<double>(starts));
  std::array<double, 4> kinds{};
  double proved = 0, kind_proved = 0, one = 0, residual = 0;
  for (const Found& f : card.fixed) {
    const Kind kind = kind_of(f.point);
    ++kinds[static_cast<size_t>(kind)];
    one += kind == Kind::saddle && f.point.index == 1;
    proved += f.certificate == "proved";
    kind_proved += f.kind_proved;
    residual = std::max(residual, f.point.residual);
  }
  row("fixed points solved for", static_cast<double>(card.fixed.size()),
      text("largest residual |f(x) - x| ", short_number(residual)));
  for (size_t i = 0; i < kinds.size(); ++i)
    row(text("of them: ", name_of(static_cast<Kind>(i))), kinds[i],
        static_cast<Kind>(i) == Kind::saddle ? text(one, " have one unstable direction") : "");
  row("fixed points with a certificate", proved,
      subject.dense
          ? text("for ", kind_proved,
                 " of them it proves on which side of the unit circle all eigenvalues lie")
          : "for dense networks only");
  row("cycles solved for", static_cast<double>(card.cycles.size()));
  if (card.moving.count > 0) {
    std::vector<double> largest, error;
    for (int64_t i = 0; i < card.moving.points.dim(0); ++i) {
      largest.push_back(card.moving.at(i));
      error.push_back(card.moving.error[static_cast<size_t>(i)]);
    }
    row("largest Lyapunov exponent of starts that move on", median(largest),
        text("median of ", largest.size(), "; median standard error ",
             short_number(median(error))));
  }
}

/// Near 1 the distance from there.
std::string radius_text(double radius) {
  if (std::abs(radius - 1) > 0.05) return short_number(radius);
  return text("1 ", radius < 1 ? "- " : "+ ", short_number(std::abs(radius - 1)));
}

/// A line for each fixed point, on the terminal and in result.json.
void list(Run& run, const Card& card) {
  Table table({{"fixed point", 12},
               {"share", 8},
               {"95 %", 16},
               {"radius", 10},
               {"unstable", 8},
               {"nearest example", 24},
               {"certificate", 30}});
  Json all = Json::array();
  for (size_t i = 0; i < card.fixed.size(); ++i) {
    const Found& f = card.fixed[i];
    const std::string kind = name_of(kind_of(f.point));
    const double radius = f.point.spectral_radius();
    Json leading = Json::array();
    for (size_t j = 0; j < std::min<size_t>(10, f.point.spectrum.size()); ++j)
      leading.push_back({f.point.spectrum[j].real(), f.point.spectrum[j].imag()});
    all.push_back({{"kind", kind},
                   {"share", f.share},
                   {"interval", {f.interval.low, f.interval.high}},
                   {"starts", f.starts},
                   {"unstable", f.point.index},
                   {"residual", f.point.residual},
                   {"eigenvalues", leading},
                   {"example", f.example},
                   {"distance", f.distance},
                   {"certificate", f.certificate},
                   {"kind_proved", f.kind_proved},
                   {"row_of_fixed_points", i}});
    if (i >= 20) continue;
    const std::string near =
        f.example < 0 ? "-" : text(f.example, " at ", short_number(f.distance));
    const bool counted = f.point.attracts();
    table.row(
        {kind, counted ? short_number(f.share) : "-",
         counted ? text(short_number(f.interval.low), " - ", short_number(f.interval.high)) : "-",
         radius_text(radius), text(f.point.index), near, f.certificate});
  }
  Json cycles = Json::array();
  for (const FoundCycle& c : card.cycles) {
    const double multiplier = c.point.spectral_radius();
    cycles.push_back({{"period", c.period},
                      {"share", c.share},
                      {"interval", {c.interval.low, c.interval.high}},
                      {"starts", c.starts},
                      {"unstable", c.point.index},
                      {"largest_multiplier", multiplier},
                      {"residual", c.point.residual}});
    if (cycles.size() <= 10)
      table.row({text("cycle of ", c.period), short_number(c.share),
                 text(short_number(c.interval.low), " - ", short_number(c.interval.high)),
                 radius_text(multiplier), text(c.point.index), "-", "-"});
  }
  run.result("cycles", cycles);
  run.say(table.text());
  run.say(text("fixed points shown: ", std::min<size_t>(20, card.fixed.size()), " of ",
               card.fixed.size(), "; all are in result.json and, row by row, in fixed-points.npy. ",
               "radius: largest |eigenvalue|, below 1 attracts; unstable: eigenvalues outside the "
               "unit circle; proved: exactly one fixed point in a ball around it"));
  run.result("fixed_points", all);
}

Curve circle() {
  Curve c{.name = "unit circle", .colour = grey};
  for (int i = 0; i <= 200; ++i) {
    const double angle = 2 * std::numbers::pi * i / 200;
    c.x.push_back(std::cos(angle));
    c.y.push_back(std::sin(angle));
  }
  return c;
}

/// The two coordinates in which the examples, or else the fixed points, spread most.
std::array<int64_t, 2> widest(const Array& rows) {
  std::array<int64_t, 2> best{0, 1};
  const Tensor x(cast(rows, DType::f64));
  const std::vector<double> spread =
      mean(square(x - mean(x, 0, true)), 0).array().to_vector<double>();
  const auto more = [&](size_t a, size_t b) { return spread[a] > spread[b]; };
  std::vector<size_t> order(spread.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), more);
  for (size_t i = 0; i < 2; ++i) best[i] = static_cast<int64_t>(order[i]);
  return best;
}

/// Fixed points among the examples.
Panel plane(const Subject& subject, const Card& card, const Array& points) {
  const Array& all = subject.examples.defined() ? subject.examples : points;
  const auto [i, j] = widest(all);
  const auto axis = [&](int64_t coordinate) {
    Axis result{.label = text("coordinate ", coordinate)};
    if (!subject.examples.defined()) return result;
    const auto values = column(all, coordinate);
    const auto [low, high] = std::minmax_element(values.begin(), values.end());
    const double side = *high > *low ? *high - *low : 1;
    const double margin = 0.3 * side;  // saddles may lie far outside
    result.low = *low - margin;
    result.high = *high + margin;
    return result;
  };
  Panel panel{.title = "fixed points", .x = axis(i), .y = axis(j), .key = "below"};
  if (subject.examples.defined())
    panel.curves.push_back({.x = column(all, i),
                            .y = column(all, j),
                            .name = "examples",
                            .colour = grey,
                            .draw = Draw::dots,
                            .size = 1.8});
  Curve attractors{.name = "attractors", .colour = 0, .draw = Draw::dots, .size = 0.9};
  Curve saddles{.name = "others", .colour = 1, .draw = Draw::crosses};
  const std::vector<double> x = column(points, i), y = column(points, j);
  for (size_t at = 0; at < x.size(); ++at) {
    Curve& c = card.fixed[at].point.attracts() ? attractors : saddles;
    c.x.push_back(x[at]);
    c.y.push_back(y[at]);
  }
  for (const Curve& c : {attractors, saddles})
    if (!c.x.empty()) panel.curves.push_back(c);
  return panel;
}

Panel spectra(const Card& card) {
  Curve values[2] = {{.name = "attractors", .colour = 0, .draw = Draw::dots, .size = 0.4},
                     {.name = "others", .colour = 1, .draw = Draw::dots, .size = 0.4}};
  for (const Found& f : card.fixed)
    for (size_t j = 0; j < std::min<size_t>(10, f.point.spectrum.size()); ++j) {
      Curve& c = values[f.point.attracts() ? 0 : 1];
      c.x.push_back(f.point.spectrum[j].real());
      c.y.push_back(f.point.spectrum[j].imag());
    }
  Panel panel{.title = "ten leading eigenvalues at the fixed points",
              .x = {.label = "real part"},
              .y = {.label = "imaginary part"},
              .curves = {circle()},
              .key = "below",
              .equal = true};
  for (const Curve& c : values)
    if (!c.x.empty()) panel.curves.push_back(c);
  return panel;
}

Panel shares(const Card& card) {
  Curve band{.name = "95 % interval", .colour = 5, .draw = Draw::band};
  Curve line{.name = "share of the starts", .draw = Draw::line_points};
  for (const Found& f : card.fixed) {
    if (!f.point.attracts()) continue;
    const auto rank = static_cast<double>(line.x.size() + 1);
    line.x.push_back(rank);
    line.y.push_back(f.share);
    band.x.push_back(rank);
    band.y.push_back(f.interval.low);
    band.upper.push_back(f.interval.high);
  }
  Panel panel{.title = "basins of the attractors",
              .x = {.label = "attractors by falling basin"},
              .y = {.label = "share", .low = 0},
              .key = "top right"};
  if (line.x.empty()) line = {.x = {0, 1}, .y = {0, 0}, .name = "no attractor", .colour = grey};
  if (!band.x.empty()) panel.curves.push_back(band);
  panel.curves.push_back(line);
  return panel;
}

/// Attractors by falling share, each above the nearest example, where the numbers are an image.
void draw_images(Run& run, const Subject& subject, const Card& card) {
  const auto side_of = [](int64_t pixels) {
    const auto side = static_cast<int64_t>(std::lround(std::sqrt(static_cast<double>(pixels))));
    return side * side == pixels ? side : int64_t{0};
  };
  const bool grey_image = side_of(subject.d) >= 8;
  const bool colour = subject.d % 3 == 0 && side_of(subject.d / 3) >= 8;
  if (!grey_image && !colour) return;
  const int64_t side = side_of(grey_image ? subject.d : subject.d / 3);
  std::vector<std::vector<Array>> rows(2);
  for (const Found& f : card.fixed) {
    if (!f.point.attracts() || rows[0].size() == 20) continue;
    rows[0].push_back(clamp(Tensor(f.point.point), 0, 1).array());
    rows[1].push_back(f.example < 0 ? Array()
                                    : slice(subject.examples, 0, f.example, f.example + 1));
  }
  if (rows[0].empty()) return;
  run.picture("attractors", contact_sheet(rows, {grey_image ? 1 : 3, side, side}, 2));
}

void compute(Run& run, const Config& config) {
  const bool here = config.network.empty();
  Subject subject = here ? trained_here(run) : load_subject(config.network, run.device());
  if (!here)
    subject.examples = load_examples(config.examples, config.network, subject, run.device());
  run.say(text(subject.name, ": ", subject.architecture, "; ",
               subject.examples.defined()
                   ? text(subject.examples.dim(0), " examples")
                   : text("no examples (--set examples=FILE names them): starts are normal")));
  if (!here) {
    run.data().tell("network " + subject.name, subject.parameters);
    if (subject.examples.defined()) run.data().tell("examples", {subject.examples});
  }
  const Array starts = starts_of(run, config, subject);
  CardOptions options = config.card;
  options.between = check_interrupt;
  const Card card = run.timed("card", [&] { return measure_card(subject, starts, options); });
  run.result("architecture", subject.architecture);
  run.result("scale", card.scale);
  list(run, card);
  report(run, subject, card);
  Chart chart{.name = "card", .title = subject.name};
  if (!card.fixed.empty()) {
    Tensors each;
    for (const Found& f : card.fixed) each.push_back(Tensor(f.point.point));
    const Array points = concat(each, 0).array();
    run.save("fixed-points", points);
    if (subject.d >= 2) chart.panels.push_back(plane(subject, card, points));
  }
  chart.panels.push_back(spectra(card));
  chart.panels.push_back(shares(card));
  run.draw(chart);
  draw_images(run, subject, card);
}

BASIN_EXPERIMENT(Config, compute, .name = "attractor-card", .paper = "", .figure = "any network",
                 .summary =
                     "the attractor card of a network: what starts do, fixed points that "
                     "are solved for, basins, spectra")

}  // namespace
}  // namespace basin
