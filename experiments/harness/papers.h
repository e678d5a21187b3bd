// The papers whose figures are reproduced, and the order in which their figures are read.
#pragma once
#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

namespace basin {

struct Paper {
  std::string id, authors, title;
};

/// In the order in which lists and reports show them.
const std::vector<Paper>& papers();

/// nullptr for an id that is none of them.
const Paper* find_paper(const std::string& id);

/// Sorts figures as their papers show them: paper, then figures, tables and the rest, then their
/// numbers, with those of an appendix ("S2") at the end.
using ReadingOrder = std::tuple<size_t, bool, int, int64_t, std::string>;
ReadingOrder reading_order(const std::string& paper, const std::string& figure);

}  // namespace basin
