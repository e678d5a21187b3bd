// What the library that is loaded before a program (preload.cpp) shall do to it, and what it
// counted: one struct in a file that the sweep and all processes of the program map, so that one
// counter serves a whole tree of processes.
#pragma once
#include <atomic>
#include <cstdint>

namespace basin::faults {

/// Kinds of calls. Those from `thread` on have no path and count wherever they are made.
enum class Call : uint32_t {
  open,
  write,
  sync,
  close,
  rename,
  mkdir,
  unlink,
  truncate,
  read,
  stat,
  list,
  lock,
  thread,
  process,
  allocation,
};
constexpr uint32_t call_count = 15;
constexpr const char* call_names[call_count] = {
    "open", "write", "sync", "close", "rename", "mkdir",   "unlink",    "truncate",
    "read", "stat",  "list", "lock",  "thread", "process", "allocation"};

constexpr uint32_t bit(Call call) {
  return 1u << static_cast<uint32_t>(call);
}

/// What happens at the call. tear: half of a write, then the end; shorten: half of a read or write;
/// notify: a signal is sent to the process and the call goes on.
enum class Act : uint32_t { none, kill, kill_after, tear, fail, shorten, notify };

constexpr uint32_t any_size = 64;

struct Plan {
  char program[64];  // only processes whose executable has a name that begins so
  char under[1024];  // only calls on this folder and what is below it
  char log[1024];    // a line for each counted call; empty: none
  uint32_t calls;    // bits of the calls that count
  Act act;
  uint64_t at;     // the call that is hit, from 1
  int32_t number;  // of the error or the signal
  int32_t root;  // process that dies with the one that is hit, or that gets the signal; 0: the one
                 // that is hit
  uint32_t onwards;     // 1: all later calls are hit too
  uint32_t size_class;  // of allocations: [2^c, 2^(c+1)) bytes, or any_size

  std::atomic<uint64_t> counted;
  std::atomic<uint64_t> allocations[any_size];  // by size class
  std::atomic<uint64_t> hits;
  Call hit_call;  // of the first hit, with its path or size
  uint64_t hit_size;
  char hit_path[1024];
};

/// The variable with the path of the file.
constexpr char plan_variable[] = "BASIN_FAULT_PLAN";

}  // namespace basin::faults
