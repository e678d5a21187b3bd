// On the device of the run. Losses against PyTorch (reference/training_torch.py), in their tails,
// their derivatives to order 2, and what they refuse.
#include "models/nets/losses.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "autograd/transforms.h"
#include "engine/recorded_step.h"
#include "engine/safetensors.h"
#include "models/nets/layers.h"
#include "tests/device.h"
#include "tests/reference.h"

using namespace basin;

namespace {

using Values = std::vector<double>;
constexpr double inf = std::numeric_limits<double>::infinity(),
                 no_number = std::numeric_limits<double>::quiet_NaN();

Tensor stored(const std::string& name) {
  return copy_to(Tensor(test::reference("training_torch").at(name)), test_device());
}

Values values_of(const Tensor& t) {
  return copy_to(cast(contiguous(t.array()), DType::f64), Device()).to_vector<double>();
}

Tensor vector(const Values& values, DType dtype = DType::f64) {
  const Shape shape{static_cast<int64_t>(values.size())};
  return cast(Tensor(from_vector(values, shape, test_device())), dtype);
}

/// Rows 0, 4 and 5 of the logits: those that hold no infinity.
Tensor finite_rows(const Tensor& x) {
  return gather(x, from_vector<int32_t>({0, 4, 5}, {3}, test_device()));
}

/// Within so many units in the last place of the larger of 1 and what is wanted: PyTorch and we
/// round a handful of times.
void check_near(const Tensor& got, const Tensor& wanted, double units = 16) {
  const Values a = values_of(got), b = values_of(wanted);
  REQUIRE(a.size() == b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    CAPTURE(i);
    const bool near = std::abs(a[i] - b[i]) <= units * 0x1p-53 * std::max(1.0, std::abs(b[i]));
    CHECK((a[i] == b[i] || near));
  }
}

/// The value, and the gradient by each input.
void check_reference(const std::string& name, const Function& f, const Tensors& inputs) {
  CAPTURE(name);
  const auto [value, gradients] = value_and_grad_flat(f, inputs);
  check_near(value, stored(name));
  for (size_t i = 0; i < inputs.size(); ++i)
    check_near(gradients[i],
               stored(name + ".grad" + (inputs.size() > 1 ? text(".", i) : std::string())));
}

std::string message_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    CHECK(error.exit_code() == 2);
    return error.what();
  }
  return "no error";
}

void check_refused(const std::string& part, const std::function<void()>& f) {
  const std::string message = message_of(f);
  CAPTURE(message);
  CHECK(message.find(part) != std::string::npos);
}

RowMap small_encoder(const Tensor& w1, const Tensor& w2) {
  return [=](const Tensor& x) { return linear(tanh(linear(x, w1, {})), w2, {}, {Unary::sigmoid}); };
}

Tensor drawn(uint64_t key, const Shape& shape) {
  return normal(Key(key), shape, DType::f64, 0, 1, test_device());
}

}  // namespace

TEST_CASE("log_softmax, cross-entropy and binary cross-entropy follow PyTorch") {
  const Tensor logits = stored("logits");
  const Array labels = stored("labels").array();
  check_near(log_softmax(logits, 1), stored("log_softmax.all"));
  check_reference("cross_entropy.0",
                  [&](const Tensors& in) { return cross_entropy(in[0], labels); }, {logits});
  const Array some = gather(Tensor(labels), from_vector<int32_t>({0, 4, 5}, {3}, test_device()));
  check_reference("cross_entropy.0.1",
                  [&](const Tensors& in) { return cross_entropy(in[0], some, 0.1); },
                  {finite_rows(logits)});
  const Tensor soft = stored("soft.t");
  check_reference("soft", [&](const Tensors& in) { return cross_entropy(in[0], soft); },
                  {finite_rows(logits)});
  // labels and their rows of zeros and ones are the same targets
  CHECK(cross_entropy(logits, one_hot(labels, 5, DType::f64)).item() ==
        cross_entropy(logits, labels).item());

  const Tensor x = stored("bce.x"), t = stored("bce.t"), each = stored("bce");
  for (int64_t i = 0; i < x.size(); ++i)
    check_near(binary_cross_entropy(slice(x, 0, i, i + 1), slice(t, 0, i, i + 1)),
               slice(each, 0, i, i + 1));
  const Tensor first = slice(stored("bce.mean.grad"), 0, 0, 8);
  check_near(grad([&](const Tensor& in) { return binary_cross_entropy(in, slice(t, 0, 0, 8)); },
                  slice(x, 0, 0, 8)),
             first);
}

