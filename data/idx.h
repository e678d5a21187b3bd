// The IDX format of MNIST (LeCun, Cortes, Burges, "The MNIST database", file formats), plain or
// gzip.
#pragma once
#include <string>

#include "data/dataset.h"
#include "engine/file.h"

namespace basin {

/// The array of unsigned bytes in an IDX file; `name` stands for the file in errors. Errors: wrong
/// magic, another element type, dimensions that differ from the real length, more than 2^30 bytes
/// (looked at before anything is unpacked), truncated or corrupt gzip, trailing bytes.
Array parse_idx(ByteSpan bytes, const std::string& name);
Array load_idx(const std::string& path);

/// MNIST and Fashion-MNIST: u8 [N, 28, 28] and labels 0..9. `dir` is the --data option, see find.h.
/// Errors: as above, files not found, and of load_idx_pair. The files of both sets have the same
/// names: those of the other set are an error where their bytes are known, which are those of mnist
/// train and test and of fashion-mnist test; clothes in the place of the digits of mnist train are
/// not noticed.
LabelledImages load_mnist(const DataFolder& dir, Split split);
LabelledImages load_fashion_mnist(const DataFolder& dir, Split split);
/// An image file and a label file that belong together. Errors: counts that differ, more than
/// 60,000 images or others than of 28 x 28 (all looked at before anything is unpacked), a label
/// above 9.
LabelledImages load_idx_pair(const std::string& images, const std::string& labels);

}  // namespace basin
