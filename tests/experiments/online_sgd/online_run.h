// A piece of work as the experiment of a run, inside the tests.
#pragma once
#include <functional>

#include "models/training/interrupt.h"
#include "tests/command.h"
#include "tests/experiments/online_sgd/online_reference.h"
#include "tests/files.h"

namespace basin::test {

/// What the program around an experiment makes of `work`: exit code, terminal and message.
inline Outcome run_in(const std::string& folder, const std::function<void(Run&)>& work,
                      bool resume = false, const std::string& data = "",
                      const std::string& device = "cpu") {
  Experiment e{{"online-test", "", "no figure", "test"}, {}, {}, {}, {}, {}};
  e.defaults = [](Preset) { return basin::Json::object(); };
  e.check = [](const basin::Json&) {};
  e.compute = [&](Run& run, const basin::Json&) { work(run); };
  Options options;
  options.out = folder, options.resume = resume, options.data = data, options.threads = 1;
  options.device = device;
  std::ostringstream out;
  std::streambuf* cout = std::cout.rdbuf(out.rdbuf());
  Outcome outcome{0, "", ""};
  try {
    const InterruptGuard guard;
    outcome.code = Run(e, options).execute();
  } catch (const Error& error) {
    outcome.code = error.exit_code(), outcome.err = error.what();
  } catch (const std::exception& error) {
    outcome.code = 1, outcome.err = error.what();
  }
  std::cout.rdbuf(cout);
  outcome.out = out.str();
  return outcome;
}

}  // namespace basin::test
