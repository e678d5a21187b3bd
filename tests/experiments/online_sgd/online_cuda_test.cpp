// The CUDA kernel of online SGD against the CPU's simulator.
#include <doctest/doctest.h>

#include <cmath>
#include <csignal>
#include <filesystem>

#include "experiments/online_sgd/simulation/advance.h"
#include "experiments/online_sgd/simulation/draw.h"
#include "experiments/online_sgd/simulation/simulate_and_solve.h"
#include "tests/device.h"
#include "tests/experiments/online_sgd/online_run.h"

using namespace basin;
using namespace basin::online;
using test::model_of;
using test::some_rows;

namespace {

using Simulators = std::vector<std::unique_ptr<Simulator>>;

std::vector<Simulator*> pointers(const Simulators& all) {
  std::vector<Simulator*> out;
  for (const auto& s : all) out.push_back(s.get());
  return out;
}

/// Weights of order 1 whose steps change every unit.
Weights start_of(int64_t units, const Spectrum& s, double bias, uint64_t key = 1) {
  Weights w = random_weights(Key(key), units, s, 0.7);
  for (int64_t k = 0; k < units; ++k) w.bias(k) = bias * static_cast<double>(k + 1);
  return w;
}

double largest(const Matrix& m) {
  return m.size() ? m.cwiseAbs().maxCoeff() : 0;
}

/// Largest difference of two simulators' weights and biases, per largest weight.
double difference(const Simulator& a, const Simulator& b) {
  const Weights x = a.weights(), y = b.weights();
  return std::max({largest(x.encoder - y.encoder) / largest(x.encoder),
                   largest(x.decoder - y.decoder) / largest(x.decoder), largest(x.bias - y.bias)});
}

double difference(const Snapshot& a, const Snapshot& b) {
  double worst = largest(a.bias - b.bias);
  for (auto member :
       {&OrderParameters::q1, &OrderParameters::r1, &OrderParameters::t1, &OrderParameters::t0})
    worst = std::max(worst, largest(a.order.*member - b.order.*member) / largest(a.order.*member));
  return worst;
}

}  // namespace

TEST_CASE("online SGD on CUDA: every rule, tie, function and number of units is that of the CPU") {
  Device device;
  if (!open_cuda(device)) return;
  // Five steps; the CPU's own test of three steps derives 3000 roundings. In f32 a GPU's log2
  // (2^-22 of u, which enters the quantile with a slope below 1/3) and division add 2e-7 to an
  // input's 4e-7: within the same bound.
  const Spectrum s = Spectrum::canonical(150, 2);
  for (int64_t units = 1; units <= 6; ++units)
    for (int i = 0; i < 18; ++i)
      for (const Precision precision : {Precision::f32, Precision::f64}) {
        const Array rows = i % 3 == 0 ? some_rows(7, 150) : Array();
        const auto make = [&](uint64_t seed) {
          const Weights start = start_of(units, s, 0.1, seed);
          return rows.defined()
                     ? make_dataset_simulator(model_of(i), s, rows, start, Key(seed), precision)
                     : make_simulator(model_of(i), s, start, Key(seed), precision);
        };
        Simulators there, here;
        for (uint64_t seed = 1; seed < 3; ++seed)
          there.push_back(make(seed)), here.push_back(make(seed));
        const auto reached = advance_all(device, pointers(there), {0, 2, 5});
        const auto wanted = advance_all(Device(), pointers(here), {0, 2, 5});
        CAPTURE(units);
        CAPTURE(i);
        const double rounding = precision == Precision::f32 ? 6e-8 : 1.2e-16;
        for (size_t j = 0; j < 2; ++j) {
          CHECK(difference(*there[j], *here[j]) < 5000 * rounding);
          CHECK(there[j]->steps() == 5);
          for (size_t r = 0; r < 3; ++r)
            CHECK(difference(reached[j][r], wanted[j][r]) < 5000 * rounding);
        }
      }
}