TEST_CASE("l1, the KL of a Gaussian code and the sparse KL follow PyTorch") {
  const Tensor a = stored("a"), b = stored("b");
  check_reference("l1", [](const Tensors& in) { return l1(in[0], in[1]); }, {a, b});
  check_reference("kl", [](const Tensors& in) { return gaussian_kl(in[0], in[1]); }, {a, b});
  check_reference("sparse", [](const Tensors& in) { return sparse_kl(sigmoid(in[0]), 0.05); }, {a});
}

TEST_CASE("losses keep their digits in the tails, in f32 too") {
  for (const DType dtype : {DType::f32, DType::f64}) {
    const double unit = dtype == DType::f32 ? 0x1p-24 : 0x1p-53;
    const auto near = [&](double got, double wanted) {
      CAPTURE(wanted);
      CHECK(std::abs(got - wanted) <= 8 * unit * std::abs(wanted));
    };
    const auto bce = [&](double x, double t) {
      return binary_cross_entropy(vector({x}, dtype), vector({t}, dtype)).item();
    };
    near(bce(50, 1), std::exp(-50.0));
    near(bce(-50, 0), std::exp(-50.0));
    CHECK(bce(1e30, 1) == 0);
    CHECK(bce(-1e30, 0) == 0);
    const auto slope = [&](double x, double t) {
      return grad([&](const Tensor& in) { return binary_cross_entropy(in, vector({t}, dtype)); },
                  vector({x}, dtype))
          .item();
    };
    near(slope(50, 1), -std::exp(-50.0));
    near(slope(-50, 0), std::exp(-50.0));
    CHECK(slope(0, 1) == -0.5);
    CHECK(slope(0, 0) == 0.5);
    const Tensor sure = reshape(vector({50, 0}, dtype), {1, 2});
    near(cross_entropy(sure, from_vector<int32_t>({0}, {1}, test_device())).item(),
         std::exp(-50.0));
    // The derivative by the variance of a code that is nearly the prior.
    const Tensor zero = vector({0}, dtype), small = vector({0x1p-12}, dtype);
    near(grad([&](const Tensor& v) { return gaussian_kl(zero, v); }, small).item(),
         std::expm1(0x1p-12) / 2);
    // sparse_kl: terms rho log1p(d / rho) of size d = 2^-10, not of size 1; 0 at rho itself
    CHECK(sparse_kl(vector({0.25}, dtype), 0.25).item() == 0);
    const double d = 0x1p-10;
    CHECK(std::abs(sparse_kl(vector({0.25 + d}, dtype), 0.25).item() -
                   (-0.25 * std::log1p(d / 0.25) - 0.75 * std::log1p(-d / 0.75))) <= 8 * unit * d);
    CHECK(sparse_kl(vector({0}, dtype), 0.25).item() == inf);
    CHECK(sparse_kl(vector({1}, dtype), 0.25).item() == inf);
  }
  // a row that one class alone can have; the other class has no slope
  const Tensor out = reshape(vector({-inf, 3}), {1, 2});
  const auto loss = [](const Tensor& x) {
    return cross_entropy(x, from_vector<int32_t>({1}, {1}, test_device()));
  };
  CHECK(loss(out).item() == 0);
  CHECK(values_of(grad(loss, out)) == Values{0, 0});
}

