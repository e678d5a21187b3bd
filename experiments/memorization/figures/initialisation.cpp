// Radhakrishnan, Yang, Belkin, Uhler, "Memorization in Overparameterized Autoencoders", figure 12
// and appendix I.2. Claim: Kaiming initialisation gives a convolutional autoencoder a larger output
// before training than Xavier or PyTorch's default, and after training on one image it answers
// arbitrary inputs with a noisier version of that image. Expected: output norm 29 times Xavier's
// (without biases exactly the product of the layers' ratios of scale); what points away from the
// image's direction in the output is 2 to 6 times as large. The paper's network is lost, so its
// norms (Xavier .0087 and .0079, Kaiming 9.67 and 17.64) compare by order only. Noise is measured
// by direction, because without biases the length of the output follows that of the input. The norm
// before training alone does not decide: PyTorch's default with its random biases starts at 1 and
// remembers as well as Xavier. The paper preset (CIFAR-10, 128 channels) was run in part only: one
// seed without biases gave norms .11 and .062 (Xavier), 12 and 6.6 (Kaiming), and residuals 4 times
// as large for other images but not always larger for noise. Run time on one core: smoke 1 s, quick
// 30 s, paper 20 min.
#include <algorithm>
#include <cmath>

#include "engine/image.h"
#include "experiments/harness/plot.h"
#include "experiments/harness/table.h"
#include "experiments/harness/training.h"
#include "experiments/memorization/images.h"
#include "experiments/memorization/networks.h"
#include "models/nets/losses.h"

namespace basin {
namespace {

struct Config {
  int64_t seeds = 3, side = 32, filters = 128, inputs = 100, steps = 3000, columns = 4;
  double rate = 1e-3;
  std::string images = "cifar", activation = "leaky_relu";