TEST_CASE(
    "online SGD on CUDA: f64 agrees with the CPU to 1e-9 over 10^4 steps, in every snapshot") {
  Device device;
  if (!open_cuda(device)) return;
  // Two settings side by side. 1,000 roundings of 1.2e-16 a step (see above), all of one sign, make
  // 1.2e-9 in 10^4 steps; 1e-9 is what is promised.
  const Spectrum spectra[] = {Spectrum::canonical(100, 3),
                              Spectrum::spiked(100, Vector::Constant(2, 0.3), 0.4)};
  const auto make = [&] {
    Simulators all;
    for (uint64_t i = 0; i < 2; ++i) {
      Model m;
      m.rates = Rates::scaled(i == 0 ? 1 : 0.5, 100, false, i == 0 ? 0 : 0.01);
      all.push_back(make_simulator(m, spectra[i], random_weights(Key(i), 3, spectra[i], 0.1),
                                   Key(7).at(i), Precision::f64));
    }
    return all;
  };
  const std::vector<int64_t> at{1, 10, 100, 1000, 10000};
  Simulators there = make(), here = make();
  const auto reached = advance_all(device, pointers(there), at),
             wanted = advance_all(Device(), pointers(here), at);
  for (size_t i = 0; i < 2; ++i) {
    CHECK(difference(*there[i], *here[i]) < 1e-9);
    for (size_t r = 0; r < at.size(); ++r) CHECK(difference(reached[i][r], wanted[i][r]) < 1e-9);
    CHECK(there[i]->steps() == 10000);
  }
  // it learned something, so this was no comparison of two starts
  CHECK(population_error(there[0]->weights(), spectra[0], Transfer("erf")) <
        0.3 * spectra[0].trace() / 2);
}

TEST_CASE(
    "online SGD on CUDA: pieces, company and restored runs change no bit; two blocks of modes a "
    "thread, or four") {
  Device device;
  if (!open_cuda(device)) return;
  struct Size {
    int64_t dimension, units;
    Precision precision;
  };
  for (const Size& size :
       {Size{130, 2, Precision::f32}, Size{2048, 2, Precision::f32}, Size{2100, 4, Precision::f32},
        Size{4096, 2, Precision::f32}, Size{4096, 6, Precision::f64}}) {
    const int64_t dimension = size.dimension, k = size.units;
    const Precision kind = size.precision;
    const Spectrum s = Spectrum::canonical(dimension, 2);
    const auto make = [&s, k, kind](uint64_t seed) {
      Model m;
      m.rates = {0.5, 0.5, 0.2, 0.1};
      return make_simulator(m, s, start_of(k, s, 0.1, seed), Key(seed), kind);
    };
    Simulators all, alone, pieces, host;
    for (uint64_t seed = 0; seed < 3; ++seed) all.push_back(make(seed)), host.push_back(make(seed));
    alone.push_back(make(2)), pieces.push_back(make(2));
    advance_all(device, pointers(all), {6});
    advance_all(device, pointers(alone), {6});
    advance_all(device, pointers(pieces), {1});
    advance_all(device, pointers(pieces), {1, 4});
    advance_all(device, pointers(pieces), {6});
    CAPTURE(dimension);
    CHECK(alone[0]->state() == all[2]->state());
    CHECK(pieces[0]->state() == all[2]->state());
    advance_all(Device(), pointers(host), {6});
    const double rounding = kind == Precision::f32 ? 6e-8 : 1.2e-16;
    for (size_t i = 0; i < 3; ++i)
      CHECK(difference(*all[i], *host[i]) < 5000 * rounding);  // as above
  }
}

