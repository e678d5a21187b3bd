// What the tests of online SGD compare with, and the setting that it was computed for.
#pragma once
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "experiments/online_sgd/simulation/normals.h"
#include "experiments/online_sgd/theory/model.h"

namespace basin::test {

using Json = nlohmann::json;

/// reference/online_sgd.json: integrals, right-hand sides, trajectories and simulations computed
/// independently.
inline const Json& reference() {
  static const Json all =
      Json::parse(std::ifstream(std::string(BASIN_TEST_DATA) + "/reference/online_sgd.json"));
  return all;
}

/// The start of the trajectories: a formula in unit and mode, so that no file is needed.
inline online::Weights formula_start(const online::Spectrum& s, int64_t units) {
  const int64_t n = s.modes.size();
  const double scale = 0.1 * std::sqrt(2.0), root = std::sqrt(static_cast<double>(s.dimension));
  online::Weights w{online::Matrix(units, n), online::Matrix(units, n),
                    online::Vector::Zero(units)};
  for (int64_t k = 0; k < units; ++k)
    for (int64_t i = 0; i < n; ++i) {
      const double unit = static_cast<double>(k + 1), mode = static_cast<double>(i + 1);
      w.encoder(k, i) = scale * std::sin(mode * (1.0 + 0.618 * unit) + 0.37 * unit * unit);
      w.decoder(k, i) = scale / root * std::sin(mode * (0.45 + 0.7321 * unit) + 1.9 + 0.11 * unit);
    }
  return w;
}

/// The paper's scaling of the rates.
inline online::Model model_of(const std::string& g, online::Rule rule, double eta,
                              int64_t dimension, bool bias = false) {
  online::Model m;
  m.g = online::Transfer(g);
  m.rule = rule;
  m.rates = online::Rates::scaled(eta, dimension, bias);
  return m;
}

/// Model number i of all rules, ties, functions, with and without decay and bias.
inline online::Model model_of(int i) {
  using online::Rule, online::Tying;
  online::Model m;
  const char* names[] = {"erf", "relu", "linear"};
  m.rule = i % 2 == 0 ? Rule::vanilla : Rule::truncated;
  m.tying = i / 2 % 3 == 0 ? Tying::untied : (i / 2 % 3 == 1 ? Tying::full : Tying::detached);
  m.g = online::Transfer(names[i / 6 % 3]);
  m.rates = {0.7, 0.5, i % 4 < 2 ? 0.3 : 0, i % 5 < 3 ? 0.2 : 0};
  return m;
}

/// Inputs for make_dataset_simulator.
inline Array some_rows(int64_t count, int64_t modes) {
  std::vector<double> values;
  for (int64_t i = 0; i < count * modes; ++i)
    values.push_back(standard_normal<double>(online::mode_word({5, 6}, 0, i)));
  return from_vector(values, {count, modes});
}

}  // namespace basin::test
