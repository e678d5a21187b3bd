// NumPy's .npy format (numpy/lib/format.py): one array.
#pragma once
#include <string>

#include "engine/array.h"
#include "engine/file.h"

namespace basin {

/// What save_npy writes before the numbers of an array.
std::string npy_header(DType dtype, const Shape& shape);
/// Writes any array atomically: version 1.0, C order, little-endian. Errors: the file cannot be
/// written.
void save_npy(const std::string& path, const Array& array);
/// Reads f32, f64, i32, u8 or u32 of versions 1 to 3 into CPU memory, in C order whatever the
/// file's is; big-endian elements are swapped. The header is checked against the file's size before
/// anything is allocated. Errors: not .npy, other dtype, rank above 6, a header of more than 10,000
/// bytes, wrong length (also bytes after the array).
Array load_npy(const std::string& path);
/// The same from memory; `name` stands for the file in errors.
Array parse_npy(ByteSpan bytes, const std::string& name);

}  // namespace basin
