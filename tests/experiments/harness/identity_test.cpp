// What --resume goes on with must be the run that was begun: its data, its build, its device, its
// metrics; and a run is complete only while all that it wrote is there.
#include <doctest/doctest.h>

#include <csignal>
#include <filesystem>

#include "data/cifar.h"
#include "data/find.h"
#include "data/idx.h"
#include "engine/build_info.h"
#include "engine/digest.h"
#include "experiments/harness/record.h"
#include "experiments/harness/training.h"
#include "experiments/online_sgd/simulation/grey_images.h"
#include "models/nets/losses.h"
#include "models/nets/mlp.h"
#include "tests/command.h"
#include "tests/files.h"

using namespace basin;
using namespace basin::test;
namespace fs = std::filesystem;

namespace {

int64_t stops_at = -1, fails_at = -1;
std::string goes_on_from;  // of the stage "more"; empty: the checkpoint of "fit"

struct Config {
  int64_t steps = 20, more = 0;
  explicit Config(Preset) {}
  template <class F>
  void each_field(F&& f) {
    f("steps", steps, "of training");
    f("more", more, "steps of a stage that goes on from the first one's checkpoint");
  }
};

/// Trains on some pixels of MNIST; Fashion-MNIST is looked at where it is there.
void compute(Run& run, const Config& config) {
  const LabelledImages all = load_mnist(run.data(), Split::test);
  online::fashion_images(run.data(), 2, 1);
  Mlp net = make_mlp({{4, 2, 4}, parse_activation("tanh")}, run.key().at("net"));
  const Array rows = reshape(all.images, {all.images.dim(0), -1});
  const Tensor x(cast(slice(rows, 1, rows.dim(1) - 4, rows.dim(1)), DType::f32));
  TrainOptions options;
  options.max_steps = config.steps;
  options.progress = false;
  const auto loss = [&](const Mlp& f, int64_t step) {
    if (step == stops_at) std::raise(SIGINT);
    require(step != fails_at, "the loss of this test fails");
    return mse(f(x), x);
  };
  train_stage(run, "fit", net, loss, options);
  if (config.more > 0) {
    options.resume_from =
        goes_on_from.empty() ? run.path("checkpoints/fit.safetensors") : goes_on_from;
    options.max_steps += config.more;
    train_stage(run, "more", net, loss, options);
  }
  run.save("weights", net.layers[0].weight.array());
  run.picture("grey", zeros({4, 4}, DType::u8));
  run.claim({.of = "a claim", .paper = "-", .measured = 0, .criterion = below(1)});
}

BASIN_EXPERIMENT(Config, compute, .name = "identity-test", .paper = "", .figure = "no figure",
                 .summary = "trains on a data set")

Outcome run_test(const std::string& out, const std::string& data,
                 const std::vector<std::string>& more = {}) {
  std::vector<std::string> all{"run", "identity-test", "--preset", "smoke", "--out",
                               out,   "--data",        data};
  all.insert(all.end(), more.begin(), more.end());
  return basin_command(all);
}

std::string idx(const std::vector<uint8_t>& dims, const std::string& bytes) {
  std::string file{'\0', '\0', '\x08', static_cast<char>(dims.size())};
  for (const uint8_t dim : dims) file += std::string(3, '\0') + static_cast<char>(dim);
  return file + bytes;
}

/// Three images and their labels, under the names of a set.
void put_set(const std::string& root, const std::string& set, const std::string& pixels) {
  fs::create_directories(root + "/" + set);
  write_atomically(root + "/" + set + "/t10k-images-idx3-ubyte",
                   std::string_view(idx({3, 28, 28}, pixels)));
  write_atomically(root + "/" + set + "/t10k-labels-idx1-ubyte",
                   std::string_view(idx({3}, std::string("\1\2\3"))));
}

/// Leaves a run in `out` that Ctrl-C cut off in the middle of its training.
void cut_off(const std::string& out, const std::string& data) {
  stops_at = 10;
  REQUIRE(run_test(out, data).code == 130);
  stops_at = -1;
}

/// A --resume that is refused and leaves record and metrics as they were, byte for byte: what it
/// said.
std::string refusal(const std::string& out, const std::string& data,
                    std::vector<std::string> more = {}) {
  const std::string record = contents(out + "/result.json"), metrics = out + "/metrics.jsonl";
  const auto lines = [&] { return fs::exists(metrics) ? contents(metrics) : "none"; };
  const std::string before = lines();
  more.emplace_back("--resume");
  const Outcome o = run_test(out, data, more);
  CAPTURE(o.err);
  CHECK(o.code == 2);
  CHECK(contents(out + "/result.json") == record);
  CHECK(lines() == before);
  return o.err;
}

/// Changes a record and seals it again, as another build, device or version might have written it.
template <class F>
void rewrite(const std::string& out, const F& change) {
  Json record = record_of(out);
  change(record);
  write_atomically(out + "/result.json", std::string_view(sealed_text(record)));
}

const std::string first_set(3 * 28 * 28, 'a'), second_set = first_set.substr(1) + "b";

}  // namespace

