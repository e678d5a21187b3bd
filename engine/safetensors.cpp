#include "engine/safetensors.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <tuple>
#include <utility>

#include "engine/digest.h"
#include "engine/formats/stored.h"

namespace basin {
namespace {

using Json = nlohmann::json;  // names sorted, so that equal input gives equal bytes

constexpr uint64_t largest_header =
    100'000'000;              // bytes; the limit of the reference implementation
constexpr int deepest = 127;  // levels of nesting; the limit of the reference implementation

/// What the header says of one tensor.
struct Claim {
  const Stored* type = nullptr;
  std::vector<uint64_t> shape, offsets;
  bool has_dtype = false, has_shape = false, has_offsets = false;
};

struct Entry {
  std::string name;
  const Stored* type;
  Shape shape;
  uint64_t begin, end;  // bytes after the header
};

/// Takes the header apart while it is parsed. No tree is built, so memory grows with what is kept
/// alone, and nesting is bounded. As in the reference implementation (serde), of two tensors with
/// one name the last counts, and fields that it does not know are passed over.
class Header : public nlohmann::json_sax<Json> {
 public:
  std::map<std::string, Claim> claims;
  Metadata metadata;

  explicit Header(const std::string& file) : what_("safetensors " + file) {}

  bool null() override { return take(Kind::null); }
  bool boolean(bool) override { return take(Kind::other); }
  bool number_integer(Json::number_integer_t) override { return take(Kind::other); }
  bool number_unsigned(Json::number_unsigned_t value) override { return take(Kind::whole, value); }
  bool number_float(Json::number_float_t, const std::string&) override { return take(Kind::other); }
  bool string(std::string& value) override { return take(Kind::words, 0, value); }
  bool binary(Json::binary_t&) override { return take(Kind::other); }
  bool start_object(size_t) override { return open(Kind::object); }
  bool start_array(size_t) override { return open(Kind::list); }
  bool end_array() override { return close(); }

  bool key(std::string& name) override {
    if (depth_ == 1) {
      tensor_ = name;
      in_metadata_ = name == "__metadata__";
    }
    if (depth_ == 2) field_ = name;
    return true;
  }

  bool end_object() override {
    if (depth_ == 2 && !in_metadata_) {
      const bool whole = claim_.has_dtype && claim_.has_shape && claim_.has_offsets;
      require(whole, where(), ": \"dtype\", \"shape\" or \"data_offsets\" is missing");
      claims[tensor_] = std::exchange(claim_, {});
    }
    return close();
  }

  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& error) override {
    throw Error(text(what_, ": broken header: ", std::string(error.what()).substr(0, 300)));
  }

 private:
  enum class Kind { null, whole, words, object, list, other };

  std::string where() const { return text(what_, ": tensor \"", tensor_, '"'); }

  bool open(Kind kind) {
    require(depth_ < deepest, what_, ": the header is nested deeper than ", deepest, " levels");
    take(kind);
    ++depth_;
    return true;
  }

  bool close() {
    --depth_;
    return true;
  }

  /// A value, where the keys and lists that are open say.
  bool take(Kind kind, uint64_t number = 0, const std::string& words = {}) {
    if (depth_ == 0) require(kind == Kind::object, what_, ": the header is not a JSON object");
    if (depth_ == 1) take_entry(kind);
    if (depth_ == 2 && in_metadata_) {
      require(kind == Kind::words, what_, ": __metadata__ \"", field_, "\" must be a string");
      metadata[field_] = words;
    }
    if (depth_ == 2 && !in_metadata_) take_field(kind, words);
    if (depth_ == 3 && list_) {
      require(kind == Kind::whole, where(), ": \"", field_, "\" must hold integers of at least 0");
      const size_t most = field_ == "shape" ? max_rank : 2;
      require(list_->size() < most, where(), ": \"", field_, "\" holds more than ", most,
              " integers");
      list_->push_back(number);
    }
    return true;
  }

  void take_entry(Kind kind) {
    if (!in_metadata_) {
      require(kind == Kind::object, where(), ": its header entry is not an object");
      return;
    }
    require(kind == Kind::object || kind == Kind::null, what_,
            ": __metadata__ must be an object of strings");
    require(!has_metadata_, what_, ": __metadata__ occurs twice");
    has_metadata_ = true;
  }

  void take_field(Kind kind, const std::string& words) {
    list_ = nullptr;
    const auto once = [&](bool& seen, bool right, const char* wanted) {
      require(!seen, where(), ": \"", field_, "\" occurs twice");
      require(right, where(), ": \"", field_, "\" must be ", wanted);
      seen = true;
    };
    if (field_ == "dtype") {
      once(claim_.has_dtype, kind == Kind::words, "a string");
      claim_.type = find_stored(words);
      require(claim_.type, where(), ": dtype ", words, " is not one of ", stored_names());
    }
    if (field_ == "shape") {
      once(claim_.has_shape, kind == Kind::list, "a list of integers");
      list_ = &claim_.shape;
    }
    if (field_ == "data_offsets") {
      once(claim_.has_offsets, kind == Kind::list, "a list of integers");
      list_ = &claim_.offsets;
    }
  }

