// basin's side of bench/peers/sgd_compare.py: one request a line on stdin, one line of JSON on
// stdout for each, everything on one thread. The setting of the simulations: K = M = 3 erf units,
// the canonical spectrum, eta = 1, start 0.1.
//   info                     versions
//   full32 D STEPS | full64 D STEPS | gram D STEPS     [processor seconds, wall seconds, population
//   error at the end]
//   many32 D STEPS N DEVICE | many64 ...        the same for N trajectories at once on a device
//   random32 D STEPS         [processor, wall] of the random numbers alone: as many as `full32`
//                            draws
//   ode T RELATIVE           [processor, wall, error at T, steps] of the equations (spikes and
//                            bulk) from t = 0
//   euler T DT               the same by Euler's method with the step DT
#include <time.h>

#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "engine/build_info.h"
#include "experiments/online_sgd/simulation/advance.h"
#include "experiments/online_sgd/simulation/draw.h"
#include "experiments/online_sgd/theory/equations.h"
#include "kernels/threads.h"

using namespace basin;
using namespace basin::online;
using nlohmann::json;

namespace {

constexpr int64_t units = 3;

double now(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

template <class F>
std::pair<double, double> timed(F&& work) {
  const double processor = now(CLOCK_PROCESS_CPUTIME_ID), wall = now(CLOCK_MONOTONIC);
  work();
  return {now(CLOCK_PROCESS_CPUTIME_ID) - processor, now(CLOCK_MONOTONIC) - wall};
}

Model model_at(int64_t dimension) {
  Model m;
  m.rates = Rates::scaled(1, dimension);
  return m;
}

json simulate(const std::string& kind, int64_t dimension, int64_t steps) {
  const Model m = model_at(dimension);
  const bool gram = kind == "gram";
  const Spectrum s = Spectrum::canonical(dimension, units, gram ? 2 * units : -1);
  const Key key(1);
  const auto simulator =
      gram ? make_gram_simulator(m, s, units,
                                 random_lumped_weights(key.at("start"), units, s, units, 0.1), key)
           : make_simulator(m, s, random_weights(key.at("start"), units, s, 0.1), key,
                            kind == "full32" ? Precision::f32 : Precision::f64);
  const auto [processor, wall] = timed([&] { simulator->advance(steps); });
  return {processor, wall, population_error(simulator->weights(), simulator->spectrum(), m.g)};
}

/// N trajectories on a device; the error is that of the last.
json simulate_many(Precision precision, int64_t dimension, int64_t steps, int64_t count,
                   const std::string& device) {
  const Model m = model_at(dimension);
  const Spectrum s = Spectrum::canonical(dimension, units);
  std::vector<std::unique_ptr<Simulator>> all;
  std::vector<Simulator*> pointers;
  for (int64_t i = 0; i < count; ++i) {
    const Key key = Key(1).at(static_cast<uint64_t>(i));
    all.push_back(
        make_simulator(m, s, random_weights(key.at("start"), units, s, 0.1), key, precision));
    pointers.push_back(all.back().get());
  }
  const Device on = Device::open(device);
  advance_all(on, pointers, {10});  // what is made at the first call
  const auto [processor, wall] = timed([&] { advance_all(on, pointers, {10 + steps}); });
  return {processor, wall, population_error(all.back()->weights(), s, m.g),
          on.backend().description()};
}

json draw(int64_t dimension, int64_t steps) {
  const int64_t chunks = (dimension + 63) / 64;
  const std::vector<float> scale(static_cast<size_t>(64 * chunks), 1);
  std::vector<float> z(scale.size());
  double sum = 0;
  const auto [processor, wall] = timed([&] {
    for (int64_t step = 0; step < steps; ++step) {
      draw_normals(Key(1).bits(), static_cast<uint64_t>(step), chunks, scale.data(), z.data());
      sum += z[0];
    }
  });
  return {processor, wall, sum};
}

/// The start of both integrations.
Lumped start(int64_t dimension) {
  const Spectrum s = Spectrum::canonical(dimension, units, 2 * units);
  return {s, random_lumped_weights(Key(1).at("start"), units, s, units, 0.1)};
}

json integrated(double last, double relative) {
  const Lumped few = start(1000);
  const Model m = model_at(1000);
  IntegrateOptions options;
  options.relative = relative, options.absolute = relative * 1e-3;
  Trajectory path;
  const auto [processor, wall] = timed([&] {
    path = solve(m, few.weights, few.spectrum, {0, last}, options);
  });
  return {processor, wall, population_error(path.weights.back(), few.spectrum, m.g), path.steps};
}

json euler(double last, double dt) {
  Lumped few = start(1000);
  const Model m = model_at(1000);
  const auto steps = static_cast<int64_t>(std::llround(last / dt));
  const auto [processor, wall] = timed([&] {
    for (int64_t i = 0; i < steps; ++i) {
      const Weights v = velocity(m, few.weights, few.spectrum);
      few.weights.encoder += dt * v.encoder, few.weights.decoder += dt * v.decoder;
    }
  });
  return {processor, wall, population_error(few.weights, few.spectrum, m.g), steps};
}

json answer(const std::string& line) {
  std::istringstream words(line);
  std::string verb;
  double first = 0, second = 0;
  words >> verb >> first >> second;
  const auto count = [](double x) { return static_cast<int64_t>(x); };
  if (verb == "info")
    return {{"commit", build_info().commit},
            {"dirty", build_info().dirty},
            {"compiler", build_info().compiler}};
  if (verb == "full32" || verb == "full64" || verb == "gram")
    return simulate(verb, count(first), count(second));
  if (verb == "many32" || verb == "many64") {
    int64_t trajectories = 0;
    std::string device;
    words >> trajectories >> device;
    return simulate_many(verb == "many32" ? Precision::f32 : Precision::f64, count(first),
                         count(second), trajectories, device);
  }
  if (verb == "random32") return draw(count(first), count(second));
  if (verb == "ode") return integrated(first, second);
  if (verb == "euler") return euler(first, second);
  throw std::runtime_error("unknown request: " + line);
}

}  // namespace

int main() {
  set_cpu_threads(1);
  try {
    for (std::string line; std::getline(std::cin, line);)
      std::cout << answer(line).dump() << std::endl;
  } catch (const std::exception& error) {
    std::cerr << "sgd_work: " << error.what() << "\n";
    return 1;
  }
}
