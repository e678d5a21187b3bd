// Recorded steps: replaying gives the bits of doing, and what cannot be recorded is said. Runs on
// --device.
#include "engine/recorded_step.h"

#include <doctest/doctest.h>

#include "autograd/transforms.h"
#include "engine/allocator.h"
#include "tests/device.h"

using namespace basin;

namespace {

using Values = std::vector<float>;

Array vector_of(const Values& values) {
  return from_vector(values, {static_cast<int64_t>(values.size())}, test_device());
}

/// x -> x - 0.1 d/dx sum tanh(x)^2, in place.
void descend(const Array& x) {
  const Tensor g = grad([](const Tensor& t) { return sum(square(tanh(t))); }, Tensor(x));
  assign(x, (Tensor(x) - 0.1 * g).array());
}

std::string message_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

bool records() {
  return test_device().backend().can_capture();
}

}  // namespace

TEST_CASE("a recorded step gives the bits of the step, and calls its function twice") {
  const Values start{0.5f, -1.25f, 2, 0.03125f, -3};
  const Array eager = vector_of(start), replayed = vector_of(start);
  int calls = 0;
  RecordedStep recorded(test_device(), [&] {
    ++calls;
    descend(replayed);
  });
  for (int i = 0; i < 7; ++i) {
    descend(eager);
    recorded.run();
    CHECK(replayed.to_vector<float>() == eager.to_vector<float>());
  }
  CHECK(recorded.recorded() == records());
  CHECK(calls == (records() ? 2 : 7));
}

TEST_CASE("a replay reads what has been written in between, and rewrites what was kept") {
  const Array x = vector_of({1, 2}), bias = vector_of({0, 0});
  Tensor kept;
  RecordedStep recorded(test_device(), [&] { kept = Tensor(x) * 2.0 + Tensor(bias); });
  for (float b : {0.0f, 1.0f, 10.0f, 100.0f}) {
    assign(bias, vector_of({b, -b}));
    recorded.run();
    CHECK(kept.array().to_vector<float>() == Values{2 + b, 4 - b});
  }
}

TEST_CASE("numbers of the host are those of the recording") {
  const Array x = vector_of({1});
  double factor = 1;
  Tensor kept;
  RecordedStep recorded(test_device(), [&] { kept = Tensor(x) * factor; });
  for (factor = 1; factor <= 4; ++factor) recorded.run();
  CHECK(kept.item() == (records() ? 2 : 4));  // the second run was the recorded one
}

TEST_CASE("recorded steps give their memory back, after the arrays made in them") {
  const size_t live = memory_stats(test_device()).live;
  {
    Array survivor;
    const Array x = vector_of(Values(1000, 1.5f));
    {
      Tensor kept;
      RecordedStep recorded(test_device(), [&] { kept = exp(Tensor(x)) * 2.0; });
      for (int i = 0; i < 4; ++i) recorded.run();
      survivor = kept.array();
    }
    const Array other =
        full({1000}, -1, DType::f32, test_device());  // must not be given the survivor's block
    CHECK(survivor.to_vector<float>()[999] ==
          (exp(Tensor(x)) * 2.0).array().to_vector<float>()[999]);
    CHECK(other.to_vector<float>()[0] == -1);
  }
  CHECK(memory_stats(test_device()).live == live);
}

TEST_CASE(
    "what cannot be recorded is an error that names the operation, and the device stays usable") {
  if (!records()) return;
  const Array x = vector_of({1, 2, 3});
  RecordedStep reading(test_device(), [&] { (void)sum(Tensor(x)).item(); });
  reading.run();
  CHECK(message_of([&] { reading.run(); }).find("item: reads on the host") != std::string::npos);

  RecordedStep making(test_device(), [&] { (void)from_vector<float>({1}, {1}, test_device()); });
  making.run();
  CHECK(message_of([&] { making.run(); }).find("from_vector: copies from the host") !=
        std::string::npos);

  int64_t rows = 1;
  RecordedStep growing(test_device(), [&] { (void)exp(broadcast_to(Tensor(x), {rows, 3})); });
  growing.run();
  rows = 4096;
  const std::string message = message_of([&] { growing.run(); });
  CAPTURE(message);
  CHECK(message.find("exp: allocates") != std::string::npos);

  // the first run of a step may fail, and is tried again
  bool fails = true;
  RecordedStep failing(test_device(), [&] {
    if (fails) throw Error("not yet");
    descend(x);
  });
  CHECK(message_of([&] { failing.run(); }) == "not yet");
  fails = false;
  for (int i = 0; i < 3; ++i) failing.run();
  CHECK(failing.recorded());

  // blocks of the second run are found although others are free than in the first: 18, 10 and 18
  // MiB
  const auto large = [](int64_t mib) { return Array({mib << 20}, DType::u8, test_device()); };
  RecordedStep shuffling(test_device(), [&] {
    { const Array t = large(18); }
    Array a = large(10);
    const Array b = large(10);
    a = Array();
    const Array c = large(18);
    fill(c, 1);
  });
  for (int i = 0; i < 3; ++i) shuffling.run();
  CHECK(shuffling.recorded());

  RecordedStep nested(test_device(), [&] {
    RecordedStep inner(test_device(), [&] { descend(x); });
    for (int i = 0; i < 2; ++i) inner.run();
  });
  nested.run();
  CHECK(message_of([&] { nested.run(); }) != "no error");
  CHECK(sum(Tensor(vector_of({1, 2, 3}))).item() == 6);
  rows = 1;
  growing.run();
  CHECK(growing.recorded());
}

TEST_CASE("values read later are those of the moment they were asked for") {
  const Array x = vector_of({1, 2});
  LaterValues before(x);
  assign(x, vector_of({5, 6}));
  LaterValues after(x);
  CHECK(after.wait<float>() == Values{5, 6});
  CHECK(before.wait<float>() == Values{1, 2});
  CHECK_THROWS_AS(before.wait<double>(), Error);
}
