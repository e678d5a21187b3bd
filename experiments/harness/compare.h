// Two runs of one experiment side by side.
#pragma once
#include <string>

namespace basin {

/// Sets the runs in the folders `a` and `b` side by side: settings, options and builds that differ;
/// their claims; the numbers of `results` and of .npy files that differ; over each other the losses
/// of the same stages and the arrays [N, columns] whose first column grows. Writes compare.html
/// into the folder `out`, and compare.png where gnuplot is there. Empty `out`: results/compare-A-B
/// of the folders' own names. Returns the tables for a terminal, and where the page is. Errors: a
/// folder that holds no complete run, a damaged record, different experiments, `out` cannot be
/// written.
std::string compare_runs(const std::string& a, const std::string& b, std::string out = "");

}  // namespace basin
