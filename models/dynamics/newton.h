// Fixed points are solved for: Newton's method on f(x) = x, in f64, whatever the stability of the
// point.
#pragma once
#include "models/dynamics/code_map.h"
#include "models/dynamics/spectrum.h"

namespace basin {

enum class NewtonEnd : uint8_t {
  fixed_point,  // |f(z) - z| <= tolerance max(1, |z|)
  slow_point,   // |f(z) - z| has a minimum there that is not 0, or one that rounding hides
  unfinished,   // max_steps were not enough
  not_finite,   // f or its Jacobian gave a number that is not finite
};
const char* name_of(NewtonEnd end);

struct NewtonOptions {
  int64_t max_steps = 60;  // Jacobians for each start
  /// Of |f(z) - z| beside max(1, |z|); z are codes of the map.
  double tolerance = 1e-13;
  /// So many first steps are taken whole, whether the residual falls or not. In a piecewise-linear
  /// network they walk from piece to piece (Durstewitz and others: "SCYFI"), and pass the minima of
  /// the residual at kinks where a search along the step ends. -1: 30 there, else none.
  int64_t whole_steps = -1;
  /// Fixed points [M, d] to stay away from: deflation (Farrell, Birkisson and Funke, SIAM J. Sci.
  /// Comput. 37, 2015) makes steps towards them long, so that other ones are found from the same
  /// starts. None of them is found again: what ends within 1e-6 of one is unfinished.
  Array deflated = {};
  /// Called before every step; what it throws ends the work.
  std::function<void()> between = [] {};
};

struct NewtonResult {
  Array points;                  // [N, d] f64, on the CPU
  std::vector<NewtonEnd> ends;   // [N]
  std::vector<double> residual;  // [N], |f(x) - x| there, in points
  std::vector<double> moved;     // [N], distance from the start
  std::vector<int64_t> steps;    // [N], Jacobians made
  Device device;                 // where the starts lay

  int64_t count(NewtonEnd end) const;
};

/// From every row of start [N, d]. Codes are searched (see code_map): each step solves (I - J) s =
/// f(z) - z with J [k, k] and is halved until the residual falls; a factorisation is used again
/// while it makes the residual ten times smaller. Where no step along s helps, steps of Levenberg
/// and Marquardt follow to a fixed point or to the minimum of |f(z) - z|. Errors: start does not
/// fit, f changes the shape.
NewtonResult newton(const CodeMap& f, const Array& start, const NewtonOptions& options = {});
NewtonResult newton(const Mlp& f, const Array& start, const NewtonOptions& options = {});
NewtonResult newton(const Net& f, const Array& start, const NewtonOptions& options = {});
NewtonResult newton(const Map& f, const Array& start, const NewtonOptions& options = {});

struct FixedPoint {
  Array point;                  // [1, d] f64, on the CPU
  double residual = 0;          // |f(x) - x|
  Eigenvalues spectrum;         // eigenvalues of the Jacobian that need not be 0, at most k
  int64_t index = 0;            // how many of them lie outside the unit circle: 0 is an attractor
  double moved = 0;             // distance of the nearest start that led there
  std::vector<int64_t> starts;  // the rows that led there

  double spectral_radius() const { return spectrum.empty() ? 0.0 : std::abs(spectrum.front()); }
  bool attracts() const { return spectral_radius() < 1; }
};

/// The fixed points that Newton reached, in the order of the first start of each, with their
/// spectra. Two within 1e-6 max(1, |x|) of each other are one: at a fold a point is known to the
/// root of the residual only.
std::vector<FixedPoint> fixed_points(const CodeMap& f, const NewtonResult& found);
std::vector<FixedPoint> fixed_points(const Mlp& f, const NewtonResult& found);
std::vector<FixedPoint> fixed_points(const Net& f, const NewtonResult& found);
std::vector<FixedPoint> fixed_points(const Map& f, const NewtonResult& found);

}  // namespace basin
