// Any text as a run's result.json: the run is shown or left out by name, and no mark-up of its own
// reaches the page.
#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>

#include "experiments/harness/report.h"
#include "tests/files.h"
#include "tests/fuzz/mutate.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace basin;
  static const test::TemporaryFolder folder;
  const int file = ::open((folder / "result.json").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (file < 0 || ::write(file, data, size) != static_cast<ssize_t>(size) || ::close(file) != 0)
    std::abort();
  try {
    const GatheredRuns gathered = gather_runs(folder.path());
    if (gathered.runs.size() + gathered.skipped.size() != 1) __builtin_trap();
    if (gathered.runs.empty()) return 0;  // no page without a run
    std::string page = page_head(gathered, folder.path());
    for (size_t i = 0; i < gathered.runs.size(); ++i) page += page_run(gathered, i);
    page += page_end(gathered);
    if (page.find("<script") != std::string::npos) __builtin_trap();
  } catch (const Error&) {
  }
  return 0;
}

std::string basin::fuzz::mutated(const std::string& input, Dice& dice) {
  constexpr std::string_view words[] = {"{",
                                        "}",
                                        "[",
                                        "]",
                                        ":",
                                        ",",
                                        "\"",
                                        "[[[[[[[[",
                                        "null",
                                        "true",
                                        "1",
                                        "-1",
                                        "1e999",
                                        "\"<script>\"",
                                        "\"\\u0000\"",
                                        "\"complete\"",
                                        "\"running\"",
                                        "\"claims\"",
                                        "\"values\"",
                                        "\"figures\"",
                                        "[\"../x.png\"]",
                                        "{}",
                                        "[]",
                                        "\"held\""};
  std::string text = input;
  edit_tokens(text, dice, words);
  return text;
}
