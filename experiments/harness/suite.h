// All experiments of a paper, several at a time, each a process of its own.
#pragma once
#include <string>

#include "experiments/harness/run.h"

namespace basin {

struct SuiteOptions {
  std::string paper;  // an id of papers.h, or "all"
  /// What every run gets. `out` is the folder of all runs (empty: results), `threads` their threads
  /// together.
  Options options;
  int jobs = 0;  // runs at a time; 0: one for each thread, at most 4, and one on a GPU
  std::string program = "basin";  // what the runs' own commands begin with
};

/// Runs all experiments of a paper into FOLDER/<name>/<preset>-seed<seed>, their output into
/// FOLDER/logs, and writes the report. With `resume` what is complete stays and what is not goes
/// on. Returns the exit code: 0 all are complete (and with `strict` all claims hold), else 1.
/// Errors: unknown paper, a folder that cannot be used or is in use by another suite; Ctrl-C
/// (interrupted), after the runs at work have saved their state.
int run_suite(const SuiteOptions& options);

}  // namespace basin
