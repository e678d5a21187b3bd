#include "tests/faults/acts.h"

#include <cerrno>
#include <csignal>

#include "engine/error.h"

namespace basin::faults {

const std::vector<Kind>& kinds() {
  constexpr uint32_t space = changes & ~(bit(Call::unlink));
  constexpr uint32_t slow = bits(
      {Call::open, Call::write, Call::sync, Call::close, Call::truncate, Call::read, Call::lock});
  constexpr uint32_t rights =
      bits({Call::open, Call::rename, Call::mkdir, Call::unlink, Call::stat, Call::list});
  constexpr uint32_t memory = bit(Call::allocation);
  static const std::vector<Kind> all{
      {"kill", Act::kill, 0, false, changes},
      {"kill-after", Act::kill_after, 0, false, changes},
      {"tear", Act::tear, 0, false, bit(Call::write)},
      {"short", Act::shorten, 0, false, bits({Call::write, Call::read})},
      {"ENOSPC", Act::fail, ENOSPC, false, space},
      {"ENOSPC-on", Act::fail, ENOSPC, true, space},
      {"EIO", Act::fail, EIO, false, file_calls},
      {"EIO-on", Act::fail, EIO, true, file_calls},
      {"EINTR", Act::fail, EINTR, false, slow},
      {"EACCES", Act::fail, EACCES, false, rights},
      {"thread", Act::fail, EAGAIN, false, bit(Call::thread)},
      {"thread-on", Act::fail, EAGAIN, true, bit(Call::thread)},
      {"process", Act::fail, EAGAIN, false, bit(Call::process)},
      {"allocation", Act::fail, ENOMEM, false, memory},
      // Allocations are the clock of the signals: they come while a run computes too.
      {"INT", Act::notify, SIGINT, false, memory},
      {"TERM", Act::notify, SIGTERM, false, memory},
      {"HUP", Act::notify, SIGHUP, false, memory},
      {"USR1", Act::notify, SIGUSR1, false, memory},
      {"TSTP", Act::notify, SIGTSTP, false, memory},
  };
  return all;
}

const Kind& find_kind(const std::string& name) {
  std::string known;
  for (const Kind& kind : kinds()) {
    if (kind.name == name) return kind;
    known += std::string(" ") + kind.name;
  }
  throw Error("no kind of fault '" + name + "'; there are" + known);
}

std::string Case::name() const {
  return row() + (size_class < 0 ? "" : text("-", size_class)) + text(":", at);
}

Case parse_case(const std::string& name) {
  const size_t slash = name.find('/');
  const size_t colon = name.rfind(':');
  require(slash < colon && colon + 1 < name.size(), "case '", name,
          "': not written as start/kind:call");
  Case parsed;
  parsed.start = name.substr(0, slash);
  parsed.kind = name.substr(slash + 1, colon - slash - 1);
  parsed.at = std::stoull(name.substr(colon + 1));
  if (const std::string prefix = "allocation-"; parsed.kind.starts_with(prefix)) {
    parsed.size_class = std::stoi(parsed.kind.substr(prefix.size()));
    parsed.kind = "allocation";
  }
  return parsed;
}

}  // namespace basin::faults
