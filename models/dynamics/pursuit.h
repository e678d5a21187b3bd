// Orthogonal matching pursuit: signals as sums of a few atoms of a dictionary.
#pragma once
#include <cstdint>
#include <vector>

#include "engine/array.h"

namespace basin {

struct Pursuit {
  int64_t steps = 0;
  std::vector<int64_t> atoms;    // [B * steps], rows of the dictionary in the order picked; -1:
                                 // the fit was exact before
  std::vector<double> residual;  // [B * steps], |y - fit|^2 after each step
  std::vector<double> error;     // [steps], the mean over signals and coordinates of (y - fit)^2
  Array coefficients;            // f64 [B, steps], of the picked atoms at length 1, at the end
  std::vector<Array> fits;       // one f64 [B, d] for each of `record_at`
  std::vector<int64_t> dropped;  // rows of the dictionary that are shorter than 1e-12
};

/// Fits signals [B, d] by `steps` rows of dictionary [n, d], divided by their lengths, without an
/// intercept. Each step picks the unused atom with the largest |<atom, y - fit>| (the lowest row
/// where two are equal to 1e-13 of it) and fits all picked ones by least squares, through one more
/// column of a QR decomposition. An atom with less than 1e-12 outside the span of those before it,
/// such as a copy, is picked but changes nothing: its coefficient is 0. A signal whose residual is
/// below 1e-14 of its length is done. `record_at`: numbers of steps, ascending, after which the
/// fits are wanted. Computes in f64 on the CPU, in batches of signals. Errors: sets as in sets.h,
/// steps outside 1 .. the atoms that are not dropped, record_at not ascending in 1 .. steps.
/// Source: Pati, Rezaiifar, Krishnaprasad, Asilomar 1993.
Pursuit matching_pursuit(const Array& dictionary, const Array& signals, int64_t steps,
                         const std::vector<int64_t>& record_at = {});

}  // namespace basin
