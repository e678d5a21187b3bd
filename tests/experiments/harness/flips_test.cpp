// One flipped bit in any file that --resume reads: it is refused, or the run ends as if nothing had
// happened. BASIN_FLIP_EVERY=1 tries every byte (nightly); otherwise one byte in many.
#include <doctest/doctest.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <set>

#include "engine/key.h"
#include "experiments/harness/training.h"
#include "experiments/online_sgd/simulation/hebbian.h"
#include "experiments/online_sgd/simulation/simulate_and_solve.h"
#include "models/nets/losses.h"
#include "models/nets/mlp.h"
#include "tests/command.h"
#include "tests/files.h"

using namespace basin;
using namespace basin::online;
using namespace basin::test;
namespace fs = std::filesystem;

namespace {

bool stops = false;  // by Ctrl-C in the middle of the second training

struct Config {
  int64_t steps = 12;
  std::string words = "any";
  explicit Config(Preset) {}
  template <class F>
  void each_field(F&& f) {
    f("steps", steps, "of each training");
    f("words", words, "that mean nothing");
  }
};

void fit(Run& run, const std::string& stage, int64_t steps, int64_t stop_at) {
  Mlp net = make_mlp({{2, 2, 2}, parse_activation("tanh")}, run.key().at(stage));
  const Tensor x(normal(run.key().at("data"), {3, 2}, DType::f32));
  TrainOptions options;
  options.max_steps = steps;
  options.keep_best_after_fraction = 0.5;
  options.progress = false;
  const auto loss = [&](const Mlp& f, int64_t step) {
    if (stops && step == stop_at) std::raise(SIGINT);
    return mse(f(x), x);
  };
  const TrainResult result = train_stage(run, stage, net, loss, options);
  run.save(stage, best_model(net, result).layers[0].weight.array());
  run.result(stage, result.loss);
}

/// A simulation and a training that end, then a training that is cut off.
void compute(Run& run, const Config& config) {
  const Spectrum s = Spectrum::canonical(4, 1);
  const Matrix start = Matrix::Constant(1, s.modes.size(), 0.1);
  const auto make = [&](int64_t seed) {
    const Key key = run.key().at(static_cast<uint64_t>(seed));
    return make_hebbian_simulator({HebbianRule::sanger, 1, 0}, s, start, key);
  };
  const Observations seen = simulate(run, "online", 1, {0, 1, 3}, make, [](const Weights& w) {
    return std::vector<double>{w.encoder(0, 0)};
  });
  run.save("online", from_vector(std::vector<double>(seen.seeds[0].data(),
                                                     seen.seeds[0].data() + seen.seeds[0].size()),
                                 {3}));
  fit(run, "first", config.steps, -1);
  fit(run, "second", config.steps, config.steps / 2 + 1);
  run.picture("grey", zeros({3, 3}, DType::u8));
  run.claim({.of = "a claim", .paper = "-", .measured = 0, .criterion = below(1)});
}

BASIN_EXPERIMENT(Config, compute, .name = "flips-test", .paper = "", .figure = "no figure",
                 .summary = "is cut off and gone on with")

Outcome run_test(const std::string& out, const std::vector<std::string>& more = {}) {
  std::vector<std::string> all{"run",       "flips-test", "--preset", "smoke",
                               "--threads", "1",          "--out",    out};
  all.insert(all.end(), more.begin(), more.end());
  return basin_command(all);
}

using Files = std::map<std::string, std::string>;

Files files_of(const std::string& folder) {
  Files files;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file())
      files[fs::relative(entry.path(), folder).string()] = contents(entry.path().string());
  return files;
}

void put_back(const std::string& folder, const Files& files) {
  fs::remove_all(folder);
  for (const auto& [name, content] : files) {
    fs::create_directories(fs::path(folder + "/" + name).parent_path());
    write_quickly(folder + "/" + name,
                  {reinterpret_cast<const uint8_t*>(content.data()), content.size()});
  }
}

/// What a run ends with, without what differs between equal runs: clocks, places, and how it was
/// called.
Files results_of(const std::string& folder) {
  Files files = files_of(folder);
  Json record = Json::parse(files.at("result.json"));
  for (const char* name : {"command", "started", "finished", "timings", "sha256"})
    record.erase(name);
  for (const char* name : {"out", "resume"}) record["options"].erase(name);
  for (Json& file : record["files"])
    if (file["name"] == "metrics.jsonl") file = "metrics.jsonl";
  files["result.json"] = record.dump();
  std::istringstream lines(files.at("metrics.jsonl"));
  std::set<std::string> sorted;  // the last line of a stage comes again after those of others
  for (std::string line; std::getline(lines, line);) {
    Json json = Json::parse(line);
    json.erase("seconds");
    sorted.insert(json.dump());
  }
  files["metrics.jsonl"] = Json(sorted).dump();
  return files;
}

}  // namespace

TEST_CASE(
    "flips: one bit in any byte of a cut off run is refused by --resume, or changes nothing") {
  const char* setting = std::getenv("BASIN_FLIP_EVERY");
  const auto every = static_cast<size_t>(std::max(1, setting ? std::atoi(setting) : 37));
  const TemporaryFolder folder;
  const std::string out = folder / "run";
  stops = false;
  REQUIRE(run_test(folder / "whole").code == 0);
  const Files whole = results_of(folder / "whole");
  stops = true;
  REQUIRE(run_test(out).code == 130);
  stops = false;
  const Files cut = files_of(out);
  for (const char* name :
       {"result.json", "metrics.jsonl", "first.npy", "online.npy", "checkpoints/online-seed0.npy",
        "checkpoints/first.safetensors", "checkpoints/second.safetensors"})
    REQUIRE(cut.contains(name));
  put_back(out, cut);
  REQUIRE(run_test(out, {"--resume"}).code == 0);
  const Files resumed = results_of(out);
  for (const auto& file : whole) CHECK_MESSAGE(resumed.at(file.first) == file.second, file.first);
  REQUIRE(resumed == whole);

  const Key key(2026);
  size_t refused = 0, without_effect = 0;
  for (const auto& file : cut) {
    const std::string name = file.first;
    const std::string content = file.second;
    const std::vector<double> draws =
        uniform(key.at(name), {static_cast<int64_t>(content.size())}, DType::f64)
            .to_vector<double>();
    for (size_t byte = every == 1 ? 0 : cut.size() % every; byte < content.size(); byte += every) {
      const int bit = static_cast<int>(8 * draws[byte]);
      CAPTURE(name);
      CAPTURE(byte);
      CAPTURE(bit);
      Files flipped = cut;
      flipped[name][byte] = static_cast<char>(flipped[name][byte] ^ 1 << bit);
      put_back(out, flipped);
      const Outcome o = run_test(out, {"--resume"});
      CAPTURE(o.err);
      if (o.code == 0) {
        ++without_effect;
        CHECK(results_of(out) == whole);
      } else {
        ++refused;
        CHECK(o.code == 2);
        CHECK((has(o.err, name) ||
               (name == "result.json" && has(o.err, "--out " + out + ": its re"))));
      }
    }
  }
  MESSAGE(text(refused + without_effect, " flipped bits: ", refused, " refused, ", without_effect,
               " without effect"));
  CHECK(refused > without_effect);
}
