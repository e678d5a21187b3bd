// NumPy's .npy format, version 1.0 (numpy/lib/format.py): one array, C order, little-endian.
#pragma once
#include <string>

#include "engine/array.h"
#include "engine/file.h"

namespace basin {

/// Writes any array atomically. Errors: the file cannot be written.
void save_npy(const std::string& path, const Array& array);
/// Reads f32, f64, i32, u8 or u32 in C order into CPU memory; the header is checked against the file's size before
/// anything is allocated. Errors: not .npy, other dtype, Fortran order, rank above 6, wrong length.
Array load_npy(const std::string& path);
/// The same from memory; `name` stands for the file in errors.
Array parse_npy(ByteSpan bytes, const std::string& name);

}  // namespace basin
