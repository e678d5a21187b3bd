#include "engine/safetensors.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <tuple>
#include <utility>

namespace basin {
namespace {

using Json = nlohmann::json;  // names sorted, so that equal input gives equal bytes

constexpr uint64_t largest_header = 100'000'000;  // bytes; the limit of the reference implementation
constexpr std::string_view dtype_names[] = {"F32", "F64", "I32", "U8", "U32"};  // in the order of DType

struct Entry {
  std::string name;
  DType dtype;
  Shape shape;
  uint64_t begin, end;  // bytes after the header
};

std::vector<uint64_t> unsigned_list(const Json& entry, const char* key, const std::string& what) {
  require(entry.contains(key) && entry[key].is_array(), what, ": \"", key, "\" must be a list of integers");
  std::vector<uint64_t> values;
  for (const Json& value : entry[key]) {
    require(value.is_number_unsigned(), what, ": \"", key, "\" must hold integers of at least 0");
    values.push_back(value.get<uint64_t>());
  }
  return values;
}

Entry parse_entry(const std::string& tensor, const Json& json, uint64_t data_size, const std::string& file) {
  const std::string what = text("safetensors ", file, ": tensor \"", tensor, '"');
  require(json.is_object(), what, ": its header entry is not an object");
  require(json.contains("dtype") && json["dtype"].is_string(), what, ": \"dtype\" is missing");
  const auto* known = std::find(std::begin(dtype_names), std::end(dtype_names), json["dtype"].get<std::string>());
  require(known != std::end(dtype_names), what, ": dtype ", json["dtype"], " is not one of F32, F64, I32, U8, U32");
  const auto dtype = static_cast<DType>(known - std::begin(dtype_names));
  const auto offsets = unsigned_list(json, "data_offsets", what);
  require(offsets.size() == 2 && offsets[0] <= offsets[1] && offsets[1] <= data_size, what,
          ": data_offsets must be [begin, end] within the ", data_size,
          " bytes of data; the file is truncated or its header is wrong");
  const uint64_t bytes = offsets[1] - offsets[0];
  const Shape shape = checked_shape(unsigned_list(json, "shape", what), dtype, bytes, what);
  require(static_cast<uint64_t>(shape.size()) * size_of(dtype) == bytes, what, ": ", dtype, shape,
          " does not fill its ", bytes, " bytes");
  return {tensor, dtype, shape, offsets[0], offsets[1]};
}

/// Sorts the tensors by place; they must lie back to back and end with the file.
void check_layout(std::vector<Entry>& entries, uint64_t data_size, const std::string& file) {
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  uint64_t cursor = 0;
  for (const Entry& entry : entries) {
    require(entry.begin == cursor, "safetensors ", file, ": tensor \"", entry.name, "\" begins at byte ", entry.begin,
            " where ", cursor, " was expected (a gap or an overlap)");
    cursor = entry.end;
  }
  require(cursor == data_size, "safetensors ", file, ": ", data_size - cursor, " bytes after the last tensor");
}

}  // namespace

void save_safetensors(const std::string& path, const NamedArrays& tensors, const Metadata& metadata) {
  for (const auto& [name, array] : tensors)
    require(array.defined() && !name.empty() && name != "__metadata__", "safetensors ", path, ": tensor \"", name,
            "\" has no array, or a name that is empty or reserved");
  // Wide dtypes first, so that every tensor is aligned to its element size.
  NamedArrays ordered = tensors;
  std::stable_sort(ordered.begin(), ordered.end(),
                   [](const auto& a, const auto& b) { return size_of(a.second.dtype()) > size_of(b.second.dtype()); });
  const auto bytes_of = [](const Array& array) { return static_cast<uint64_t>(array.size()) * size_of(array.dtype()); };
  Json json = Json::object();
  if (!metadata.empty()) json["__metadata__"] = metadata;
  uint64_t cursor = 0;
  for (const auto& [name, array] : ordered) {
    require(!json.contains(name), "safetensors ", path, ": two tensors have the name \"", name, '"');
    const uint64_t begin = std::exchange(cursor, cursor + bytes_of(array));
    json[name] = {{"dtype", dtype_names[static_cast<int>(array.dtype())]},
                  {"shape", std::vector<int64_t>(array.shape().begin(), array.shape().end())},
                  {"data_offsets", {begin, cursor}}};
  }
  std::string header;
  try {
    header = json.dump();
  } catch (const Json::exception& error) {
    throw Error(text("safetensors ", path, ": names and metadata must be UTF-8: ", error.what()));
  }
  header.resize((header.size() + 7) / 8 * 8, ' ');
  require(header.size() <= largest_header, "safetensors ", path, ": the header has ", header.size(),
          " bytes, more than ", largest_header, "; shorten the metadata");

  write_atomically(path, [&](FileSink& sink) {
    const uint64_t header_size = header.size();
    sink.write(&header_size, 8);
    sink.write(header);
    for (const auto& named : ordered) {
      const Array dense = contiguous(copy_to(named.second, Device()));
      sink.write(dense.view().data, bytes_of(dense));
    }
  });
}

SafeTensors load_safetensors(const std::string& path) {
  return parse_safetensors(read_file(path), path);
}

SafeTensors parse_safetensors(ByteSpan bytes, const std::string& file) {
  const size_t size = bytes.size();
  require(size >= 8, "safetensors ", file, ": ", size, " bytes are too few for a header; the file is truncated");
  uint64_t header_size = 0;
  std::memcpy(&header_size, bytes.data(), 8);
  require(header_size <= std::min(largest_header, size - 8), "safetensors ", file, ": the header claims ", header_size,
          " bytes, the file has ", size, " and a header at most ", largest_header,
          "; the file is truncated or not safetensors");
  const ByteSpan header = bytes.subspan(8, header_size), data = bytes.subspan(8 + header_size);
  SafeTensors result;
  std::vector<Entry> entries;
  try {
    const Json json = Json::parse(header);
    require(json.is_object(), "safetensors ", file, ": the header is not a JSON object");
    for (const auto& [name, value] : json.items()) {
      if (name == "__metadata__")
        result.metadata = value.get<Metadata>();
      else
        entries.push_back(parse_entry(name, value, data.size(), file));
    }
  } catch (const Json::exception& error) {
    throw Error(text("safetensors ", file, ": broken header: ", error.what()));
  }
  check_layout(entries, data.size(), file);
  for (const Entry& entry : entries) {
    const Array array(entry.shape, entry.dtype);
    std::copy(data.begin() + static_cast<ptrdiff_t>(entry.begin), data.begin() + static_cast<ptrdiff_t>(entry.end),
              static_cast<uint8_t*>(array.view().data));
    result.tensors.emplace_back(entry.name, array);
  }
  return result;
}

}  // namespace basin