  std::string what_, tensor_, field_;
  Claim claim_;
  std::vector<uint64_t>* list_ =
      nullptr;  // where the integers of an open list go; none in a field that is passed over
  int depth_ = 0;
  bool in_metadata_ = false, has_metadata_ = false;
};

Entry checked_entry(const std::string& tensor, const Claim& claim, uint64_t data_size,
                    const std::string& file) {
  const std::string what = text("safetensors ", file, ": tensor \"", tensor, '"');
  const auto& offsets = claim.offsets;
  require(offsets.size() == 2 && offsets[0] <= offsets[1] && offsets[1] <= data_size, what,
          ": data_offsets must be [begin, end] within the ", data_size,
          " bytes of data; the file is truncated or its header is wrong");
  const uint64_t bytes = offsets[1] - offsets[0];
  const Shape shape = checked_shape(claim.shape, claim.type->dtype, UINT64_MAX, what);
  const uint64_t needed = static_cast<uint64_t>(shape.size()) * claim.type->bytes;
  require(needed == bytes, what, ": ", claim.type->name, shape, " needs ", needed,
          " bytes, and its data_offsets span ", bytes,
          "; the file is truncated or its header is wrong");
  return {tensor, claim.type, shape, offsets[0], offsets[1]};
}

/// Sorts the tensors by place; they must lie back to back and end with the file.
void check_layout(std::vector<Entry>& entries, uint64_t data_size, const std::string& file) {
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  uint64_t cursor = 0;
  for (const Entry& entry : entries) {
    require(entry.begin == cursor, "safetensors ", file, ": tensor \"", entry.name,
            "\" begins at byte ", entry.begin, " where ", cursor,
            " was expected (a gap or an overlap)");
    cursor = entry.end;
  }
  require(cursor == data_size, "safetensors ", file, ": ", data_size - cursor,
          " bytes after the last tensor");
}

/// The entry of the digest as it stands in a header. Quotes inside names are escaped, so that
/// nothing else reads so.
std::string digest_entry(const std::string& digest) {
  return text('"', digest_key, "\":\"", digest, '"');
}

/// Takes bytes of a file in their order. Errors: the digest is not that of the file, in which zeros
/// stand for its own digits, or its entry is not to be found as it was written.
class DigestCheck {
 public:
  DigestCheck(const std::string& start, const std::string& digest, const std::string& file)
      : digest_(digest), what_("safetensors " + file) {
    const size_t place = start.find(digest_entry(digest));
    const bool found = place != std::string::npos && digest.size() == digest_length;
    require(found, what_, ": its entry ", digest_key, " is not spelled as basin does",
            "; the file is damaged, or another program changed it and kept that entry");
    hash.add(std::string(start).replace(place + digest_entry("").size() - 1, digest_length,
                                        std::string(digest_length, '0')));
  }
  void finish() const {
    require(hash.hex() == digest_, what_, ": its bytes do not give the SHA-256 in its metadata, ",
            digest_, "; the file is damaged, or another program changed it and kept the entry ",
            digest_key);
  }
  Sha256 hash;  // add what follows