TEST_CASE("online SGD on CUDA: what is refused, and rates that diverge") {
  Device device;
  if (!open_cuda(device)) return;
  const auto attempt = [&](const Simulators& all, const std::vector<int64_t>& at) {
    advance_all(device, pointers(all), at);
  };
  Model m;
  m.rates = {0.1, 0.1, 0, 0};
  const auto make = [&](const Model& model, int64_t units, int64_t dimension) {
    const Spectrum s = Spectrum::canonical(dimension, 1);
    return make_simulator(model, s, start_of(units, s, 0), Key(1));
  };
  const auto one = [&](std::unique_ptr<Simulator> s) {
    Simulators all;
    all.push_back(std::move(s));
    return all;
  };
  CHECK_THROWS_WITH_AS(attempt(one(make(m, 7, 50)), {1}), doctest::Contains("K = 7"), Error);
  CHECK_THROWS_WITH_AS(attempt(one(make(m, 1, 4100)), {1}), doctest::Contains("4100 modes"), Error);
  Model own = m;
  own.g = Transfer(
      "tanh", [](double x) { return std::tanh(x); },
      [](double x) { return 1 - std::pow(std::tanh(x), 2); });
  CHECK_THROWS_WITH_AS(attempt(one(make(own, 1, 50)), {1}), doctest::Contains("tanh"), Error);
  const Spectrum flat = Spectrum::canonical(50, 1, 2);
  CHECK_THROWS_WITH_AS(
      attempt(one(make_gram_simulator(m, flat, 1, random_lumped_weights(Key(1), 1, flat, 1, 0.1),
                                      Key(1))),
              {1}),
      doctest::Contains("Gram"), Error);
  Simulators mixed = one(make(m, 1, 50));
  mixed.push_back(make(m, 2, 50));
  CHECK_THROWS_WITH_AS(attempt(mixed, {1}), doctest::Contains("simulators that differ"), Error);
  mixed.pop_back();
  const Spectrum s50 = Spectrum::canonical(50, 1);
  for (const double factor : {1.0, 2.0})
    mixed.push_back(make_dataset_simulator(m, s50,
                                           from_vector(std::vector<double>(50, factor), {1, 50}),
                                           start_of(1, s50, 0), Key(1)));
  mixed.erase(mixed.begin());
  CHECK_THROWS_WITH_AS(attempt(mixed, {1}), doctest::Contains("different inputs"), Error);
  mixed.pop_back();
  CHECK_THROWS_AS(attempt(mixed, {3, 2}), Error);
  CHECK_THROWS_AS(attempt(mixed, {}), Error);
  CHECK(advance_all(device, {}, {1}).empty());

  Model wild = m;
  wild.g = Transfer("linear");
  wild.rates = {1e3, 1e3, 0, 0};
  Simulators pair = one(make(m, 2, 50));
  pair[0] = make(
      [&] {
        Model calm = wild;
        calm.rates = m.rates;
        return calm;
      }(),
      2, 50);
  pair.push_back(make(wild, 2, 50));
  const std::vector<double> before = pair[0]->state();
  CHECK_THROWS_WITH_AS(attempt(pair, {1000}),
                       doctest::Contains("trajectory 1 are no longer finite at step"), Error);
  CHECK(pair[0]->state() == before);
}

TEST_CASE("online SGD on CUDA: simulate() observes, resumes and reports as on the CPU") {
  Device device;
  if (!open_cuda(device)) return;
  const Spectrum s = Spectrum::canonical(60, 2);
  const std::vector<double> times{0, 0.5, 2, 10};
  int until_interrupt = -1;
  double eta = 0.5;
  std::vector<Matrix> seen;
  const auto work = [&](Run& run) {
    Model m;
    m.g = Transfer("linear");
    m.rates = Rates::scaled(eta, 60);
    const auto make = [&](int64_t seed) {
      const auto i = static_cast<uint64_t>(seed);
      return make_simulator(m, s, random_weights(Key(i), 2, s, 0.1), Key(9).at(i), Precision::f64);
    };
    seen = simulate(run, "stage", 3, times, make, [&](const Weights& w) {
             if (until_interrupt-- == 0) std::raise(SIGINT);
             return std::vector<double>{population_error(w, s, m.g), w.encoder(0, 0)};
           }).seeds;
  };
  const test::TemporaryFolder folder;
  REQUIRE(test::run_in(folder / "cpu", work).code == 0);
  const std::vector<Matrix> on_cpu = seen;
  REQUIRE(test::run_in(folder / "cuda", work, false, "", "cuda").code == 0);
  const std::vector<Matrix> whole = seen;
  for (size_t i = 0; i < 3; ++i)
    CHECK(largest(whole[i] - on_cpu[i]) < 600 * 1000 * 1.2e-16 * largest(on_cpu[i]));  // 600 steps
  CHECK(on_cpu[0](3, 0) < 0.5 * on_cpu[0](0, 0));
  for (const int when : {1, 4, 7}) {  // in the midst of the three observations of one time
    until_interrupt = when;
    const std::string out = folder / ("cut" + std::to_string(when));
    CHECK(test::run_in(out, work, false, "", "cuda").code == 130);
    REQUIRE(test::run_in(out, work, true, "", "cuda").code == 0);
    for (size_t i = 0; i < 3; ++i) CHECK(seen[i] == whole[i]);
  }
  eta = 1e4;
  const test::Outcome lost = test::run_in(folder / "lost", work, false, "", "cuda");
  CHECK(lost.code == 2);
  CHECK(test::has(lost.err, "diverged at t = "));
  for (const char* seed :
       {"0", "1", "2"})  // nothing that was observed is lost, whichever seed diverged first
    CHECK(std::filesystem::exists(folder / "lost" + "/checkpoints/stage-seed" + seed + ".npy"));
}