TEST_CASE("every loss: gradient against forward mode and central differences, to order 2") {
  const Tensor x = drawn(1, {4, 3}), y = drawn(2, {4, 3}), w1 = drawn(3, {5, 3}) * 0.5,
               w2 = drawn(4, {2, 5}) * 0.5;
  const Array labels = from_vector<uint8_t>({2, 0, 1, 1}, {4}, test_device());
  const Tensor mask = reshape(vector({1, 0, 1, 1}), {4});
  const Tensor probes = drawn(5, {3, 4, 2});
  struct Case {
    const char* name;
    Function f;
    Tensors at;
  };
  const std::vector<Case> cases{
      {"l1", [](const Tensors& in) { return l1(in[0], in[1]); }, {x, y}},
      {"masked_mse", [=](const Tensors& in) { return masked_mse(in[0], in[1], mask); }, {x, y}},
      {"masked_mean", [=](const Tensors& in) { return masked_mean(exp(in[0]), mask); }, {x}},
      {"cross_entropy", [=](const Tensors& in) { return cross_entropy(in[0], labels, 0.1); }, {x}},
      {"of probabilities",
       [=](const Tensors& in) { return cross_entropy(in[0], softmax(in[1], -1)); },
       {x, y}},
      {"binary",
       [](const Tensors& in) { return binary_cross_entropy(in[0], sigmoid(in[1])); },
       {x, y}},
      {"gaussian_kl", [](const Tensors& in) { return gaussian_kl(in[0], in[1]); }, {x, y}},
      {"sparse_kl", [](const Tensors& in) { return sparse_kl(sigmoid(in[0]), 0.1); }, {x}},
      {"contractive",
       [=](const Tensors& in) { return contractive(small_encoder(in[0], in[1]), x); },
       {w1, w2}},
      {"contractive, by x too",
       [=](const Tensors& in) { return contractive(small_encoder(w1, w2), in[0]); },
       {x}},
      {"contractive, probes",
       [=](const Tensors& in) { return contractive(small_encoder(in[0], in[1]), x, probes); },
       {w1, w2}},
      {"contractive, key",
       [=](const Tensors& in) { return contractive(small_encoder(in[0], in[1]), x, Key(6), 2); },
       {w1, w2}}};
  const auto dot = [](const Tensors& a, const Tensors& b) {
    double total = 0;
    for (size_t i = 0; i < a.size(); ++i) total += sum(a[i] * b[i]).item();
    return total;
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    Tensors v;
    for (size_t i = 0; i < c.at.size(); ++i) v.push_back(drawn(20 + i, c.at[i].shape()));
    const auto moved = [&](double h) {
      Tensors at;
      for (size_t i = 0; i < v.size(); ++i) at.push_back(c.at[i] + v[i] * h);
      return at;
    };
    const auto gradient = [&](const Tensors& at) { return value_and_grad_flat(c.f, at).second; };
    // Central differences: h^2 |f'''| / 6 with third derivatives up to 100, and 2^-52 |f| / h with
    // |f| up to 10: below 4e-9. Forward and reverse are the same sums in another order.
    const double h = 1e-5, bound = 4e-9;
    const double first = dot(gradient(c.at), v);
    const double numeric = (c.f(moved(h)).item() - c.f(moved(-h)).item()) / (2 * h);
    CHECK(std::abs(first - numeric) <= bound * (1 + std::abs(first)));
    CHECK(std::abs(first - jvp_flat(c.f, c.at, v).second.item()) <= 1e-12 * (1 + std::abs(first)));
    const Tensors second = jvp_many(gradient, c.at, v).second, high = gradient(moved(h)),
                  low = gradient(moved(-h));
    for (size_t i = 0; i < second.size(); ++i) {
      const Values got = values_of(second[i]), wanted = values_of((high[i] - low[i]) / (2 * h));
      for (size_t j = 0; j < got.size(); ++j)
        CHECK(std::abs(got[j] - wanted[j]) <= bound * (1 + std::abs(got[j])));
    }
  }
}

