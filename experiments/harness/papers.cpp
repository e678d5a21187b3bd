#include "experiments/harness/papers.h"

#include <algorithm>
#include <cctype>

namespace basin {

const std::vector<Paper>& papers() {
  static const std::vector<Paper> list{
      {"memorization", "Radhakrishnan et al.", "Memorization in Overparameterized Autoencoders"},
      {"shallow-online-sgd", "Refinetti, Goldt",
       "The dynamics of representation learning in shallow, non-linear autoencoders"},
      {"latent-dynamics", "Fumero et al.", "Navigating the Latent Space Dynamics of Neural Models"},
      {"reconstruction-vs-perception", "Balestriero, LeCun",
       "Learning by Reconstruction Produces Uninformative Features For Perception"}};
  return list;
}

const Paper* find_paper(const std::string& id) {
  for (const Paper& paper : papers())
    if (paper.id == id) return &paper;
  return nullptr;
}

ReadingOrder reading_order(const std::string& paper, const std::string& figure) {
  const Paper* of = find_paper(paper);
  const size_t rank = of ? static_cast<size_t>(of - papers().data()) : papers().size();
  const auto digit =
      std::find_if(figure.begin(), figure.end(), [](unsigned char c) { return std::isdigit(c); });
  const bool appendix = digit != figure.begin() && digit != figure.end() &&
                        std::isalpha(static_cast<unsigned char>(digit[-1]));
  const int kind = figure.starts_with("fig") ? 0 : figure.starts_with("table") ? 1 : 2;
  int64_t number = 0;
  for (auto d = digit;
       d != figure.end() && std::isdigit(static_cast<unsigned char>(*d)) && number < 1000000; ++d)
    number = number * 10 + (*d - '0');
  return {rank, appendix, kind, number,
          digit == figure.end() ? figure : std::string(digit, figure.end())};
}

}  // namespace basin
