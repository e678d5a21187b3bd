#include "experiments/harness/table.h"

#include <algorithm>
#include <cstdio>
#include <sstream>

#include "experiments/harness/process.h"

namespace basin {
namespace {

std::vector<std::string> wrap(const std::string& cell, size_t width) {
  std::vector<std::string> lines;
  std::string rest = cell;
  while (rest.size() > width) {
    size_t cut = rest.rfind(' ', width);
    if (cut == std::string::npos || cut == 0) cut = width;
    lines.push_back(rest.substr(0, cut));
    rest.erase(0, rest.find_first_not_of(' ', cut));
  }
  lines.push_back(rest);
  return lines;
}

}  // namespace

Table::Table(std::vector<Column> columns) : columns_(std::move(columns)) {
  std::vector<std::string> titles, rules;
  for (const Column& c : columns_) {
    titles.push_back(c.title);
    rules.emplace_back(c.width, '-');
  }
  row(titles);
  row(rules);
}

void Table::row(const std::vector<std::string>& cells) {
  std::vector<std::vector<std::string>> wrapped;
  size_t height = 1;
  for (size_t i = 0; i < columns_.size(); ++i) {
    wrapped.push_back(wrap(cells[i], columns_[i].width));
    height = std::max(height, wrapped.back().size());
  }
  for (size_t line = 0; line < height; ++line) {
    std::string out;
    for (size_t i = 0; i < columns_.size(); ++i) {
      const std::string part = line < wrapped[i].size() ? wrapped[i][line] : "";
      out += part + std::string(columns_[i].width - part.size() + 2, ' ');
    }
    out.erase(out.find_last_not_of(' ') + 1);
    text_ += out + "\n";
  }
}

std::string terminal_text(const std::string& message) {
  std::istringstream lines(message.substr(0, message.find_last_not_of(" \n") + 1));
  std::string out;
  for (std::string line; std::getline(lines, line);) {
    out += (out.empty() ? "" : line.starts_with("  ") ? "\n" : "\n  ") + one_line(line);
  }
  return out;
}

std::string short_number(double value) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%.3g", value);
  return buffer;
}

}  // namespace basin
