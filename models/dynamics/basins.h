// Basins and the boundaries between them: how mixed they are, what lies on them, how far it is to
// them.
#pragma once
#include "engine/key.h"
#include "models/dynamics/fates.h"

namespace basin {

/// The basin of every row of points [N, d], as a number of its own for each basin.
using BasinOf = std::function<std::vector<int64_t>(const Array& points)>;

/// Basins of f by the fates of the points: i where one ends within radius of ends.cycles[i] (see
/// distinct_ends), else the number of ends plus the Fate.
BasinOf basins_of(const Map& f, const Ends& ends, double radius, const FateOptions& options = {});

/// The centres of the cells of a box from low [d] to high [d], f64 [product of counts, d] on the
/// CPU, the last coordinate first to change. Errors: sizes that do not fit, low not below high.
Array grid_points(const std::vector<double>& low, const std::vector<double>& high,
                  const Shape& counts);

struct BasinEntropy {
  double entropy = 0;   // mean over all boxes of -sum p ln p, p the shares of basins in a box
  double boundary = 0;  // mean over the boxes with more than one basin; 0 where there is none
  int64_t boxes = 0;
  int64_t boundary_boxes = 0;
};

/// Basin entropy and boundary basin entropy (Daza et al. 2016) of labels on a grid in row-major
/// order, in boxes of side^d labels that do not overlap; what is left at the far sides is not used.
/// A boundary entropy above ln 2 shows a boundary that is not smooth. Errors: labels do not fill
/// the grid, no whole box fits.
BasinEntropy basin_entropy(const std::vector<int64_t>& labels, const Shape& grid, int64_t side);

struct Uncertainty {
  std::vector<double> eps, fraction;  // [M], the fraction of pairs in two basins
  std::vector<Interval> interval;     // [M], Wilson, 95 %
  double exponent = 0, error = 0;     // slope of ln fraction over ln eps, its standard error
};

/// The uncertainty exponent (Grebogi et al. 1983): d less the dimension of the boundary. Pairs are
/// each of points [N, d] and one eps away in a random direction. The slope is fitted with the
/// weights of binomial counts, and its error is widened where the fit is worse than these allow;
/// fractions of 0 and 1 have no logarithm or say nothing, and are left out. Exponent and error are
/// NaN where fewer than two are left. Errors: no points, eps not positive.
Uncertainty uncertainty_exponent(const BasinOf& basin_of, const Array& points,
                                 const std::vector<double>& eps, const Key& key);

/// Two points for each row, [N, d] each, with the boundary between them.
struct Bracket {
  Array inside, outside;  // inside is in the basin that the search began in
};

/// Bisection between inside [N, d] and outside [N, d] until no pair is further apart (L2) than
/// `width`, or than rounding allows. Errors: shapes differ, width negative, a pair in one basin.
Bracket bisect(const BasinOf& basin_of, const Bracket& pairs, double width);

struct EdgeOptions {
  /// Of |f(x) - x|. Pairs are brought to tolerance / 100 of each other, and followed until they are
  /// 100 tolerance apart: what follows the boundary is off by the square of that.
  double tolerance = 1e-7;
  int64_t max_steps = 10000;  // applications of f
};

struct EdgeStates {
  Array points;               // [N, d], on the boundary
  std::vector<double> step;   // [N], |f(x) - x|
  std::vector<char> settled;  // [N], 1 where step is at most the tolerance: a saddle
};

/// What attracts on the boundary, by edge tracking (Skufca, Yorke and Eckhardt 2006): a pair of
/// points on both sides is iterated until they part, and brought together by bisection, until its
/// middle does not move. Not settled: the edge state is no fixed point, or max_steps were too few.
/// Errors: as bisect; f changes the shape.
EdgeStates edge_states(const Map& f, const BasinOf& basin_of, const Bracket& pairs,
                       const EdgeOptions& options = {});

struct ShockOptions {
  double most = 1;          // the largest amplitude that is tried
  int64_t scan = 64;        // amplitudes that are tried first, evenly spaced
  double tolerance = 1e-7;  // absolute
};

/// The minimal critical shock of each of points [N, d] along its direction, [N, d] or [1, d], whose
/// length does not matter: the smallest amplitude found that leaves the basin, at most `tolerance`
/// above the boundary; infinite where none up to `most` does. A piece of another basin thinner than
/// most / scan may be missed. Errors: shapes, a direction of length 0 or not finite, an option that
/// is not positive.
std::vector<double> critical_shock(const BasinOf& basin_of, const Array& points,
                                   const Array& directions, const ShockOptions& options = {});

}  // namespace basin
