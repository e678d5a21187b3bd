// The device the tests run on: --device on the command line of the test program, or BASIN_TEST_DEVICE; the CPU
// otherwise.
#pragma once
#include "engine/device.h"

namespace basin {

/// Set by main.cpp.
const Device& test_device();

}  // namespace basin
