// What a trained network is as a dynamical system: the measurements of an attractor card.
#pragma once
#include "experiments/analyse/subject.h"
#include "models/dynamics/certificate.h"
#include "models/dynamics/exponents.h"
#include "models/dynamics/fates.h"

namespace basin {

/// A fixed point with what is known around it.
struct Found {
  FixedPoint point;
  std::string certificate;  // "proved", or why not
  double share = 0;         // of the starts that end here
  Interval interval;        // of that share
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
  int64_t attractors = 0;
  int64_t unmatched = 0;  // ends that rest or cycle, at which Newton found no attractor
  Exponents moving;       // largest exponents of starts that move on; none: no such start
  double scale = 1;       // the unit of distances
};

struct CardOptions {
  int64_t newton_starts = 200;  // Newton's method begins at examples, at ends and at so many starts
  int64_t max_iterations = 3000;
  double relative = 1e-6, same = 1e-3;    // of the scale: a step that rests, ends that are one
  int64_t exponents = 16;                 // starts that move on whose exponents are measured
  std::function<void()> between = [] {};  // as in IterateOptions
};

/// Errors: as fates(), newton() and certify().
Card measure_card(const Subject& subject, const Array& starts, const CardOptions& options);

}  // namespace basin
