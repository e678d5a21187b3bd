// Update rules and schedules against numbers of PyTorch.
#include "models/training/optimizers.h"

#include <doctest/doctest.h>
#include <cmath>
#include <map>

#include "autograd/transforms.h"
#include "engine/safetensors.h"
#include "models/nets/losses.h"
#include "models/training/control.h"
#include "tests/reference.h"

using namespace basin;

namespace {

using Values = std::vector<double>;

/// Gradient of step t (from 1) of the reference runs: [0.1 t, -0.2, cos t].
Tensor gradient_at(int t) {
  return from_vector<double>({0.1 * t, -0.2, std::cos(t)}, {3});
}

void check_run(const OptimizerConfig& config, const std::map<int, Values>& wanted) {
  const Tensors p{from_vector<double>({1, -2, 0.5}, {3})};
  Optimizer optimizer(config, p);
  for (int t = 1; t <= 10; ++t) {
    optimizer.update(p, {gradient_at(t)}, config.learning_rate);
    const auto expected = wanted.find(t);
    if (expected == wanted.end()) continue;
    const auto now = p[0].array().to_vector<double>();
    // Each step rounds a handful of times at magnitude 2 (2^-52 each), here and in the reference:
    // 10 * 10 * 4.4e-16.
    for (size_t i = 0; i < 3; ++i) CHECK(std::abs(now[i] - expected->second[i]) < 5e-14);
  }
  CHECK(optimizer.steps() == 10);
}

OptimizerConfig config(const char* name, double weight_decay = 0, double momentum = 0) {
  OptimizerConfig result = OptimizerConfig::named(name, 0.01);
  result.weight_decay = weight_decay;
  result.momentum = momentum;
  return result;
}

const Array& stored(const std::string& name) {
  return test::reference("training_torch").at(name);
}

const std::vector<std::string> net_names{"w1", "b1", "w2", "b2"};

struct NetRun {
  Values parameters, average;
};

/// 100 updates of the small network of reference/training_torch.py.
NetRun run_net(const OptimizerConfig& config, const Schedule& schedule = {}, double decay = 0.9) {
  Tensors p, average;
  for (const std::string& name : net_names) {
    p.push_back(copy_of(stored("start." + name)));
    average.push_back(copy_of(p.back().array()));
  }
  const Tensor x = stored("x.data");
  const auto loss = [&](const Tensors& in) {
    return mse(linear(tanh(linear(x, in[0], in[1])), in[2], in[3]), x);
  };
  Optimizer optimizer(config, p, net_names);
  for (int64_t t = 0; t < 100; ++t) {
    const ControlBlock control = optimizer.next_control(schedule.at(config, t), p);
    optimizer.update(p, value_and_grad_flat(loss, p).second, control);
    control.average(decay, p, average);
  }
  NetRun result;
  for (const Tensor& t : p)
    for (const double v : t.array().to_vector<double>()) result.parameters.push_back(v);
  for (const Tensor& t : average)
    for (const double v : t.array().to_vector<double>()) result.average.push_back(v);
  return result;
}

double largest_difference(const Values& got, const std::string& name) {
  const Values wanted = stored(name).to_vector<double>();
  REQUIRE(got.size() == wanted.size());
  double largest = 0;
  for (size_t i = 0; i < got.size(); ++i) largest = std::max(largest, std::abs(got[i] - wanted[i]));
  return largest;
}

}  // namespace

TEST_CASE("100 steps on a small network equal PyTorch's") {
  // A gradient here and in the reference differs by 30 roundings of terms of size 1: 30 * 2^-53.
  // SGD moves by rate / (1 - momentum) < 1 times that, so 100 steps add up to 100 * 30 * 2^-53 =
  // 3.4e-13; a curvature below 0 may let it grow by a few times: 2e-12. The others divide by the
  // root of the mean square, which here stays above 1e-2, times the rate 1e-2 or less: the same.
  constexpr double bound = 2e-12;
  OptimizerConfig c = config("sgd", 0, 0.9);
  c.learning_rate = 0.05;
  CHECK(largest_difference(run_net(config("sgd", 0, 0.9)).parameters, "rule.nesterov") > bound);
  const Schedule same;
  const auto check = [&](const char* name, const Schedule& schedule) {
    CAPTURE(name);
    CHECK(largest_difference(run_net(c, schedule).parameters, text("rule.", name)) <= bound);
  };
  c.nesterov = true;
  check("nesterov", same);
  CHECK(largest_difference(run_net(c).average, "average") <= bound);
  check("one_cycle_nesterov", Schedule::parse("one_cycle(100, 0.3, 25, 10000, 0.85, 0.95)"));
  c.weight_decay = 0.01;
  check("nesterov_decay", same);
  c.nesterov = false;
  check("momentum", same);
  c = config("rmsprop");
  c.learning_rate = 0.002;
  check("rmsprop", same);
  c = config("rmsprop", 0.01, 0.8);
  c.learning_rate = 0.001;
  c.alpha = 0.9;
  c.epsilon = 1e-6;
  check("rmsprop_momentum", same);
  c = config("adam");
  check("adam", same);
  c.learning_rate = 0.02;
  check("one_cycle_adam", Schedule::parse("one_cycle(100, 0.3, 25, 10000, 0.85, 0.95)"));
}

