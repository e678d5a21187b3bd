// Sets of points: which are the same, how much they look like examples, how alike two sets are, and
// how many directions one fills. Sets are matrices with a point in each row, of any dtype and
// device; everything is computed in f64 on the CPU. Errors of all: a set that is not a matrix, has
// no row or is not finite, sets of different widths.
#pragma once
#include <cstdint>
#include <vector>

#include "engine/array.h"

namespace basin {

/// The median distance between two of the first 200 points: the unit in which distances in a space
/// without a scale of its own are given. Errors: fewer than two points.
double scale_of(const Array& points);

struct Distinct {
  std::vector<int64_t> representatives;  // rows, in order
  std::vector<int64_t>
      of;  // [N], which representative (its place in the list) a row is the same as
};
/// Points without repeats, in their order: one is a new representative unless it is the same as an
/// earlier representative, the first of which then stands for it. The same: the cosine is above the
/// threshold, lengths below 1e-12 counting as 1e-12. Points on one ray are the same by this rule.
Distinct distinct_by_cosine(const Array& points, double threshold = 0.99);
/// The same: closer than share * scale. A scale below 1e-6 says that all collapsed to one point:
/// then the first stands for all. Errors: a scale or share below 0 or not finite.
Distinct distinct_by_distance(const Array& points, double scale, double share = 0.05);

/// Mean and standard deviation (of the population: divided by the count) of some numbers.
struct Spread {
  double mean = 0, deviation = 0;
};
/// Errors: no number.
Spread spread_of(const std::vector<double>& values);

struct Memorisation {
  std::vector<double> coefficient;  // [N], the largest cosine with an example
  std::vector<int64_t> example;     // [N], its row, the first at a tie
  Spread over_points, over_distinct;
  int64_t distinct_examples = 0;  // how many examples are some point's nearest
};
/// How much each point looks like one of the examples: max cos(point, example), rows as they are,
/// lengths below 1e-12 counting as 1e-12. `distinct` are the points without repeats. Errors:
/// `distinct` is of another set.
Memorisation memorisation(const Array& points, const Array& examples, const Distinct& distinct);

/// Coefficients of what is not memorised, without which one of a point means nothing.
struct MemorisationLevels {
  double mean_example = 0;  // of the mean of the examples: a blur is close to everything
  Spread tests;             // of points that were never learned
};
MemorisationLevels memorisation_levels(const Array& examples, const Array& tests);
/// points less the mean of examples, f64: cosines of both less that mean ignore what all share.
Array less_mean(const Array& points, const Array& examples);

/// How alike two sets are: means over each set of the nearest in the other, and their mean.
struct Chamfer {
  double first_to_second = 0, second_to_first = 0, symmetric = 0;
};
/// By the largest cosine.
Chamfer chamfer_cosine(const Array& first, const Array& second);
/// By the smallest distance, in units of scale. Errors: a scale that is not above 0.
Chamfer chamfer_distance(const Array& first, const Array& second, double scale = 1);

/// The smallest number of singular values whose squares make 0.9 of the sum of all.
struct Rank {
  int64_t centred = 0;    // of the rows less their mean; 0 where these are below 1e-8 of the whole
  int64_t uncentred = 0;  // of the rows; 0 where all are zero
};
struct Rank90 {
  Rank all;
  Rank inside;           // without outliers
  int64_t outliers = 0;  // rows longer than three times the median length
};
/// The directions that a set fills: few far points decide it, so that both are given. A share that
/// is short of 0.9 by rounding (1e-12) counts as 0.9.
Rank90 rank90(const Array& points);

}  // namespace basin
