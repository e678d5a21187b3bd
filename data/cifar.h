// The CIFAR-10 binary format (Krizhevsky 2009): rows of one label byte and 3 x 32 x 32 pixel bytes,
// plain or gzip.
#pragma once
#include <string>

#include "data/dataset.h"
#include "engine/file.h"

namespace basin {

/// Images u8 [N, 3, 32, 32] and labels u8 [N]; N follows from the length. `name` stands for the
/// file in errors. Errors: no row, a length that is not a multiple of 3073, a label above 9, more
/// than 100,000 rows, truncated or corrupt gzip.
LabelledImages parse_cifar10(ByteSpan bytes, const std::string& name);

/// The training batches data_batch_1 ... data_batch_5 that are there (at least the first), or
/// test_batch. `dir` is the --data option, see find.h.
LabelledImages load_cifar10(const DataFolder& dir, Split split);

}  // namespace basin
