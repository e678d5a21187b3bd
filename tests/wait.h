// Waiting for events. The limits only end tests that would wait for ever: no machine is slow enough
// to reach them.
#pragma once
#include <chrono>
#include <filesystem>
#include <string>
#include <thread>

#include "tests/command.h"
#include "tests/files.h"

namespace basin::test {

constexpr unsigned no_machine_needs = 600;  // seconds

/// True once f() is; false when it never is.
template <class F>
bool comes_true(const F& f) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(no_machine_needs);
  while (!f()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return true;
}

inline bool appears(const std::string& file) {
  return comes_true([&] { return std::filesystem::exists(file); });
}

/// False once a process has ended, reaped or not.
inline bool lives(const std::string& process) {
  try {
    const std::string line = contents("/proc/" + process + "/stat");
    return !has(line, ") Z ") && !has(line, ") X ");
  } catch (const Error&) {
    return false;
  }
}

inline bool ends(const std::string& process) {
  return comes_true([&] { return !lives(process); });
}

}  // namespace basin::test
