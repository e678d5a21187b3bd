// Loops of constant length that are unrolled when compiled.
#pragma once
#include <type_traits>
#include <utility>

namespace basin {

/// Calls f(0), f(1), ... f(n - 1) with compile-time indices, so that arrays indexed by them live in
/// registers.
template <int n, class F>
[[gnu::always_inline]] inline void unrolled(F&& f) {
  [&]<int... i>(std::integer_sequence<int, i...>) __attribute__((always_inline)) {
    (f(std::integral_constant<int, i>{}), ...);
  }
  (std::make_integer_sequence<int, n>{});
}

}  // namespace basin
