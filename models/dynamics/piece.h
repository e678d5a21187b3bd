// A piece of a piecewise-linear network. For the other files of this folder.
#pragma once
#include <optional>
#include <vector>

#include "models/dynamics/cyclic.h"

namespace basin {

/// Where the slope of a piecewise-linear activation jumps, ascending; nothing for another one.
std::optional<std::vector<double>> kinks_of(const Activation& activation);

/// The piece that a code lies in, continued beyond its borders: each unit keeps its side of the
/// kinks, so that the map is affine and smooth in all parameters.
class Piece {
 public:
  /// Of a network in f64 at the code z [1, k] before layer `first`. Errors: it has no kinks.
  Piece(const Mlp& mlp, size_t first, const Tensor& z);

  struct Border {
    size_t layer = 0, unit = 0;
    bool above = false;  // the kink at the upper end of the unit's segment
  };
  struct Value {
    Turn turn;
    /// The least distance of a unit from the ends of its segment, negative beyond, and whose it is.
    double margin = 0;
    Border nearest;
  };
  /// The turn from z, as turn(), of any network of the same widths and kinks.
  Value operator()(const Mlp& mlp, const Tensor& z) const;
  /// Moves on to the piece behind a border.
  void cross(const Border& border);

 private:
  size_t first_;
  std::vector<std::vector<size_t>>
      segments_;  // by unit, for every layer that an activation follows
};

}  // namespace basin
