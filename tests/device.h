// The device the tests run on: --device on the command line of the test program, or
// BASIN_TEST_DEVICE; the CPU otherwise.
#pragma once
#include "engine/device.h"

namespace basin {

/// Set by main.cpp.
const Device& test_device();

/// The first CUDA device, or none with the reason in a message: then the case has not run.
bool open_cuda(Device& device);

}  // namespace basin
