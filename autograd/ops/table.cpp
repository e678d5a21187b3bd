// The list of all operations, written out: no registration at start-up.
#include "autograd/op.h"

namespace basin {

std::vector<OpEntry> elementwise_table();
#define OP(name) std::vector<Sample> name##_samples();
#include "autograd/ops/list.def"
#undef OP

std::vector<OpEntry> op_table() {
  std::vector<OpEntry> table = elementwise_table();
#define OP(name) table.push_back({#name, name##_samples()});
#include "autograd/ops/list.def"
#undef OP
  return table;
}

}  // namespace basin
