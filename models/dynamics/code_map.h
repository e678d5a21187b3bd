// A map in as few numbers as it allows: where x -> decode(encode(x)) has a fixed point x, the codes
// z -> encode(decode(z)) have the fixed point encode(x), with the same non-zero eigenvalues, and no
// other ones.
#pragma once
#include <functional>

#include "models/dynamics/dynamics.h"

namespace basin {

/// In f64. encode and decode take the fixed points of `whole` to those of `map` and back.
struct CodeMap {
  Map whole;           // [B, d] -> [B, d]
  Map encode, decode;  // [B, d] -> [B, k] -> [B, d]
  Map map;             // [B, k] -> [B, k]
  std::function<Array(const Tensor& z)> transposed_jacobians;
  int64_t points_at_a_time = 1;  // whose Jacobians are made at once
  /// Every step of Newton's method then ends at the fixed point of the piece it began in.
  bool piecewise_linear = false;
  Device device = {};  // of the rows that the maps take
};

/// A dense network is cut at its narrowest place, another at its bottleneck, a map of which nothing
/// is known not at all: its codes are its points. Errors: the network does not keep the shape of
/// rows [B, d], or mixes the examples of a batch.
CodeMap code_map(const Mlp& mlp);
CodeMap code_map(const Net& net);
CodeMap code_map(const Map& f, int64_t d, const Device& device = {});

/// f applied `times` times, as one map: its fixed points are the points of the cycles of f whose
/// periods divide times. decode(encode(x)) is f(x) here too, the next point of x's cycle. Errors:
/// times is below 1.
CodeMap iterated(const CodeMap& f, int64_t times);

}  // namespace basin
