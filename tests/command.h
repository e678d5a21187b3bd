// `basin` run inside the tests.
#pragma once
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "engine/file.h"
#include "experiments/harness/run.h"

namespace basin::test {

struct Outcome {
  int code;
  std::string out, err;
};

/// `basin ARGUMENTS...` with what it prints.
inline Outcome basin_command(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "basin");
  std::vector<char*> argv;
  for (std::string& a : arguments) argv.push_back(a.data());
  argv.push_back(nullptr);
  std::ostringstream out, err;
  std::streambuf *cout = std::cout.rdbuf(out.rdbuf()), *cerr = std::cerr.rdbuf(err.rdbuf());
  const int code = basin_main(static_cast<int>(arguments.size()), argv.data());
  std::cout.rdbuf(cout);
  std::cerr.rdbuf(cerr);
  return {code, out.str(), err.str()};
}

inline std::string contents(const std::string& path) {
  const Bytes bytes = read_file(path);
  return {bytes.begin(), bytes.end()};
}

inline Json record_of(const std::string& folder) {
  return Json::parse(contents(folder + "/result.json"));
}

}  // namespace basin::test
