// Simulations that are cut off go on with the same bits, from no other checkpoint than their own;
// and their memory does not grow with the number of steps.
#include <doctest/doctest.h>
#include <malloc.h>

#include <csignal>
#include <filesystem>
#include <functional>
#include <map>

#include "engine/file.h"
#include "engine/npy.h"
#include "experiments/online_sgd/simulation/hebbian.h"
#include "experiments/online_sgd/simulation/observed_trajectory.h"
#include "experiments/online_sgd/simulation/simulate_and_solve.h"
#include "tests/experiments/online_sgd/online_run.h"

using namespace basin;
using namespace basin::online;
using test::formula_start;
using test::has;
using test::model_of;
using test::run_in;

namespace {

constexpr int64_t dimension = 48, seeds = 3;

using Make = std::function<std::unique_ptr<Simulator>(int64_t seed)>;

/// One of each kind of simulator.
std::map<std::string, Make> simulators() {
  const Spectrum s = Spectrum::canonical(dimension, 2),
                 lumped = Spectrum::canonical(dimension, 2, 4);
  const auto key = [](int64_t seed) { return Key(5).at(static_cast<uint64_t>(seed)); };
  const Weights start = formula_start(s, 2), few = formula_start(lumped, 2);
  const Model m = model_of("erf", Rule::vanilla, 1, dimension, true);
  const Array rows = normal(Key(6), {20, dimension}, DType::f64);
  return {{"f32", [=](int64_t i) { return make_simulator(m, s, start, key(i)); }},
          {"f64", [=](int64_t i) { return make_simulator(m, s, start, key(i), Precision::f64); }},
          {"dataset", [=](int64_t i) { return make_dataset_simulator(m, s, rows, start, key(i)); }},
          {"Gram", [=](int64_t i) { return make_gram_simulator(m, lumped, 2, few, key(i)); }},
          {"Hebbian", [=](int64_t i) {
             return make_hebbian_simulator({HebbianRule::sanger, 1, 0}, s, start.encoder, key(i));
           }}};
}

std::vector<double> everything(const Weights& w) {
  std::vector<double> row(w.encoder.data(), w.encoder.data() + w.encoder.size());
  row.insert(row.end(), w.decoder.data(), w.decoder.data() + w.decoder.size());
  row.insert(row.end(), w.bias.data(), w.bias.data() + w.bias.size());
  return row;
}

const std::vector<double> times{0, 0.3, 1, 2, 5, 10, 20};

/// The work of a run that calls `at(n)` before its observation number n, over all seeds.
std::function<void(Run&)> work(const Make& make, std::vector<Matrix>& seen,
                               const std::function<void(int)>& at,
                               const std::vector<double>& when = times) {
  return [&make, &seen, at, when](Run& run) {
    int count = 0;
    seen = simulate(run, "cut", seeds, when, make, [&](const Weights& w) {
             at(count++);
             return everything(w);
           }).seeds;
  };
}

}  // namespace

TEST_CASE("online resume: cut off anywhere, a run goes on with the same bits") {
  for (const auto& entry : simulators()) {
    const std::string& kind = entry.first;
    CAPTURE(kind);
    const test::TemporaryFolder folder;
    std::vector<Matrix> whole, resumed;
    REQUIRE(run_in(folder / "whole", work(entry.second, whole, [](int) {})).code == 0);
    REQUIRE(whole.size() == static_cast<size_t>(seeds));
    CHECK(whole[0] != whole[1]);
    // Seed 0 after two observations by an exception, then by Ctrl-C; seed 1 by Ctrl-C at its first;
    // then an exception.
    const auto interrupt_at = [](int n) { return [n](int i) { i == n ? std::raise(SIGINT) : 0; }; };
    const auto throw_at = [](int n) {
      return [n](int i) { i == n ? throw std::runtime_error("observation failed") : 0; };
    };
    const std::string out = folder / "cut";
    CHECK(run_in(out, work(entry.second, resumed, throw_at(2))).err == "observation failed");
    CHECK(run_in(out, work(entry.second, resumed, interrupt_at(1)), true).code == 130);
    CHECK(run_in(out, work(entry.second, resumed, interrupt_at(3)), true).code == 130);
    CHECK(run_in(out, work(entry.second, resumed, throw_at(9)), true).code == 1);
    int observed = 0;
    REQUIRE(run_in(out, work(entry.second, resumed, [&](int) { ++observed; }), true).code == 0);
    CHECK(observed < 14);  // of 21: nothing observed before was observed again
    for (size_t i = 0; i < whole.size(); ++i) CHECK(resumed[i] == whole[i]);
  }
}

