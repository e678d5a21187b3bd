// The papers whose figures are reproduced, and where in its paper a figure stands.
#pragma once
#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

namespace basin {

struct Paper {
  std::string id, title;
};

/// In the order in which lists and reports show them.
const std::vector<Paper>& papers();

/// The paper whose title stands in a figure text ("figure 2 of Somebody et al., TITLE"), nullptr when none does.
const Paper* paper_of(const std::string& figure);

/// "figure 2" of "figure 2 of Somebody et al., TITLE"; all of it without a known title.
std::string place_of(const std::string& figure);

/// Sorts figure texts as their papers show them: paper, then figures, tables and the rest, then their numbers, with
/// those of an appendix ("S2") at the end.
using ReadingOrder = std::tuple<size_t, bool, int, int64_t, std::string>;
ReadingOrder reading_order(const std::string& figure);

}  // namespace basin
