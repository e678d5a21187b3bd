// The attractors of a trained network at the right points: a training point is only nearly a fixed
// point, so the fixed points are solved for; and what becomes of every start is said.
#pragma once
#include "experiments/harness/run.h"
#include "models/nets/mlp.h"

namespace basin {

/// Adds, for a network at its training points x [n, d] and from starts [N, d]; a fixed point within
/// `radius` of a training point is its own:
///   own fixed points      fraction of training points from which Newton reaches their own
///   own distance          median distance to it
///   own attractors, own saddles, own higher saddles   fractions of training points whose own has
///   no unstable direction, one, more than one
///   shared                fraction of training points whose own is another one's too
///   certified             fraction of the fixed points found that have a certificate
///   certified attractors, proved attractors   fractions of the attractors found that have one,
///   and whose spectral radius it bounds below 1
///   at training points, at other points, on cycles, moving, to infinity   fractions of the starts
///   that end so; they sum to 1
///   other ends            number of attractors and cycles found that are no training point's own
///   indices, distances    lists [n]: unstable directions of the own fixed point (-1: none there),
///   and how far it is
void measure_fixed_points(Run& run, Measurements& m, const Mlp& net, const Array& x,
                          const Array& starts, double radius);

/// Rows without criterion for one network.
void report_fixed_points(const CaseRows& rows);

}  // namespace basin