TEST_CASE("online resume: Ctrl-C between two observations loses no step") {
  const Make make = simulators().at("f32");
  const std::vector<double> far{0, 1, 5000};  // 240,000 steps at once; looked at after 100,000
  const test::TemporaryFolder folder;
  std::vector<Matrix> whole, resumed;
  REQUIRE(run_in(folder / "whole", work(
                                       make, whole, [](int) {}, far))
              .code == 0);
  const auto interrupt = [](int i) { i == 1 ? std::raise(SIGINT) : 0; };
  CHECK(run_in(folder / "cut", work(make, resumed, interrupt, far)).code == 130);
  const std::vector<double> saved =
      load_npy(folder / "cut" + "/checkpoints/cut-seed0.npy").to_vector<double>();
  CHECK(saved[1] == 2);  // observations
  const double steps = 100000 + dimension;
  CHECK(std::count(saved.begin(), saved.end(), steps) == 1);  // the state's
  REQUIRE(run_in(folder / "cut",
                 work(
                     make, resumed, [](int) {}, far),
                 true)
              .code == 0);
  for (size_t i = 0; i < whole.size(); ++i) CHECK(resumed[i] == whole[i]);
}

TEST_CASE("online resume: Ctrl-C between two output times of the equations is heeded") {
  const test::TemporaryFolder folder;
  int evaluations = 0;
  const auto turning = [&](double t, const Vector& y, Vector& dy) {  // needs a step for each turn
    if (++evaluations == 500) std::raise(SIGINT);
    dy = Vector::Constant(1, std::cos(t)) - 0 * y;
  };
  CHECK(run_in(folder / "run", [&](Run&) {
          integrate(turning, Vector::Zero(1), {0, 1e6});
        }).code == 130);
  CHECK(evaluations < 600);  // looked at every 64 evaluations
}

TEST_CASE("online resume: observations of another size are refused, from a finished run too") {
  const Make make = simulators().at("f64");
  const test::TemporaryFolder folder;
  const auto observing = [&](size_t count) {
    return [&make, count](Run& run) {
      simulate(run, "cut", seeds, times, make, [&](const Weights& w) {
        std::vector<double> row = everything(w);
        row.resize(count);
        return row;
      });
    };
  };
  REQUIRE(run_in(folder / "run", observing(5)).code == 0);
  const test::Outcome told = run_in(folder / "run", observing(6), true);
  CHECK(told.code == 2);
  CHECK(has(told.err, "cut-seed0.npy: observations of 5 numbers, where 6"));
}