TEST_CASE("biases do not decay, chosen by rank or by name") {
  constexpr double bound = 2e-12;  // as above
  for (const char* name : {"adamw", "sgd"}) {
    OptimizerConfig c = config(name, 0.1);
    if (c.kind == OptimizerConfig::Kind::sgd) c.learning_rate = 0.05;
    const std::string wanted = text("rule.", name, "_groups");
    CHECK(largest_difference(run_net(c).parameters, wanted) > 1e-3);
    OptimizerConfig by_name = c;
    by_name.undecayed = {"b"};
    c.decay_from_rank = 2;
    CHECK(largest_difference(run_net(c).parameters, wanted) <= bound);
    CHECK(run_net(by_name).parameters == run_net(c).parameters);
    CHECK(c.settings().find("weight_decay 0.1 from rank 2") != std::string::npos);
    CHECK(by_name.settings().find("weight_decay 0.1 but of \"b\"") != std::string::npos);
  }
}

TEST_CASE("an average of parameters, and what an ended training leaves as it is") {
  const Tensors p{from_vector<float>({1, 2}, {2})}, average{from_vector<float>({0, 4}, {2})};
  const ControlBlock control(Device(), {});
  control.average(0.75, p, average);
  CHECK(average[0].array().to_vector<float>() == std::vector<float>{0.25, 3.5});
  Optimizer optimizer(config("rmsprop"), p);
  control.scalars().data<double>()[control_active] = 0;
  control.average(0.75, p, average);
  optimizer.update(p, {full({2}, 1, DType::f32)}, control);
  CHECK(average[0].array().to_vector<float>() == std::vector<float>{0.25, 3.5});
  CHECK(p[0].array().to_vector<float>() == std::vector<float>{1, 2});
}

TEST_CASE("Adam and AdamW follow PyTorch") {
  check_run(config("adam"), {{1, {0.9900000009999999, -1.9900000005, 0.49000000018508155}},
                             {2, {0.9803481813521252, -1.980000001, 0.48923460085209053}},
                             {10, {0.9015410917238035, -1.9000000050000003, 0.5046973629655146}}});
  check_run(config("adam", 0.1),
            {{1, {0.9900000004999999, -1.99000000025, 0.4900000001694047}},
             {2, {0.9800897048601187, -1.9800006607894254, 0.48824249246570134}},
             {10, {0.8996561566674816, -1.9000821854097538, 0.4983846081038694}}});
  check_run(config("adamw", 0.1),
            {{1, {0.9890000009999999, -1.9880000005, 0.48950000018508155}},
             {2, {0.9783591813511252, -1.9760120009995001, 0.4882451008519054}},
             {10, {0.8920238056848203, -1.8805385674945385, 0.49973100778618756}}});
  CHECK(OptimizerConfig::named("adamw", 1).weight_decay == 0.01);
}

TEST_CASE("SGD and gradient descent follow PyTorch") {
  const std::map<int, Values> plain{{1, {0.999, -1.998, 0.4945969769413186}},
                                    {2, {0.997, -1.996, 0.49875844530679003}},
                                    {10, {0.945, -1.98, 0.514174477464559}}};
  check_run(config("sgd"), plain);
  check_run(config("gradient_descent"), plain);
  check_run(config("sgd", 0, 0.9),
            {{1, {0.999, -1.998, 0.4945969769413186}},
             {2, {0.9961, -1.9942, 0.4938957245539768}},
             {10, {0.822429536481, -1.9172378807819999, 0.531892719944288}}});
  check_run(config("sgd", 0.1, 0.9),
            {{1, {0.998, -1.996, 0.4940969769413186}},
             {2, {0.993202, -1.988404, 0.4924516275770354}},
             {10, {0.7823964293008917, -1.8359162310138266, 0.5110290524123611}}});
}

