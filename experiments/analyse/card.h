// What a trained network is as a dynamical system: the measurements of an attractor card.
#pragma once
#include "experiments/analyse/subject.h"
#include "models/dynamics/certificate.h"
#include "models/dynamics/exponents.h"
#include "models/dynamics/fates.h"

namespace basin {

enum class Kind : uint8_t { attractor, neutral, saddle, repeller };
const char* name_of(Kind kind);
/// attractor: radius below 1; neutral: no eigenvalue outside the unit circle, but one on it;
/// repeller: all of them outside; saddle: some.
Kind kind_of(const FixedPoint& point);

/// A fixed point with what is known around it.
struct Found {
  FixedPoint point;
  std::string certificate;   // "proved", or why not
  bool kind_proved = false;  // no eigenvalue can be on the other side of the unit circle
  double share = 0;          // of the starts that end here
  Interval interval;         // of that share
  int64_t starts = 0;
  int64_t example = -1;  // the nearest one; -1: there are no examples
  double distance = 0;   // to it
};

/// A cycle that starts reach, solved for as a fixed point of f^period.
struct FoundCycle {
  int64_t period = 0;
  FixedPoint point;  // one of its points; spectrum and index of f^period: its multipliers
  double share = 0;
  Interval interval;
  int64_t starts = 0;
};

struct Card {
  Fates fates;
  Ends ends;
  FateSummary summary;
  std::vector<Found> fixed;  // attractors by falling share, then the others by index
  std::vector<FoundCycle> cycles;
  int64_t reached = 0;   // attractors and cycles that starts end at
  int64_t unsolved = 0;  // starts at rest or on a cycle where nothing that attracts was solved for
  Exponents moving;      // largest exponents of starts that move on; none: no such start
  double scale = 1;      // the unit of distances
};

struct CardOptions {
  // Newton's method begins at where starts came to rest, at so many starts and so many examples.
  int64_t newton_starts = 200, newton_examples = 1000;
  int64_t max_iterations = 3000;
  double relative = 1e-6, same = 1e-3;    // of the scale: a step that rests, ends that are one
  int64_t exponents = 16;                 // starts that move on whose exponents are measured
  std::function<void()> between = [] {};  // as in IterateOptions
};

/// Errors: as fates(), newton() and certify().
Card measure_card(const Subject& subject, const Array& starts, const CardOptions& options);

}  // namespace basin
