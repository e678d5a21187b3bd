// Counter-based random numbers: element i is word i % 4 of Philox block i / 4, whatever the thread
// that computes it.
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/loops.h"

namespace basin::cpu {
namespace {

template <class T, class F>
void draw(const View& out, KeyBits key, uint64_t offset, F&& convert) {
  const int64_t n = out.size();
  T* to = out.as<T>();
  parallel_for((n + grain - 1) / grain, [&](int64_t task) {
    uint64_t loaded = ~uint64_t{0};
    Philox4 words{};
    for (int64_t i = task * grain; i < std::min(n, (task + 1) * grain); ++i) {
      const uint64_t index = offset + static_cast<uint64_t>(i);
      if (index / 4 != loaded) {
        loaded = index / 4;
        words = random_block(key, loaded);
      }
      to[i] = convert(words.v[index % 4]);
    }
  });
}

}  // namespace

void CpuBackend::random(Distribution kind, KeyBits key, uint64_t offset, const View& out) {
  if (kind == Distribution::bits)
    return draw<uint32_t>(out, key, offset, [](uint32_t word) { return word; });
  with_float(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    if (kind == Distribution::uniform)
      draw<T>(out, key, offset, [](uint32_t word) { return to_unit<T>(word); });
    else
      draw<T>(out, key, offset, [](uint32_t word) { return to_normal<T>(word); });
  });
}

}  // namespace basin::cpu
