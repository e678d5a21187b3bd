#include "models/nets/call_text.h"

#include <charconv>
#include <cmath>

#include "engine/error.h"

namespace basin {
namespace {

std::string trimmed(const std::string& s) {
  const char* spaces = " \t\n\r";
  const size_t first = s.find_first_not_of(spaces);
  return first == std::string::npos ? "" : s.substr(first, s.find_last_not_of(spaces) - first + 1);
}

}  // namespace

Call parse_call(const std::string& input, const char* what) {
  const std::string s = trimmed(input);
  const size_t open = s.find('(');
  Call call{trimmed(s.substr(0, open)), {}};
  require(!call.name.empty() && call.name.find_first_of(" ),") == std::string::npos, what,
          ": cannot read \"", input, "\"; write name or name(a, b)");
  if (open == std::string::npos) return call;
  int depth = 0;
  size_t start = open + 1, i = open;
  for (; i < s.size(); ++i) {
    if (s[i] == '(') ++depth;
    if (s[i] == ')' && --depth == 0) break;
    if (s[i] == ',' && depth == 1) {
      call.arguments.push_back(trimmed(s.substr(start, i - start)));
      start = i + 1;
    }
  }
  require(i + 1 == s.size(), what, ": cannot read \"", input,
          "\": brackets do not match or text follows them");
  const std::string last = trimmed(s.substr(start, i - start));
  if (!last.empty() || !call.arguments.empty()) call.arguments.push_back(last);
  return call;
}

double parse_number(const std::string& input, const char* what) {
  const std::string s = trimmed(input);
  double value = 0;
  const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), value);
  require(error == std::errc() && end == s.data() + s.size() && std::isfinite(value), what, ": \"",
          input, "\" is not a number");
  return value;
}

std::vector<double> number_arguments(const Call& call, size_t least, size_t most,
                                     const char* what) {
  require(call.arguments.size() >= least && call.arguments.size() <= most, what, ": ", call.name,
          " takes ", least, most > least ? " to " + std::to_string(most) : "", " numbers, got ",
          call.arguments.size());
  std::vector<double> numbers;
  for (const std::string& argument : call.arguments)
    numbers.push_back(parse_number(argument, what));
  return numbers;
}

size_t index_of(std::span<const char* const> names, const std::string& name, const char* what) {
  std::string known;
  for (size_t i = 0; i < names.size(); ++i) {
    if (name == names[i]) return i;
    known += std::string(i ? ", " : "") + names[i];
  }
  throw Error(text(what, ": no \"", name, "\"; known: ", known));
}

std::string number_text(double value) {
  char buffer[32];
  return std::string(buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr);
}

}  // namespace basin