TEST_CASE("identity: --resume with other data under the same names is refused with both digests") {
  const TemporaryFolder folder;
  const std::string out = folder / "run", data = folder / "data", other = folder / "other",
                    moved = folder / "moved";
  put_set(data, "mnist", first_set);
  put_set(other, "mnist", second_set);
  put_set(moved, "mnist", first_set);
  REQUIRE(run_test(folder / "whole", data).code == 0);
  cut_off(out, data);
  const std::string digest = sha256("u8[3, 28, 28]" + first_set + "u8[3]\1\2\3");
  const std::string digest_now = sha256("u8[3, 28, 28]" + second_set + "u8[3]\1\2\3");
  const Json listed = record_of(out)["data"];
  CHECK(listed[0] == Json{{"set", "mnist test"}, {"count", 3}, {"sha256", digest}});
  CHECK(listed[1] == Json{{"set", "fashion-mnist test images"}, {"count", 0}, {"sha256", ""}});

  const std::string checkpoint = contents(out + "/checkpoints/fit.safetensors");
  for (int i = 0; i < 2; ++i) {  // what was refused once is refused again
    const Outcome o = run_test(out, other, {"--resume"});
    CAPTURE(o.err);
    CHECK(o.code == 2);
    CHECK(has(o.err, "--data " + other +
                         ": mnist test is not what this run was begun with: 3 items of SHA-256 " +
                         digest + " then, 3 items of SHA-256 " + digest_now + " now"));
    CHECK(contents(out + "/checkpoints/fit.safetensors") == checkpoint);
  }
  put_set(moved, "fashion-mnist",
          first_set);  // a part of the results that would come only from now on
  CHECK(has(run_test(out, moved, {"--resume"}).err,
            "fashion-mnist test images is not what this run was begun with: not there then, 3 "
            "items of SHA-256 "));
  fs::remove_all(moved + "/fashion-mnist");
  REQUIRE(run_test(out, moved, {"--resume", "--threads", "2"}).code ==
          0);  // the same data in another place
  CHECK(record_of(out)["data"] == listed);
  for (const char* file : {"/weights.npy", "/checkpoints/fit.safetensors"})
    CHECK(contents(out + file) == contents(folder / "whole" + file));
}