TEST_CASE("online resume: a damaged checkpoint, and one of another simulation") {
  const auto all = simulators();
  const test::TemporaryFolder folder;
  std::vector<Matrix> seen;
  const auto nothing = [](int) {};
  const std::string out = folder / "run", file = out + "/checkpoints/cut-seed0.npy";
  const auto resume = [&](const std::string& kind, const std::vector<double>& when = times) {
    const test::Outcome told = run_in(out, work(all.at(kind), seen, nothing, when), true);
    CHECK(told.code == 2);
    CHECK(has(told.err, file));
    return told.err;
  };
  REQUIRE(run_in(out, work(all.at("f32"), seen,
                           [](int i) { i == 4 ? throw std::runtime_error("") : 0; }))
              .code == 1);
  const Bytes good = read_file(file);
  const auto put = [&](const Bytes& bytes) {
    write_atomically(file, ByteSpan(bytes.data(), bytes.size()));
  };

  put(Bytes(good.begin(), good.end() - 100));
  CHECK(has(resume("f32"), "file"));
  Bytes flipped = good;
  flipped[good.size() - 1000] ^= 1;  // one bit of a weight
  put(flipped);
  CHECK(has(resume("f32"), "a damaged one; delete it to begin this trajectory again"));
  save_npy(file, zeros({4, 5}, DType::f32));
  CHECK(has(resume("f32"), "f32[4, 5]"));
  put({});
  resume("f32");

  put(good);
  for (const std::string kind : {"f64", "dataset", "Gram", "Hebbian"}) {
    CAPTURE(kind);
    CHECK(has(resume(kind), "it is of another simulation: delete it"));
  }
  CHECK(has(resume("f32", {0, 0.1, 0.2, 0.3, 0.4, 20}), "not those of the present times"));
  CHECK(has(resume("f32", {0, 0.1}), "not those of the present times"));
  put(good);
  REQUIRE(run_in(out, work(all.at("f32"), seen, nothing), true).code == 0);
  // Of the right setting, but another seed: every kind knows its key.
  for (const std::string kind : {"f32", "Gram", "Hebbian"}) {
    CAPTURE(kind);
    const std::string other = folder / kind;
    REQUIRE(run_in(other, work(all.at(kind), seen,
                               [](int i) { i == 14 ? throw std::runtime_error("") : 0; }))
                .code == 1);
    std::filesystem::copy_file(other + "/checkpoints/cut-seed0.npy",
                               other + "/checkpoints/cut-seed1.npy",
                               std::filesystem::copy_options::overwrite_existing);
    const test::Outcome told = run_in(other, work(all.at(kind), seen, nothing), true);
    CHECK(has(told.err, "cut-seed1.npy"));
    CHECK(has(told.err, "another key"));
  }
}

TEST_CASE("online resume: a state with one flipped bit anywhere is refused, with the mend") {
  const Make make = simulators().at("Gram");
  const test::TemporaryFolder folder;
  const std::string file = folder / "state.npy";
  const Observe observe = [](const Weights& w) { return std::vector<double>{w.encoder(0, 0)}; };
  const std::vector<int64_t> steps{0, 48, 96};
  ObservedTrajectory written("state", file, make(0));
  written.observe(observe, 2, false);
  written.simulator().advance(20);
  written.save();
  const Bytes good = read_file(file);
  for (size_t bit = 0; bit < 8 * good.size(); ++bit) {
    CAPTURE(bit);
    Bytes flipped = good;
    flipped[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    test::write_quickly(file, flipped);
    ObservedTrajectory read("state", file, make(0));
    const std::string told = test::error_of([&] { read.load(steps, observe); });
    CHECK(has(told, file));
    CHECK(has(told, "delete it to begin this trajectory again"));
  }
  write_atomically(file, ByteSpan(good));
  ObservedTrajectory read("state", file, make(0));
  read.load(steps, observe);
  CHECK(read.simulator().state() == written.simulator().state());
}

TEST_CASE("online resume: the memory of a simulation does not depend on its steps") {
  // Bytes in use by malloc, which Eigen and the standard containers take theirs from.
  const auto in_use = [] {
    const struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
  };
  const size_t before = in_use();
  std::vector<double> kept(100000);
  if (in_use() < before + 8 * kept.size()) return;  // a sanitizer's allocator: nothing to see here
  kept = {};
  for (const auto& entry : simulators()) {
    const std::string& kind = entry.first;
    CAPTURE(kind);
    const auto simulator = entry.second(0);
    const size_t state = simulator->state().size();
    simulator->advance(10);
    const size_t after_ten = in_use();
    for (int i = 0; i < 20; ++i) simulator->advance(500);
    CHECK(in_use() == after_ten);
    CHECK(simulator->state().size() == state);
  }
}
