// The device that tests run on: --device NAME of the test program, or the environment's BASIN_TEST_DEVICE, or the CPU.
#pragma once
#include "engine/device.h"

/// main.cpp has opened it.
const basin::Device& test_device();