TEST_CASE("identity: the official files are known by what is in them") {
  const std::optional<std::string> path =
      try_data_file("", "fashion-mnist", "t10k-images-idx3-ubyte.gz");
  if (!path || !try_data_file("", "mnist", "t10k-images-idx3-ubyte")) {
    MESSAGE("skipped: no MNIST and Fashion-MNIST");
    return;
  }
  const TemporaryFolder folder;
  fs::create_directories(folder / "mnist");
  for (const char* kind : {"images-idx3", "labels-idx1"})
    fs::copy_file(*try_data_file("", "fashion-mnist", text("t10k-", kind, "-ubyte.gz")),
                  folder / text("mnist/t10k-", kind, "-ubyte.gz"));
  const std::string told = error_of([&] { load_mnist(folder.path(), Split::test); });
  CHECK(has(told, "this is the set fashion-mnist test where mnist test is wanted"));
  std::vector<LoadedSet> loaded;  // digests by Python's hashlib from the unpacked files
  const DataFolder listening(data_folder(""), [&](const LoadedSet& set) { loaded.push_back(set); });
  load_mnist(listening, Split::test);
  load_fashion_mnist(listening, Split::test);
  REQUIRE(loaded.size() == 2);
  CHECK(loaded[0].sha256 == "b76164a9205d5fbfc571af93fc520288316017523e98afb977702e545d790e7a");
  CHECK(loaded[1].sha256 == "26d79c1ef68825520e7d4c12bddf438e9d2c002c7ffd4644b0b1c4f33700bfae");
  CHECK(loaded[1].count == 10000);
}

TEST_CASE("identity: CIFAR-10 is identified over all batches that are there") {
  const TemporaryFolder folder;
  fs::create_directories(folder / "cifar-10");
  const auto put = [&](int batch, char label) {
    std::string row(3073, 'x');
    row[0] = label;
    write_atomically(folder / text("cifar-10/data_batch_", batch, ".bin"), std::string_view(row));
  };
  std::vector<LoadedSet> loaded;
  const DataFolder listening(folder.path(), [&](const LoadedSet& set) { loaded.push_back(set); });
  put(1, 3);
  load_cifar10(listening, Split::train);
  put(2, 3);
  load_cifar10(listening, Split::train);
  put(2, 4);
  load_cifar10(listening, Split::train);
  REQUIRE(loaded.size() == 3);
  CHECK(loaded[0].name == "cifar-10 train");
  CHECK(loaded[0].count == 1);
  CHECK(loaded[2].count == 2);
  CHECK(loaded[0].sha256 != loaded[1].sha256);
  CHECK(loaded[1].sha256 != loaded[2].sha256);
}

TEST_CASE(
    "identity: --resume goes on with the same build and device only, and with a whole record") {
  const TemporaryFolder folder;
  const std::string out = folder / "run", data = folder / "data";
  put_set(data, "mnist", first_set);
  cut_off(out, data);
  const std::string whole = contents(out + "/result.json");
  const auto refused = [&](const std::string& why, const auto& change) {
    rewrite(out, change);
    const std::string before = contents(out + "/result.json");
    const Outcome o = run_test(out, data, {"--resume"});
    CAPTURE(o.err);
    CHECK(o.code == 2);
    CHECK(has(o.err, why));
    CHECK(has(o.err, "start again without --resume"));
    CHECK(contents(out + "/result.json") == before);
    write_atomically(out + "/result.json", std::string_view(whole));
  };
  const std::string begun = "--resume: " + out + " was begun ";
  for (const char* name : {"commit", "sources", "compiler", "flags", "libraries"})
    refused(text(begun, "by another build (", name, " of yesterday, now "),
            [&](Json& r) { r["build"][name] = "of yesterday"; });
  for (const char* name : {"sources", "compiler", "flags", "libraries"})
    refused(text(begun, "by another build (", name, " not said, now "),
            [&](Json& r) { r["build"].erase(name); });
  refused(begun + "with --device \"cuda:0\", now it is \"cpu\"",
          [](Json& r) { r["options"]["device"] = "cuda:0"; });
  refused(begun + "with --math \"tf32\", now it is \"f32\"",
          [](Json& r) { r["options"]["math"] = "tf32"; });
  refused(begun + "with --math null", [](Json& r) { r["options"].erase("math"); });
  Json unsealed = record_of(out);
  unsealed.erase("sha256");
  write_atomically(out + "/result.json", std::string_view(unsealed.dump()));
  CHECK(has(run_test(out, data, {"--resume"}).err, "does not end with its SHA-256"));
  write_atomically(out + "/result.json", std::string_view(whole));
  CHECK(run_test(out, data, {"--resume"}).code == 0);
}