TEST_CASE("functional gradient descent equals the fused one and can be differentiated") {
  const Tensors p{from_vector<double>({1, -2, 0.5}, {3})};
  const Tensors stepped = gradient_step(p, Tensors{gradient_at(1)}, 0.01);
  Optimizer optimizer(config("sgd"), p);
  optimizer.update(p, {gradient_at(1)}, 0.01);
  const auto fused = p[0].array().to_vector<double>(),
             functional = stepped[0].array().to_vector<double>();
  // fma or not: one rounding of a number below 2
  for (size_t i = 0; i < 3; ++i) CHECK(std::abs(fused[i] - functional[i]) < 5e-16);

  // Two steps on a w^2 / 2 end at w (1 - r a)^2, whose derivative by a is -2 r w (1 - r a).
  const double r = 0.1, w = 3, a = 2;
  const auto trained = [&](const Tensor& curvature) {
    Tensor x = full({1}, w, DType::f64);
    for (int i = 0; i < 2; ++i) {
      const Tensor g = grad([&](const Tensor& t) { return sum(0.5 * curvature * t * t); }, x);
      x = gradient_step(x, g, r);
    }
    return sum(x);
  };
  const auto [value, slope] = value_and_grad(trained, Tensor(full({1}, a, DType::f64)));
  CHECK(value.item() == doctest::Approx(w * 0.8 * 0.8).epsilon(1e-14));
  CHECK(slope.item() == doctest::Approx(-2 * r * w * 0.8).epsilon(1e-14));
}

TEST_CASE("updates are seen by every holder of the parameter and bump its version") {
  const Tensor p = from_vector<double>({1, 2}, {2});
  const Tensor same = p;
  const uint32_t before = p.array().storage()->version;
  Optimizer(config("sgd"), {p}).update({p}, {from_vector<double>({1, 1}, {2})}, 0.5);
  CHECK(same.array().to_vector<double>() == Values{0.5, 1.5});
  CHECK(p.array().storage()->version > before);
}

TEST_CASE("gradients that are broadcast views are understood, wrong ones refused") {
  const Tensors p{from_vector<double>({1, 2}, {2})};
  Optimizer optimizer(config("sgd"), p);
  optimizer.update(p, {broadcast_to(full({1}, 1, DType::f64), {2})}, 0.5);
  CHECK(p[0].array().to_vector<double>() == Values{0.5, 1.5});
  CHECK_THROWS_WITH_AS(optimizer.update(p, {zeros({3}, DType::f64)}, 0.5), doctest::Contains("[3]"),
                       Error);
  CHECK_THROWS_AS(optimizer.update(p, {}, 0.5), Error);
  CHECK_THROWS_WITH_AS(Optimizer(config("sgd"), {zeros({3}, DType::i32)}), doctest::Contains("i32"),
                       Error);
  CHECK_THROWS_AS(Optimizer(config("sgd"), {broadcast_to(zeros({1}, DType::f64), {3})}), Error);
  CHECK_THROWS_WITH_AS(OptimizerConfig::named("adma", 1), doctest::Contains("adma"), Error);
  CHECK_THROWS_AS(Optimizer(config("adam", -1), p), Error);
}

TEST_CASE("clipping has PyTorch's definitions") {
  const Tensors g{from_vector<double>({3, 0}, {2}), from_vector<double>({-4}, {1})};
  CHECK(gradient_norm(g) == 5);
  const Array control = full({control_size}, 1, DType::f64);
  const std::vector<View> views{g[0].array().view(), g[1].array().view()};
  const auto scale = [&](double max_norm) {
    Device().backend().training().clip(control.view(), views, max_norm);
    return control.data<double>()[control_scale];
  };
  CHECK(scale(1) == 1 / (5 + 1e-6));
  CHECK(scale(10) == 1);
  CHECK(control.data<double>()[control_active] == 1);
  fill(g[1].array(), std::nan(""));
  scale(1);
  CHECK(control.data<double>()[control_active] == 0);
  fill(g[1].array(), -4);
  const Tensors clipped = clip_by_value(g, 3.5);
  CHECK(clipped[0].array().to_vector<double>() == Values{3, 0});
  CHECK(clipped[1].array().to_vector<double>() == Values{-3.5});
  // The factor acts before weight decay, as clip_grad_norm_ before optimizer.step().
  const Tensors p{from_vector<double>({2}, {1})};
  Optimizer(config("sgd", 0.5), p).update(p, {full({1}, 4, DType::f64)}, 0.25, 0.5);
  CHECK(p[0].item() == 2 - 0.25 * (4 * 0.5 + 0.5 * 2));
}

