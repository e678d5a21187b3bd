#include "experiments/harness/papers.h"

#include <algorithm>
#include <cctype>

namespace basin {
namespace {

unsigned char lower(unsigned char c) {
  return static_cast<unsigned char>(std::tolower(c));
}

/// Where `part` begins, whatever the case of its letters; npos when it is not there.
size_t find_title(const std::string& all, const std::string& part) {
  const auto same = [](unsigned char a, unsigned char b) { return lower(a) == lower(b); };
  const auto at = std::search(all.begin(), all.end(), part.begin(), part.end(), same);
  return at == all.end() ? std::string::npos : static_cast<size_t>(at - all.begin());
}

}  // namespace

const std::vector<Paper>& papers() {
  static const std::vector<Paper> list{
      {"memorization", "Memorization in Overparameterized Autoencoders"},
      {"shallow-online-sgd", "The dynamics of representation learning in shallow, non-linear autoencoders"},
      {"latent-dynamics", "Navigating the Latent Space Dynamics of Neural Models"},
      {"reconstruction-vs-perception", "Learning by Reconstruction Produces Uninformative Features For Perception"}};
  return list;
}

const Paper* paper_of(const std::string& figure) {
  for (const Paper& paper : papers())
    if (find_title(figure, paper.title) != std::string::npos) return &paper;
  return nullptr;
}

std::string place_of(const std::string& figure) {
  const Paper* paper = paper_of(figure);
  if (!paper) return figure;
  const size_t title = find_title(figure, paper->title), end = title == 0 ? 0 : figure.rfind(" of ", title - 1);
  return end == std::string::npos || end == 0 ? figure : figure.substr(0, end);
}

ReadingOrder reading_order(const std::string& figure) {
  const Paper* paper = paper_of(figure);
  const size_t rank = paper ? static_cast<size_t>(paper - papers().data()) : papers().size();
  const std::string place = place_of(figure);
  const int kind = find_title(place, "fig") == 0 ? 0 : find_title(place, "table") == 0 ? 1 : 2;
  const auto digit = std::find_if(place.begin(), place.end(), [](unsigned char c) { return std::isdigit(c); });
  const bool appendix =
      digit != place.begin() && digit != place.end() && std::isalpha(static_cast<unsigned char>(digit[-1]));
  int64_t number = 0;
  for (auto d = digit; d != place.end() && std::isdigit(static_cast<unsigned char>(*d)) && number < 1000000; ++d)
    number = number * 10 + (*d - '0');
  return {rank, appendix, kind, number, digit == place.end() ? place : std::string(digit, place.end())};
}

}  // namespace basin