TEST_CASE("identity: a record with one flipped bit is damaged, for run and report") {
  const TemporaryFolder folder;
  const std::string out = folder / "run", file = out + "/result.json", data = folder / "data";
  put_set(data, "mnist", first_set);
  REQUIRE(run_test(out, data).code == 0);
  const std::string whole = contents(file);
  const size_t key = whole.rfind("\"sha256\": ");
  for (size_t byte = 0; byte < whole.size(); ++byte) {
    CAPTURE(byte);
    std::string flipped = whole;
    flipped[byte] = static_cast<char>(flipped[byte] ^ 1 << byte % 7);
    write_quickly(file, {reinterpret_cast<const uint8_t*>(flipped.data()), flipped.size()});
    const std::string told = error_of([&] { read_record(out); });
    const bool in_key =
        byte > key && byte < key + 7;  // then it may read as one that never had a digest
    CHECK((has(told, "its re") || (in_key && told == "no error")));
    if (byte % 200 == 0 || in_key) {
      const Outcome resumed = run_test(out, data, {"--resume"});
      CHECK(resumed.code == 2);
      CHECK(has(resumed.err, out));
    }
  }
}

TEST_CASE("identity: a damaged line of metrics is refused, a line cut off by a crash is not") {
  const TemporaryFolder folder;
  const std::string out = folder / "run", file = out + "/metrics.jsonl", data = folder / "data";
  put_set(data, "mnist", first_set);
  REQUIRE(run_test(folder / "whole", data).code == 0);
  cut_off(out, data);
  const auto before = [&] {
    std::string lines;
    std::istringstream all(contents(file));
    for (std::string line; std::getline(all, line);)
      lines += text(Json::parse(line)["step"], " ", Json::parse(line)["check"], "\n");
    return lines;
  };
  const std::string good = contents(file), record = contents(out + "/result.json"),
                    checkpoint = contents(out + "/checkpoints/fit.safetensors");
  const auto outcome = [&](const std::string& metrics) {
    write_atomically(file, std::string_view(metrics));
    write_atomically(out + "/result.json", std::string_view(record));
    write_atomically(out + "/checkpoints/fit.safetensors", std::string_view(checkpoint));
    return run_test(out, data, {"--resume"});
  };
  std::string other = good;
  other[good.find("\"loss\":") + 9] ^= 1;
  std::string no_newline = good;
  no_newline.back() = '\x0b';
  for (const std::string& damaged :
       {other, no_newline, "{}\n" + good, "\n" + good, good.substr(1)}) {
    const Outcome o = outcome(damaged);
    CAPTURE(o.err);
    CHECK(o.code == 2);
    CHECK(has(o.err, file + ": line "));
    CHECK(has(o.err, "is damaged; start again without --resume, or move that file away"));
  }
  const std::string wanted = [&] {
    outcome(good);
    return before();
  }();
  CHECK(std::count(wanted.begin(), wanted.end(), '\n') == 21);
  const std::string next =
      good.substr(good.rfind('{'));  // as a process may be killed while it writes one more line
  for (const std::string& end :
       {next.substr(0, 1), next.substr(0, next.size() / 2), next.substr(0, next.size() - 2)}) {
    CHECK(outcome(good + end).code == 0);
    CHECK(before() == wanted);
  }
  CHECK(outcome(good.substr(0, good.size() - 1)).code == 0);  // just before the newline
  CHECK(before() == wanted);
}

