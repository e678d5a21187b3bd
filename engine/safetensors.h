// The safetensors format (huggingface/safetensors README, "Format"): 8 bytes header length, JSON
// header, raw tensors.
#pragma once
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "engine/array.h"
#include "engine/file.h"

namespace basin {

using NamedArrays = std::vector<std::pair<std::string, Array>>;
using Metadata = std::map<std::string, std::string>;

struct SafeTensors {
  NamedArrays tensors;  // in the order of their bytes: wide dtypes first, otherwise as saved
  Metadata metadata;
  Metadata stored_as;   // of each converted tensor: its dtype in the file, "F16"
  bool sealed = false;  // the file carries the digest of its own bytes, and it is right
};

/// Where save_safetensors puts that digest in the metadata; parse_safetensors checks it and takes
/// it out.
inline constexpr char digest_key[] = "basin.sha256";

/// How save_safetensors writes tensors of f32; F16 and BF16 take half the place.
enum class Floats { f32, f16, bf16 };

/// Writes the arrays atomically (see write_atomically), with a digest of all bytes of the file in
/// the metadata. The same input gives the same bytes. Errors: a name given twice, empty,
/// "__metadata__" or not UTF-8; metadata "basin.sha256"; the file cannot be written; a finite
/// number that f16 or bf16, to which it is rounded (to nearest, ties to even), does not hold.
void save_safetensors(const std::string& path, const NamedArrays& tensors,
                      const Metadata& metadata = {}, Floats floats = Floats::f32);

/// Reads tensors into CPU memory, which holds them once: F32, F64, I32, U8 and U32 as they are;
/// F16, BF16, F8_E4M3 and F8_E5M2 as f32, I8, I16, U16 and I64 as i32, BOOL as u8 (see widen).
/// Every claim of the header is checked against the size of the file before anything is allocated,
/// and its digest where it carries one (other writers' files have none). Errors name the file and
/// the tensor.
SafeTensors load_safetensors(const std::string& path);
SafeTensors load_safetensors(const FileSource& source, const std::string& path);
/// The same from memory; `name` stands for the file in errors.
SafeTensors parse_safetensors(ByteSpan bytes, const std::string& name);

}  // namespace basin
