// Runs a fuzz target without libFuzzer: once over each file of the folders given, then, with
// --mutate N, over N inputs that its mutator makes from them (of --seed S, 1). Exit code 2 when
// there is no file.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/fuzz/mutate.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

void run(const std::string& input) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> inputs;
  uint64_t mutations = 0;
  uint64_t seed = 1;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--mutate") == 0 && i + 1 < argc) mutations = std::stoull(argv[++i]);
    if (std::strcmp(argv[i], "--seed") == 0 && i + 1 < argc) seed = std::stoull(argv[++i]);
    if (!std::filesystem::is_directory(argv[i])) continue;
    for (const auto& entry : std::filesystem::directory_iterator(argv[i])) {
      if (!entry.is_regular_file()) continue;
      std::ifstream in(entry.path(), std::ios::binary);
      inputs.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
    }
  }
  for (const std::string& input : inputs) run(input);
  std::printf("%zu inputs replayed\n", inputs.size());
  if (inputs.empty()) return 2;
  constexpr size_t longest = 8192;
  basin::fuzz::Dice dice(seed);
  std::string input;
  for (uint64_t i = 0; i < mutations; ++i) {
    if (dice.one_in(4) || input.size() > longest)
      input = inputs[dice.below(inputs.size())];  // else changed once more
    if (dice.one_in(8)) {
      basin::fuzz::edit_bytes(input, dice);
    } else {
      input = basin::fuzz::mutated(input, dice);
    }
    run(input);
  }
  if (mutations > 0)
    std::printf("%llu mutated inputs\n", static_cast<unsigned long long>(mutations));
  return 0;
}