TEST_CASE("identity: lines that are missing from metrics are noticed, in all stages") {
  const TemporaryFolder folder;
  const std::string out = folder / "run", file = out + "/metrics.jsonl", data = folder / "data";
  put_set(data, "mnist", first_set);
  cut_off(out, data);
  const std::string good = contents(file);
  REQUIRE(std::count(good.begin(), good.end(), '\n') == 11);
  const size_t second = good.find('\n') + 1, last = good.rfind('{');
  const std::string first_line = good.substr(0, second),
                    after_second = good.substr(good.find('\n', second) + 1);
  for (const std::string& lacking :
       {good.substr(second), first_line + after_second, good.substr(0, last),
        first_line + first_line + after_second, std::string()}) {
    write_atomically(
        file, std::string_view(
                  lacking));  // the first, the second, the last, one in place of another, all
    CHECK(has(refusal(out, data),
              text("--resume: ", file, ": holds ", lacking.empty() ? 0 : 10, " of the 11 lines of ",
                   "fit before step 11; start again without --resume, or move that file away")));
  }
  write_atomically(
      file, std::string_view(good).substr(0, last + 20));  // what a crash cuts off is no line
  CHECK(has(run_test(out, data, {"--resume"}).err,
            "holds 10 of the 11 lines of fit before step 11;"));
  fs::remove(file);  // as that says, and then once more
  stops_at = 15;
  CHECK(run_test(out, data, {"--resume"}).code == 130);
  stops_at = -1;
  CHECK(run_test(out, data, {"--resume"}).code == 0);
  CHECK(record_of(out)["metrics_moved"] == true);
  std::istringstream lines(contents(file));
  int64_t count = 0;
  for (std::string line; std::getline(lines, line);)
    count += Json::parse(line)["step"] == 11 + count;
  CHECK(count == 10);

  // of a stage that had ended, too
  const std::string whole = folder / "whole";
  REQUIRE(run_test(whole, data).code == 0);
  const std::string all = contents(whole + "/metrics.jsonl"),
                    fewer = all.substr(all.find('\n') + 1);
  write_atomically(whole + "/metrics.jsonl", std::string_view(fewer));
  CHECK(has(refusal(whole, data),
            text("--resume: ", whole, ": metrics.jsonl has ", fewer.size(), " bytes of ",
                 all.size(), "; start again without --resume, or move that file away")));
  rewrite(whole, [](Json& r) { r["files"] = Json::array(); });  // one that lists no files
  CHECK(has(refusal(whole, data), "holds 19 of the 20 lines of fit before step 20;"));

  // and of one that goes on from the checkpoint of another
  const std::string two = folder / "two", both = two + "/metrics.jsonl";
  stops_at = 25;
  REQUIRE(run_test(two, data, {"--set", "more=10"}).code == 130);
  stops_at = -1;
  const std::string written = contents(both);
  write_atomically(both, std::string_view(written).substr(0, written.rfind('{')));
  CHECK(has(refusal(two, data, {"--set", "more=10"}),
            "holds 5 of the 6 lines of more before step 26;"));
  write_atomically(both, std::string_view(written));
  CHECK(run_test(two, data, {"--set", "more=10", "--resume"}).code == 0);
}

TEST_CASE(
    "identity: a refused resume leaves a finished run as it was, and one that went on says how it "
    "failed") {
  const TemporaryFolder folder;
  const std::string out = folder / "run", data = folder / "data", other = folder / "other";
  const std::string metrics = out + "/metrics.jsonl",
                    checkpoint = out + "/checkpoints/more.safetensors";
  put_set(data, "mnist", first_set);
  put_set(other, "mnist", second_set);
  const std::vector<std::string> more{"--set", "more=10"};
  REQUIRE(run_test(out, data, more).code == 0);
  const std::string good = contents(checkpoint);
  CHECK(has(refusal(out, other, more), "mnist test is not what this run was begun with"));
  std::string bad = good;
  bad.back() ^= 1;
  write_atomically(checkpoint, std::string_view(bad));
  CHECK(has(refusal(out, data, more),
            "its bytes do not give the SHA-256"));  // after the stage before was read
  const std::string lines = contents(metrics);
  fs::remove(metrics);
  CHECK(has(refusal(out, data, more), "its bytes do not give the SHA-256"));
  write_atomically(metrics, std::string_view(lines));
  write_atomically(checkpoint, std::string_view(good));
  CHECK(run_test(out, data, {"--set", "more=10", "--resume"}).code == 0);
  CHECK(record_of(out)["claims"].size() == 1);

  const std::string failed = folder / "failed";
  cut_off(failed, data);
  fails_at = 15;
  CHECK(run_test(failed, data, {"--resume"}).code == 2);
  fails_at = -1;
  CHECK(record_of(failed)["status"] == "failed");
  CHECK(record_of(failed)["error"] == "the loss of this test fails");
  CHECK(run_test(failed, data, {"--resume"}).code == 0);
}