TEST_CASE("a mask leaves out what it says, whatever stands there") {
  const Tensor x = reshape(vector({1, 2, 3, 4, 5, no_number, 7, inf}), {2, 2, 2});
  const Tensor y = zeros_like(x), patches = reshape(vector({1, 2, 0, 0}), {2, 2});
  CHECK(masked_mean(x, patches).item() == 2.5);
  CHECK(masked_mse(x, y, patches).item() == 7.5);
  CHECK(values_of(grad([&](const Tensor& t) { return masked_mse(t, y, patches); }, x)) ==
        Values{0.5, 1, 1.5, 2, 0, 0, 0, 0});
  const Tensor elements = reshape(vector({1, 0, 1, 0, 1, 0, 1, 0}), {2, 2, 2});
  CHECK(masked_mean(x, elements).item() == 4);
  CHECK(masked_mean(x, vector({1, 0})).item() == 2.5);
  check_refused("masked_mean: the mask", [&] { (void)masked_mean(x, vector({0, 0})); });
  check_refused("keeps nothing", [&] { (void)masked_mse(x, y, zeros_like(x)); });
  check_refused("keeps nothing", [] {
    const Tensor none = zeros({0, 3}, DType::f64, test_device());
    (void)masked_mean(none, none);
  });
  check_refused("first axes", [&] { (void)masked_mean(x, vector({1, 1, 1})); });
  check_refused("first axes", [&] { (void)masked_mean(vector({1}), x); });
}

TEST_CASE("labels: one_hot, accuracy, and the label that is none") {
  const Device device = test_device();
  const Array labels = from_vector<int32_t>({2, 0, 1}, {3}, device);
  CHECK(values_of(one_hot(labels, 3, DType::f32)) == Values{0, 0, 1, 1, 0, 0, 0, 1, 0});
  const Tensor logits = reshape(vector({1, 2, 3, 5, 4, 5, 0, 0, 1}), {3, 3});
  CHECK(accuracy(logits, labels) == 2.0 / 3);  // of the tie the first
  const Array wrong = from_vector<int32_t>({2, 0, 3}, {3}, device),
              negative = from_vector<int32_t>({-1, 0, 2}, {3}, device);
  check_refused("cross_entropy: label 3 at place 2 of i32[3]",
                [&] { (void)cross_entropy(logits, wrong); });
  check_refused("is none of 3 classes, 0 to 2", [&] { (void)cross_entropy(logits, wrong); });
  check_refused("one_hot: label -1 at place 0", [&] { (void)one_hot(negative, 3, DType::f32); });
  check_refused("accuracy: label 3", [&] { (void)accuracy(logits, wrong); });
  check_refused("fit logits f64[3, 3]", [&] {
    (void)cross_entropy(logits, from_vector<int32_t>({0, 1}, {2}, test_device()));
  });
  check_refused("labels are integers", [&] { (void)one_hot(logits, 3, DType::f32); });
  check_refused("smoothing 2", [&] { (void)cross_entropy(logits, labels, 2); });
  check_refused("needs logits", [] {
    (void)cross_entropy(zeros({0, 3}, DType::f64, test_device()),
                        zeros({0}, DType::i32, test_device()));
  });
  check_refused("shapes differ", [&] { (void)l1(logits, vector({1})); });
  check_refused("shapes differ", [&] { (void)gaussian_kl(logits, vector({1})); });
  check_refused("rho 1 ", [&] { (void)sparse_kl(logits, 1); });

  // In a recorded step labels cannot be looked at: the row of one outside is NaN.
  const Array batch = from_vector<int32_t>({2, 0, 1}, {3}, device),
              kept = zeros({2}, DType::f64, device);
  const Tensor mask = Tensor(full({3}, 1, DType::f64, device));
  RecordedStep step(device, [&] {
    assign(slice(kept, 0, 0, 1), reshape(cross_entropy(logits, batch).array(), {1}));
    assign(slice(kept, 0, 1, 2), reshape(masked_mean(logits, mask).array(), {1}));
  });
  for (int i = 0; i < 3; ++i) step.run();
  CHECK(values_of(kept)[0] == cross_entropy(logits, labels).item());
  if (!step.recorded()) return;
  assign(batch, wrong);
  fill(mask.array(), 0);
  step.run();
  CHECK(std::isnan(values_of(kept)[0]));
  CHECK(std::isnan(values_of(kept)[1]));
}