  explicit Config(Preset preset) {
    if (preset == Preset::paper) return;
    side = 16, filters = 32, images = "textures";
    if (preset == Preset::quick) return;
    seeds = 1, filters = 8, inputs = 10, steps = 40;
  }
  template <class F>
  void each_field(F&& f) {
    f("seeds", seeds, "independent choices of the image, the inputs and the weights");
    f("images", images, "\"textures\" (made from the seed) or \"cifar\" (CIFAR-10 test images)");
    f("side", side, "pixels along a side, a power of 2; for cifar 16 or 32");
    f("filters", filters, "channels in every layer");
    f("activation", activation, "after every layer but the last; any of kernels/ops.def");
    f("inputs", inputs, "inputs of each kind: Gaussian noise, other images");
    f("steps", steps, "Adam steps");
    f("rate", rate, "Adam's constant rate");
    f("columns", columns, "inputs of each kind in the picture");
  }
};

/// Initialisers of weights, and what the paper's figure says of each. Biases, where there are any,
/// start at zero, but for PyTorch's default.
struct Start {
  std::string name, init, paper;
};
const std::vector<Start> starts{
    {"default", "torch_default", "smaller than Kaiming"},
    {"Xavier uniform", "xavier_uniform zero_bias", "Output Norm: .0087"},
    {"Xavier normal", "xavier_normal zero_bias", "Output Norm: .0079"},
    {"Kaiming uniform", "kaiming_uniform zero_bias", "Output Norm: 9.67"},
    {"Kaiming normal", "kaiming_normal zero_bias", "Output Norm: 17.64"},
};
constexpr size_t xavier = 1, kaiming = 3;  // each followed by its normal variant

struct Inputs {
  Array image, noise, others;  // [1, d], [inputs, d], [inputs, d]
};

/// Of one network; `noise` and `others` are medians over the inputs of the part of the output
/// across the image.
struct Measured {
  double norm = 0, loss = 0, noise = 0, others = 0;
};
using Number = double Measured::*;
using Table5 = std::vector<std::vector<Measured>>;  // [initialiser][seed]

std::vector<double> numbers(const Array& rows) {
  return cast(copy_to(rows, {}), DType::f64).to_vector<double>();
}

double dot(const double* a, const double* b, size_t d) {
  double sum = 0;
  for (size_t i = 0; i < d; ++i) sum += a[i] * b[i];
  return sum;
}

/// Median over the rows y [N, d] of |y - (y.u) u| / |y|, u being the image's direction; an output
/// of zero counts as 1.
double residual(const Array& outputs, const Array& image) {
  const std::vector<double> y = numbers(outputs), u = numbers(image);
  const size_t d = u.size();
  const double length = std::sqrt(dot(u.data(), u.data(), d));
  std::vector<double> all;
  for (const double* row = y.data(); row != y.data() + y.size(); row += d) {
    const double along = dot(row, u.data(), d) / length, whole = dot(row, row, d);
    double across = 0;  // summed as such: the difference of squares would lose digits
    for (size_t i = 0; i < d; ++i) across += std::pow(row[i] - along * u[i] / length, 2);
    all.push_back(whole > 0 ? std::sqrt(across / whole) : 1);
  }
  return median(all);
}

Array first_rows(const Array& rows, int64_t n) {
  return contiguous(slice(rows, 0, 0, std::min(n, rows.dim(0))));
}

/// The outputs that the picture shows of one network, [2 * columns, d].
Tensor shown(const Config& config, const ConvNet& net, const Inputs& in) {
  return concat(Tensors{net(Tensor(first_rows(in.noise, config.columns))),
                        net(Tensor(first_rows(in.others, config.columns)))},
                0);
}

Inputs choose(Run& run, const Config& config, int64_t seed) {
  const Key data = run.key().at("data").at(static_cast<uint64_t>(seed));
  const ImageSets sets =
      choose_images(run, config.images, data.at("images"), 1, config.inputs, config.side);
  return {sets.images,
          normal(data.at("noise"), sets.others.shape(), DType::f32, 0, 1, run.device()),
          sets.others};
}

Measured measure(Run& run, const Config& config, const Start& start, bool bias, int64_t seed,
                 const Inputs& in, Tensors& picture) {
  ConvNetConfig shape;
  shape.image = {3, config.side, config.side};
  shape.stages = down_to_one(shape.image, config.filters);
  shape.activation = parse_activation(config.activation);
  shape.bias = bias;
  shape.init = Initializer::parse(start.init);
  shape.device = run.device();
  ConvNet net = make_conv_net(
      shape, run.key().at("net").at(static_cast<uint64_t>(seed)).at(start.name).at(bias ? 1 : 0));
  const Tensor x(in.image);
  const std::vector<double> before = numbers(net(x).array());
  Measured m;
  m.norm = std::sqrt(dot(before.data(), before.data(), before.size()));

  TrainOptions options;
  options.max_steps = config.steps;
  options.optimizer = OptimizerConfig::named("adam", config.rate);
  std::string stage = start.name + (bias ? "-bias" : "-no-bias") + "-seed" + std::to_string(seed);
  std::replace(stage.begin(), stage.end(), ' ', '-');
  m.loss = train_stage(
               run, stage, net, [&](const ConvNet& f) { return mse(f(x), x); }, options)
               .loss;
  m.noise = residual(net(Tensor(in.noise)).array(), in.image);
  m.others = residual(net(Tensor(in.others)).array(), in.image);
  if (bias && seed == 0) picture.push_back(shown(config, net, in));
  run.say(text(stage, ": output norm before ", short_number(m.norm), ", loss ",
               short_number(m.loss), ", residual: noise ", short_number(m.noise), ", other images ",
               short_number(m.others)));
  run.result(stage, {{"output_norm_before", m.norm},
                     {"loss", m.loss},
                     {"residual_noise", m.noise},
                     {"residual_other_images", m.others}});
  return m;
}

/// First row: the training image, a gap, the inputs. Then a row of outputs for each initialiser.
void draw_outputs(Run& run, const Config& config, const Inputs& in, const Tensors& outputs) {
  const Tensor gap(full(in.image.shape(), 1, DType::f32, run.device()));  // white, as the sheet
  const int64_t n = std::min(config.columns, config.inputs);
  Tensors cells{Tensor(in.image), gap, Tensor(first_rows(in.noise, n)),
                Tensor(first_rows(in.others, n))};
  for (const Tensor& row : outputs) cells.insert(cells.end(), {gap, gap, row});
  const Array grid =
      reshape(copy_to(concat(cells, 0).array(), {}), {-1, 3, config.side, config.side});
  run.picture("outputs", image_grid(grid, 2 * n + 2, 2, 4));
}

/// Residual over output norm, one point for each network, colours for initialisers; circles have
/// biases.
void draw_residuals(Run& run, const std::array<Table5, 2>& all) {
  const std::vector<std::string> colours{"#555555", "#1f77b4", "#17becf", "#d62728", "#ff7f0e"};
  std::string script;
  for (size_t bias = 0; bias < 2; ++bias)
    for (size_t s = 0; s < starts.size(); ++s) {
      std::vector<double> rows;
      for (const Measured& m : all[bias][s]) rows.insert(rows.end(), {m.norm, m.noise, m.others});
      script += data_block(text("d", bias, s),
                           from_vector(rows, {static_cast<int64_t>(rows.size()) / 3, 3}));
    }
  script +=
      "set multiplot layout 1,2\nset logscale xy\nset format '%g'\nset xlabel 'norm of the output "
      "before training'\n"
      "set ylabel 'residual'\nset key bottom right\n";
  for (int panel = 0; panel < 2; ++panel) {
    script += text("set title '", panel ? "fed other images" : "fed Gaussian noise", "'\nplot ");
    for (size_t bias = 0; bias < 2; ++bias)
      for (size_t s = 0; s < starts.size(); ++s)
        script += text(bias + s ? ", " : "", "$d", bias, s, " using 1:", panel + 2,
                       " with points pt ", bias ? 7 : 2, " ps 1.4 lc rgb '", colours[s],
                       "' title '", bias ? starts[s].name : "", "'");
    script += "\n";
  }
  run.plot("residuals", script + "unset multiplot\n", 1200, 520);
}

Samples over(const std::vector<Measured>& all, Number number) {
  std::vector<double> values;
  for (const Measured& m : all) values.push_back(m.*number);
  return values;
}

/// Kaiming over Xavier, for each seed and both distributions.
Samples ratios(const Table5& all, Number number) {
  std::vector<double> values;
  for (size_t kind = 0; kind < 2; ++kind)
    for (size_t seed = 0; seed < all[xavier + kind].size(); ++seed)
      values.push_back(all[kaiming + kind][seed].*number / (all[xavier + kind][seed].*number));
  return values;
}

void claims(Run& run, const std::array<Table5, 2>& all) {
  for (size_t bias = 0; bias < 2; ++bias) {
    const std::string with = bias ? "with biases: " : "no biases: ", ratio = "Kaiming / Xavier, ";
    run.claim_at_least(with + ratio + "norm of the output before training",
                       "Kaiming ... leads to an output with a larger l2 norm (9.67 and 17.64, "
                       "Xavier .0087 and .0079)",
                       ratios(all[bias], &Measured::norm), 8);
    run.claim_at_least(with + ratio + "residual of outputs for Gaussian noise",
                       "noisy versions of the training examples when fed arbitrary inputs",
                       ratios(all[bias], &Measured::noise), 1.7);
    run.claim_at_least(with + ratio + "residual of outputs for other images",
                       "noisy versions of the training examples when fed arbitrary inputs",
                       ratios(all[bias], &Measured::others), 2);
  }
  const std::string lost = "the paper's network is lost: only order and rough size compare";
  for (size_t s = 0; s < starts.size(); ++s)
    run.report("no biases: " + starts[s].name + ": norm of the output before training",
               starts[s].paper, over(all[0][s], &Measured::norm), s == xavier ? lost : "");
  for (size_t s = 0; s < starts.size(); ++s)
    run.report("no biases: " + starts[s].name + ": residual for Gaussian noise",
               "(judged by eye in the paper)", over(all[0][s], &Measured::noise));
}

void compute(Run& run, const Config& config) {
  require(config.seeds > 0 && config.filters > 0 && config.inputs > 0 && config.columns > 0,
          "initialisation: seeds, filters, inputs and columns must be positive");
  std::array<Table5, 2> all{Table5(starts.size()),
                            Table5(starts.size())};  // without and with biases
  for (int64_t seed = 0; seed < config.seeds; ++seed) {
    const Inputs in = choose(run, config, seed);
    Tensors picture;
    for (size_t bias = 0; bias < 2; ++bias)
      for (size_t s = 0; s < starts.size(); ++s)
        all[bias][s].push_back(measure(run, config, starts[s], bias == 1, seed, in, picture));
    if (seed == 0) draw_outputs(run, config, in, picture);
  }
  draw_residuals(run, all);
  claims(run, all);
}

BASIN_EXPERIMENT(
    Config, compute, .name = "initialisation", .paper = "memorization", .figure = "figure 12",
    .summary =
        "the larger the weights at the start, the noisier an autoencoder remembers its image")

}  // namespace
}  // namespace basin