TEST_CASE("identity: a stage that goes on from what is no training run says so") {
  const TemporaryFolder folder;
  const std::string out = folder / "run", data = folder / "data",
                    model = folder / "model.safetensors";
  put_set(data, "mnist", first_set);
  save_model(model, make_mlp({{4, 2, 4}, parse_activation("tanh")}, Key(0)));
  const std::string wanted =
      "checkpoint " + model +
      ": no \"step\" in its metadata; it holds a model but not a training run";
  goes_on_from = model;
  const Outcome fresh = run_test(folder / "fresh", data, {"--set", "more=10"});
  goes_on_from.clear();
  CHECK(fresh.code == 2);
  CHECK(has(fresh.err, wanted));
  stops_at = 25;
  REQUIRE(run_test(out, data, {"--set", "more=10"}).code == 130);
  stops_at = -1;
  goes_on_from = model;
  CHECK(has(refusal(out, data, {"--set", "more=10"}), wanted));
  goes_on_from.clear();
}

TEST_CASE("identity: a run is complete only while the files that it wrote are there as they were") {
  const TemporaryFolder folder;
  const std::string out = folder / "run", data = folder / "data";
  put_set(data, "mnist", first_set);
  REQUIRE(run_test(out, data).code == 0);
  const Json record = record_of(out);
  std::vector<std::string> names;
  for (const Json& f : record["files"]) {
    names.push_back(f["name"]);
    CHECK(f["bytes"] == fs::file_size(out + "/" + names.back()));
    CHECK(f["sha256"] == sha256(contents(out + "/" + names.back())));
  }
  CHECK(names == std::vector<std::string>{"checkpoints/fit.safetensors", "grey.png",
                                          "metrics.jsonl", "weights.npy"});
  CHECK(lack_of(out, record).words.empty());
  CHECK(basin_command({"report", out}).code == 0);
  for (const std::string& name : names) {
    const std::string whole = contents(out + "/" + name);
    const auto lacks = [&](const std::string& words) {
      const Lack lack = lack_of(out, record);
      CHECK(lack.name == name);
      CHECK(has(lack.words, words));
      const Outcome report = basin_command({"report", out});
      CHECK(has(report.err, "left out: " + out + ": its record says complete, but " + lack.words));
    };
    fs::remove(out + "/" + name);
    lacks(name + " is missing");
    write_atomically(out + "/" + name, std::string_view(whole).substr(0, whole.size() / 2));
    lacks(text(name, " has ", whole.size() / 2, " bytes of ", whole.size()));
    std::string flipped = whole;
    flipped[whole.size() / 2] ^= 4;
    write_atomically(out + "/" + name, std::string_view(flipped));
    lacks(name + " is not as it was written");
    write_atomically(out + "/" + name, std::string_view(whole));
  }
  Json hostile = record;
  for (const char* name : {"../run/grey.png", "/etc/passwd"}) {
    hostile["files"][0]["name"] = name;
    write_atomically(out + "/result.json", std::string_view(sealed_text(hostile)));
    CHECK(
        has(error_of([&] { read_record(out); }), "/files names a file that is not in its folder"));
  }
}
