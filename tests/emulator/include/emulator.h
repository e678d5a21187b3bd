// What tests may set and ask of the emulated device. Emulator's own, not part of CUDA.
#pragma once
#include <cstddef>
#include <cstdint>

#if defined(__SANITIZE_ADDRESS__)
#define BASIN_EMULATED_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define BASIN_EMULATED_ASAN 1
#endif
#endif

namespace emulator {

/// In which order blocks and the threads of a block run between barriers. Also
/// BASIN_EMULATED_ORDER=forward, reverse or a number, the seed of a shuffled order.
enum class Order { forward, reverse, shuffled };
void set_order(Order order, uint64_t seed = 0);
void set_order_of_environment();

/// The device has this much memory, of which what is in use stays. 0: the default, 2 GiB.
void set_memory(size_t bytes);

/// What the driver says of itself, 0 for none, and how many devices there are (0 or 1).
void set_driver(int version, int devices);

/// Writes beyond a block of device memory or beyond a block's shared memory since the last call,
/// each reported on stderr. A process that ends with some it has not asked for ends with status 70.
int check_memory();

/// Kernels started and copies made so far.
size_t launches();

}  // namespace emulator
