// The test runner. Cases whose name begins with "slow: " run in ctest entries of their own (ctest
// -L slow). --device NAME (or BASIN_TEST_DEVICE) chooses where tests that can run anywhere run;
// exit code 77 when it cannot be opened. `basin_tests run ...` is `basin run ...`, the children
// that the tests of several experiments start; `basin_tests basin ...` is `basin ...`.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>

#include "engine/error.h"
#include "experiments/harness/run.h"
#include "tests/device.h"

namespace {
basin::Device& chosen() {
  static basin::Device device;
  return device;
}
}  // namespace

const basin::Device& basin::test_device() {
  return chosen();
}

bool basin::open_cuda(Device& device) {
  try {
    device = Device::open("cuda");
    return true;
  } catch (const Error& error) {
    MESSAGE("skipped: " << std::string(error.what()));
    return false;
  }
}

int main(int argc, char** argv) {
  const std::string first = argc > 1 ? argv[1] : "";
  if (first == "run") return basin::basin_main(argc, argv);
  if (first == "basin") return basin::basin_main(argc - 1, argv + 1);
  const char* from_environment = std::getenv("BASIN_TEST_DEVICE");
  std::string name = from_environment ? from_environment : "cpu";
  for (int i = 1; i + 1 < argc; ++i)
    if (std::string(argv[i]) == "--device") name = argv[i + 1];
  try {
    chosen() = basin::Device::open(name);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "skipped: %s\n", error.what());
    return 77;
  }
  if (name != "cpu")
    std::printf("device %s: %s\n", name.c_str(), chosen().backend().description().c_str());
  return doctest::Context(argc, argv).run();
}