TEST_CASE("the contractive penalty is the squared norm of the Jacobian, and probes estimate it") {
  const Tensor x = drawn(11, {3, 4}), w1 = drawn(12, {6, 4}), w2 = drawn(13, {3, 6});
  const RowMap encoder = small_encoder(w1, w2);
  const Tensor jacobians = jacobian(encoder, x);
  const double wanted = sum(square(jacobians)).item() / 3, exact = contractive(encoder, x).item();
  // sums of 36 squares of products with 10 terms each, in another order
  CHECK(std::abs(exact - wanted) <= 64 * 0x1p-52 * wanted);

  // a linear map: the weights alone, whatever x
  const auto map = [&](const Tensor& t) { return linear(t, w1, {}); };
  CHECK(contractive(map, x).item() == doctest::Approx(sum(square(w1)).item()).epsilon(1e-14));

  // A probe of signs has the variance 2 sum_(i != j) (J J^T)_ij^2; the mean over B examples and P
  // probes has it divided by B P. Five of its standard deviations: once in 1.7 million keys.
  const Tensor products = matmul(jacobians, transpose(jacobians));
  const double all = sum(square(products)).item(),
               diagonal = sum(square(sum(square(jacobians), {2}))).item();
  const int64_t count = 2000;
  const double deviation = std::sqrt(2 * (all - diagonal) / 3 / 3 / static_cast<double>(count));
  const double estimate = contractive(encoder, x, Key(14), count).item();
  CHECK(std::abs(estimate - exact) <= 5 * deviation);
  CHECK(estimate != exact);
  CHECK(contractive(encoder, x, Key(14), 1).item() != contractive(encoder, x, Key(15), 1).item());
  // Unit vectors times sqrt(k) are probes whose mean is exact.
  const Tensor unit = reshape(vector({1, 0, 0, 0, 1, 0, 0, 0, 1}), {3, 1, 3}) * std::sqrt(3.0);
  CHECK(contractive(encoder, x, broadcast_to(unit, {3, 3, 3})).item() ==
        doctest::Approx(exact).epsilon(1e-14));

  // at a step: the probes of that step's keys
  CHECK(contractive(encoder, x, Key(14), Step(5), 1).item() !=
        contractive(encoder, x, Key(14), Step(6), 1).item());
  check_refused("needs codes", [] {
    const Tensor one(full({}, 1, DType::f64));
    (void)gaussian_kl(one, one);
  });
  check_refused("not [P, ...] of codes", [&] { (void)contractive(encoder, x, drawn(1, {2, 3})); });
  check_refused("0 probes", [&] { (void)contractive(encoder, x, Key(1), 0); });
  check_refused("not a row per example",
                [&] { (void)contractive([](const Tensor& t) { return sum(t, {0}); }, x); });
}

TEST_CASE("embedding: rows by index of any shape, its gradient added up in order") {
  const Tensor table = drawn(31, {5, 2});
  const Array index = from_vector<int32_t>({4, 0, 0, 2, 4, 0}, {2, 3}, test_device());
  const Tensor rows = embedding(table, index);
  CHECK(rows.shape() == Shape{2, 3, 2});
  const Values t = values_of(table), r = values_of(rows);
  CHECK(r[0] == t[8]);
  CHECK(r[7] == t[5]);
  const Tensor ct = drawn(32, {2, 3, 2});
  const Values g = values_of(
                   grad([&](const Tensor&w) { return sum(embedding(w, index) * ct); }, table)),
               c = values_of(ct);
  CHECK(g[0] == (c[2] + c[4]) + c[10]);
  CHECK(g[8] == c[0] + c[8]);
  CHECK(g[2] == 0);
  check_refused("is outside",
                [&] { (void)embedding(table, from_vector<int32_t>({5}, {1}, test_device())); });
}
