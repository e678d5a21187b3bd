// Settings as text: "leaky_relu(0.2)", "cosine(1000, 0)". Used by every value that appears in
// configs and checkpoints.
#pragma once
#include <span>
#include <string>
#include <vector>

namespace basin {

/// "name(first, second)" taken apart; arguments may contain calls themselves.
struct Call {
  std::string name;
  std::vector<std::string> arguments;
};

/// Errors name `what` and the text: no name, unbalanced brackets, text after the closing bracket.
Call parse_call(const std::string& input, const char* what);
/// The whole text as a finite number. Errors name `what` and the text.
double parse_number(const std::string& input, const char* what);
/// All arguments as numbers, of which there must be at least `least` and at most `most`.
std::vector<double> number_arguments(const Call& call, size_t least, size_t most, const char* what);
/// Where `name` stands in `names`. Errors: nowhere; the message lists what there is.
size_t index_of(std::span<const char* const> names, const std::string& name, const char* what);
/// The shortest text that reads back as the same double.
std::string number_text(double value);

}  // namespace basin
