// 16 bytes that are loaded and stored at once, for .cu files.
#pragma once
#include "kernels/cuda/launch.h"

namespace basin::cuda {

template <class T>
struct alignas(16) Pack {
  static constexpr int width = 16 / sizeof(T);
  T v[width];
};

/// `count` elements at a stride. With `vector` whole packs are dense and aligned.
template <class T>
__device__ Pack<T> load_pack(const T* p, int64_t stride, int count, bool vector) {
  if (vector && count == Pack<T>::width) return *reinterpret_cast<const Pack<T>*>(p);
  Pack<T> pack{};
  for (int l = 0; l < Pack<T>::width; ++l)
    if (l < count) pack.v[l] = p[l * stride];
  return pack;
}

template <class T>
__device__ void store_pack(T* p, const Pack<T>& pack, int count, bool vector) {
  if (vector && count == Pack<T>::width) {
    *reinterpret_cast<Pack<T>*>(p) = pack;
    return;
  }
  for (int l = 0; l < Pack<T>::width; ++l)
    if (l < count) p[l] = pack.v[l];
}

template <class... Pointers>
bool aligned(const Pointers*... pointers) {
  return ((reinterpret_cast<uintptr_t>(pointers) % 16 == 0) && ...);
}

}  // namespace basin::cuda