TEST_CASE("schedules have PyTorch's definitions") {
  const auto rate = [](const char* name, int64_t t) { return Schedule::parse(name).rate(0.1, t); };
  CHECK(rate("constant", 1000) == 0.1);
  CHECK(rate("step(10, 0.5)", 9) == 0.1);
  CHECK(rate("step(10, 0.5)", 10) == 0.05);
  CHECK(rate("step(10, 0.5)", 35) == 0.1 * 0.125);
  CHECK(rate("linear(1, 0.2, 100)", 0) == 0.1);
  CHECK(rate("linear(1, 0.2, 100)", 25) == doctest::Approx(0.08).epsilon(1e-15));
  CHECK(rate("linear(1, 0.2, 100)", 500) == doctest::Approx(0.02).epsilon(1e-15));
  CHECK(rate("cosine(100, 0.02)", 0) == doctest::Approx(0.1).epsilon(1e-15));
  CHECK(rate("cosine(100, 0.02)", 25) ==
        doctest::Approx(0.02 + 0.04 * (1 + std::sqrt(0.5))).epsilon(1e-15));
  CHECK(rate("cosine(100)", 50) == doctest::Approx(0.05).epsilon(1e-15));
  CHECK(rate("cosine(100, 0.02)", 100) == doctest::Approx(0.02).epsilon(1e-15));
  for (const char* whole :
       {"constant", "step(10, 0.5)", "linear(1, 0.2, 100)", "cosine(100, 0.02)"})
    CHECK(Schedule::parse(whole).to_text() == whole);
  CHECK(Schedule::parse("cosine(100)").to_text() == "cosine(100, 0)");
  CHECK_THROWS_WITH_AS(Schedule::parse("cosnie(3)"), doctest::Contains("cosnie"), Error);
  CHECK_THROWS_AS(Schedule::parse("step(10)"), Error);
  CHECK_THROWS_AS(Schedule::parse("cosine(0)"), Error);
}

TEST_CASE("one cycle and warm-up follow PyTorch, and hold their last value") {
  const auto check = [](const char* name, const char* schedule, int64_t last) {
    CAPTURE(schedule);
    const Schedule s = Schedule::parse(schedule);
    OptimizerConfig c = config("sgd", 0, 0.9);
    c.learning_rate = 0.1;
    const Values wanted = stored(text("schedule.", name)).to_vector<double>();
    for (int64_t t = 0; t < 120; ++t) {
      // PyTorch's cosine is a product over the steps, each of which rounds a few times
      const auto i = static_cast<size_t>(std::min(t, last));
      const UpdateRate now = s.at(c, t);
      CHECK(std::abs(now.rate - wanted[i]) <= 120 * 4 * 0x1p-53 * 0.1);
      CHECK(std::abs(now.momentum - wanted[120 + i]) <= 16 * 0x1p-53);
    }
    CHECK(Schedule::parse(s.to_text()).to_text() == s.to_text());
  };
  check("one_cycle", "one_cycle(100, 0.3, 25, 10000, 0.85, 0.95)", 99);
  check("one_cycle_plain", "one_cycle(90, 0.4, 10, 100)", 89);
  check("warmup_cosine", "warmup(20, 0.25, cosine(100, 0.001))", 119);
  check("warmup_step", "warmup(10, 0.5, step(30, 0.5))", 119);
  CHECK(Schedule::parse("one_cycle(100)").to_text() == "one_cycle(100, 0.3, 25, 10000)");
  CHECK(Schedule::parse("warmup(5, 0, constant)").rate(2, 4) == 1.6);
  CHECK(Schedule::parse("warmup(5, 0, constant)").rate(2, 5) == 2);
  CHECK(Schedule::parse("one_cycle(1, 1)").rate(2, 0) == 2);
  CHECK(Schedule::parse("one_cycle(1, 0)").rate(2, 7) == 2 / 25.0 / 1e4);
  for (const char* bad :
       {"one_cycle", "one_cycle(0)", "one_cycle(9, 2)", "one_cycle(9, 0.3, 0)",
        "one_cycle(9, 0.3, 25, 10, 0.9)", "one_cycle(9, 0.3, 25, 10, 0.9, 0.8)",
        "one_cycle(9, 0.3, 25, 10, 0.9, 1)", "warmup(5, 0)", "warmup(0, 0, constant)",
        "warmup(5, -1, constant)", "warmup(5, 0, warmup(5, 0, constant))",
        "warmup(5, 0, cosine(0))", "warmup(5, x, constant)"})
    CHECK_THROWS_WITH_AS(Schedule::parse(bad), doctest::Contains("schedule"), Error);
}
