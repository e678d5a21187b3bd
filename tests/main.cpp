// The test runner: doctest's options and --device NAME (or BASIN_TEST_DEVICE). A device that cannot be had ends the run
// with status 77 and the reason, which ctest reports as skipped. Cases whose name begins with "slow: " run in ctest
// entries of their own (ctest -L slow).
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "engine/error.h"
#include "tests/device.h"

namespace {
basin::Device opened;
}  // namespace

const basin::Device& test_device() {
  return opened;
}

int main(int count, char** arguments) {
  std::vector<char*> rest;
  const char* chosen = std::getenv("BASIN_TEST_DEVICE");
  std::string name = chosen && *chosen ? chosen : "cpu";
  for (int i = 0; i < count; ++i) {
    const std::string argument = arguments[i];
    if (argument == "--device" && i + 1 < count)
      name = arguments[++i];
    else if (argument.starts_with("--device="))
      name = argument.substr(9);
    else
      rest.push_back(arguments[i]);
  }
  try {
    opened = basin::Device::open(name);
  } catch (const basin::Error& error) {
    std::fprintf(stderr, "skipped: %s\n", error.what());
    return 77;
  }
  std::printf("device: %s (%s)\n", opened.name().c_str(), opened.backend().description().c_str());
  doctest::Context context(static_cast<int>(rest.size()), rest.data());
  return context.run();
}
