// Statistics of scores: how well one number tells points of one kind from those of another, scores
// by distance to examples, correlations. Angles between spaces are in engine/linalg/linalg.h.
#pragma once
#include <cstdint>
#include <vector>

#include "engine/array.h"

namespace basin {

/// Ranks from 1 to n; equal values share the mean of theirs. Errors: a value that is not a number.
std::vector<double> mid_ranks(const std::vector<double>& values);

/// How well scores tell outside from inside, large meaning outside.
struct Detection {
  double threshold = 0;  // the smallest with at least 95 % of the inside at or below it
  double fpr95 = 0;      // share of the outside at or below the threshold
  double auroc = 0;      // P(outside > inside) + P(equal) / 2
};
/// Scores may be infinite. Errors: one kind has no score, a score that is not a number.
Detection detection(const std::vector<double>& inside, const std::vector<double>& outside);

/// The mean distance of each point [N, d] to its k nearest examples [M, d]; k = M: to all. Infinite
/// for a point that is not finite. Errors: examples that are not finite, and those of nearest_k.
std::vector<double> knn_score(const Array& points, const Array& examples, int64_t k);

/// The distance of each point from the mean of the examples in units of their spread: the root of
/// (x - m)^T C^-1 (x - m), C their covariance (divided by their number) and `ridge` times its mean
/// diagonal more on the diagonal. Errors: sets as in sets.h, a ridge below 0, a covariance without
/// an inverse.
std::vector<double> mahalanobis(const Array& points, const Array& examples, double ridge = 0);

/// Pearson's correlation of two lists, and Spearman's: that of their mid-ranks. Errors: lengths
/// that differ, fewer than two, a number that is not finite, a list of one value only.
double pearson(const std::vector<double>& x, const std::vector<double>& y);
double spearman(const std::vector<double>& x, const std::vector<double>& y);

}  // namespace basin
