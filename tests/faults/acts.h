// What is done to a run, and at which of its calls.
#pragma once
#include <string>
#include <vector>

#include "tests/faults/plan.h"

namespace basin::faults {

struct Kind {
  const char* name;
  Act act;
  int number;  // of the error or signal
  bool onwards;
  uint32_t calls;  // bits of the calls that count
};

constexpr uint32_t bits(std::initializer_list<Call> calls) {
  uint32_t all = 0;
  for (Call call : calls) all |= bit(call);
  return all;
}

/// Calls that change what is on the disk or when it gets there.
constexpr uint32_t changes = bits({Call::open, Call::write, Call::sync, Call::close, Call::rename,
                                   Call::mkdir, Call::unlink, Call::truncate});
constexpr uint32_t file_calls = changes | bits({Call::read, Call::stat, Call::list, Call::lock});

/// Every kind, each error only at calls that a system can let fail so.
const std::vector<Kind>& kinds();

/// Errors: no such kind; the message lists them.
const Kind& find_kind(const std::string& name);

/// One fault: how the folder is before (fresh, resume or again), the kind, and the number of the
/// call. Allocations have a size class; -1 otherwise. Written as start/kind:at or
/// start/allocation-CLASS:at.
struct Case {
  std::string start;
  std::string kind;
  int size_class = -1;
  uint64_t at = 0;

  std::string row() const { return start + "/" + kind; }
  std::string name() const;
};

/// Errors: not written so.
Case parse_case(const std::string& name);

}  // namespace basin::faults
