// Counter-based random numbers: element i is word i % 4 of Philox block i / 4, whatever the thread
// that computes it.
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/loops.h"
#include "kernels/normal.h"

namespace basin::cpu {
namespace {

template <class T, class F>
void draw(const View& out, KeyBits key, uint64_t offset, F&& convert) {
  const int64_t n = out.size();
  T* to = out.as<T>();
  parallel_for((n + grain - 1) / grain, [&](int64_t task) {
    constexpr int64_t piece = 256;
    uint32_t words[piece + 7];  // with what the first and last block have outside the piece
    const int64_t end = std::min(n, (task + 1) * grain);
    for (int64_t i = task * grain; i < end; i += piece) {
      const int64_t count = std::min(piece, end - i);
      const uint64_t index = offset + static_cast<uint64_t>(i);
      const auto before = static_cast<int64_t>(index % 4);
      for (int64_t w = 0; w < before + count; w += 4) {
        const Philox4 block = random_block(key, (index + static_cast<uint64_t>(w)) / 4);
        std::copy(block.v, block.v + 4, words + w);
      }
      for (int64_t j = 0; j < count; ++j) to[i + j] = convert(words[before + j]);
    }
  });
}

}  // namespace

void CpuBackend::random(Distribution kind, KeyBits key, const View& step, uint64_t offset,
                        const View& out) {
  if (step.data) key = key_at(key, static_cast<uint64_t>(*step.as<const double>()));
  if (kind == Distribution::bits)
    return draw<uint32_t>(out, key, offset, [](uint32_t word) { return word; });
  with_float(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    if (kind == Distribution::uniform)
      draw<T>(out, key, offset, [](uint32_t word) { return to_unit<T>(word); });
    else
      draw<T>(out, key, offset, [](uint32_t word) { return standard_normal<T>(word); });
  });
}

}  // namespace basin::cpu