 private:
  std::string digest_, what_;
};

/// Fills a part of memory from a place in the file.
using Read = std::function<void(uint64_t offset, void* to, size_t count)>;

/// The tensor at `offset` of the file, in parts that go through `seen`.
Array read_tensor(const Entry& entry, uint64_t offset, const Read& read,
                  const std::function<void(const void*, size_t)>& seen, const std::string& what) {
  const Array array(entry.shape, entry.type->dtype);
  const size_t width = entry.type->bytes;
  auto* to = static_cast<char*>(array.view().data);
  Bytes buffer;
  for (uint64_t left = entry.end - entry.begin, part = 0; left > 0; left -= part, offset += part) {
    part = std::min(left, uint64_t{1} << 20);
    void* place = to;
    if (converted(*entry.type)) {
      buffer.resize(part);
      place = buffer.data();
    }
    read(offset, place, part);
    seen(place, part);
    if (converted(*entry.type)) widen(*entry.type, place, part / width, to, what);
    to += part / width * size_of(entry.type->dtype);
  }
  return array;
}

SafeTensors read_all(uint64_t size, const Read& read, const std::string& file) {
  require(size >= 8, "safetensors ", file, ": ", size,
          " bytes are too few for a header; the file is truncated");
  uint64_t header_size = 0;
  read(0, &header_size, 8);
  require(header_size <= std::min(largest_header, size - 8), "safetensors ", file,
          ": the header claims ", header_size, " bytes, the file has ", size,
          " and a header at most ", largest_header, "; the file is truncated or not safetensors");
  std::string start(8 + header_size, ' ');
  read(0, start.data(), start.size());
  const std::string_view header = std::string_view(start).substr(8);
  const uint64_t data_size = size - start.size();
  require(header.find('\0') == header.npos, "safetensors ", file,
          ": the header holds a zero byte; it is padded with spaces (0x20)");
  // nlohmann would pass over a byte order mark
  require(!header.starts_with('\xef'), "safetensors ", file,
          ": broken header: it begins with no {");
  Header parsed(file);
  Json::sax_parse(header.begin(), header.end(), &parsed);
  SafeTensors result;
  result.metadata = std::move(parsed.metadata);
  std::vector<Entry> entries;
  for (const auto& [name, claim] : parsed.claims)
    entries.push_back(checked_entry(name, claim, data_size, file));
  check_layout(entries, data_size, file);
  std::optional<DigestCheck> check;
  if (const auto digest = result.metadata.find(digest_key); digest != result.metadata.end()) {
    check.emplace(start, digest->second, file);
    result.metadata.erase(digest);
    result.sealed = true;
  }
  const auto seen = [&](const void* bytes, size_t count) {
    if (check) check->hash.add(bytes, count);
  };
  for (const Entry& entry : entries) {
    const std::string what = text("safetensors ", file, ": tensor \"", entry.name, '"');
    result.tensors.emplace_back(entry.name,
                                read_tensor(entry, start.size() + entry.begin, read, seen, what));
    if (converted(*entry.type)) result.stored_as[entry.name] = entry.type->name;
  }
  if (check) check->finish();
  return result;
}

}  // namespace

void save_safetensors(const std::string& path, const NamedArrays& tensors, const Metadata& metadata,
                      Floats floats) {
  for (const auto& [name, array] : tensors)
    require(array.defined() && !name.empty() && name != "__metadata__", "safetensors ", path,
            ": tensor \"", name, "\" has no array, or a name that is empty or reserved");
  const auto type_of = [&](const Array& array) -> const Stored& {
    const bool narrow = array.dtype() == DType::f32 && floats != Floats::f32;
    return narrow ? *find_stored(floats == Floats::f16 ? "F16" : "BF16") : stored_as(array.dtype());
  };
  // Wide dtypes first, so that every tensor is aligned to its element size.
  NamedArrays ordered = tensors;
  std::stable_sort(ordered.begin(), ordered.end(), [&](const auto& a, const auto& b) {
    return type_of(a.second).bytes > type_of(b.second).bytes;
  });
  const auto bytes_of = [](const Array& array) {
    return static_cast<uint64_t>(array.size()) * size_of(array.dtype());
  };
  Json json = Json::object();
  json["__metadata__"] = metadata;
  require(json["__metadata__"].emplace(digest_key, std::string(digest_length, '0')).second,
          "safetensors ", path, ": the metadata \"", digest_key,
          "\" is the file's own; leave it out");
  uint64_t cursor = 0;
  for (const auto& [name, array] : ordered) {
    require(!json.contains(name), "safetensors ", path, ": two tensors have the name \"", name,
            '"');
    const uint64_t begin =
        std::exchange(cursor, cursor + static_cast<uint64_t>(array.size()) * type_of(array).bytes);
    json[name] = {{"dtype", type_of(array).name},
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

  const uint64_t header_size = header.size();
  Sha256 hash;
  hash.add(&header_size, 8);
  hash.add(header);
  for (auto& [name, array] : ordered) {
    const Stored& type = type_of(array);
    array = contiguous(copy_to(array, Device()));
    if (converted(type)) {
      const Array halves({array.size() * 2}, DType::u8);
      narrow(type, array.data<float>(), static_cast<size_t>(array.size()), halves.view().data,
             text("safetensors ", path, ": tensor \"", name, '"'));
      array = halves;
    }
    hash.add(array.view().data, bytes_of(array));
  }
  header.replace(
      header.find(digest_entry(std::string(digest_length, '0'))) + digest_entry("").size() - 1,
      digest_length, hash.hex());
  write_atomically(path, [&](FileSink& sink) {
    sink.write(&header_size, 8);
    sink.write(header);
    for (const auto& named : ordered) sink.write(named.second.view().data, bytes_of(named.second));
  });
}

SafeTensors load_safetensors(const std::string& path) {
  return load_safetensors(FileSource(path), path);
}

SafeTensors load_safetensors(const FileSource& source, const std::string& path) {
  return read_all(
      source.size(),
      [&](uint64_t offset, void* to, size_t count) { source.read(offset, to, count); }, path);
}

SafeTensors parse_safetensors(ByteSpan bytes, const std::string& file) {
  return read_all(
      bytes.size(),
      [&](uint64_t offset, void* to, size_t count) {
        std::copy_n(bytes.begin() + static_cast<ptrdiff_t>(offset), count,
                    static_cast<uint8_t*>(to));
      },
      file);
}

}  // namespace basin
