// Text for the terminal: tables, messages, numbers.
#pragma once
#include <string>
#include <vector>

namespace basin {

struct Column {
  std::string title;
  size_t width;
};

/// Columns of fixed width; longer cells are wrapped at blanks.
class Table {
 public:
  explicit Table(std::vector<Column> columns);
  void row(const std::vector<std::string>& cells);
  const std::string& text() const { return text_; }

 private:
  std::vector<Column> columns_;
  std::string text_;
};

/// A message for a terminal: it cannot steer it, and all lines after the first are indented.
std::string terminal_text(const std::string& message);

/// Three significant digits, as short as they get: "0.83", "3.2e-12".
std::string short_number(double value);

}  // namespace basin
