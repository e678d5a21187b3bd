// Dtypes that safetensors files have: those of Array, and others whose numbers one of those holds.
#pragma once
#include <string>

#include "engine/dtype.h"

namespace basin {

struct Stored {
  std::string_view name;  // in the header
  DType dtype;            // of the Array
  size_t bytes;           // of an element in the file
};

/// None where basin does not read it.
const Stored* find_stored(std::string_view name);
/// "F32, F64, ..."
std::string stored_names();
/// As an Array of this dtype is written.
const Stored& stored_as(DType dtype);
inline bool converted(const Stored& type) {
  return &type != &stored_as(type.dtype);
}

/// Numbers of a file as those of type.dtype, exactly; a NaN stays one. A BOOL that is not 0 is 1:
/// the format does not say which bytes may stand there, and its other readers refuse none. Errors
/// begin with `what`: an I64 that i32 does not hold.
void widen(const Stored& type, const void* from, size_t count, void* to, const std::string& what);

/// Numbers as F16 or BF16, rounded to nearest, ties to even; a NaN stays one. Errors begin with
/// `what`: a finite number that would become infinite.
void narrow(const Stored& type, const float* from, size_t count, void* to, const std::string& what);

}  // namespace basin
