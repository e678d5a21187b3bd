#include "engine/npy.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstring>

namespace basin {
namespace {

constexpr std::string_view magic("\x93NUMPY", 6);
constexpr std::string_view descriptors[] = {"<f4", "<f8", "<i4", "|u1",
                                            "<u4"};  // in the order of DType
constexpr uint64_t largest_header = 10'000;          // bytes; NumPy's own limit

/// The header: the text of a Python dictionary with three keys. Read as Python does, but for what
/// no program writes: escapes, prefixes and joining of strings, comments, numbers that are not
/// decimal.
class Header {
 public:
  std::string descr;
  bool fortran_order = false;
  std::vector<uint64_t> shape;

  Header(std::string_view characters, int version, const std::string& what)
      : left_(characters), python_2_(version < 3), what_(what) {
    bool seen[3] = {};
    expect('{');
    while (!take('}')) {
      const std::string key = quoted("a key");
      const auto* known = std::find(std::begin(keys), std::end(keys), key);
      require(known != std::end(keys), what_, ": the header has an unknown key '", key, "'");
      seen[known - keys] = true;
      expect(':');
      if (key == "descr") {
        blanks();
        require(!left_.starts_with('['), what_,
                ": a structured dtype cannot be read; save its fields one by one");
        descr = quoted("'descr'");
      }
      if (key == "fortran_order") fortran_order = truth();
      if (key == "shape") shape = tuple();
      if (take(',')) continue;
      expect('}');
      break;
    }
    blanks();
    require(left_.empty(), what_, ": something follows the header's dictionary");
    for (size_t i = 0; i < 3; ++i) require(seen[i], what_, ": the header has no '", keys[i], "'");
  }

 private:
  static constexpr std::string_view keys[] = {"descr", "fortran_order", "shape"};

  void blanks() {
    left_.remove_prefix(std::min(left_.find_first_not_of(" \t\n\r\f"), left_.size()));
  }

  bool take(char wanted) {
    blanks();
    if (!left_.starts_with(wanted)) return false;
    left_.remove_prefix(1);
    return true;
  }

  void expect(char wanted) {
    const bool there = take(wanted);  // before the arguments are evaluated
    require(there, what_, ": the header is no dictionary of Python: '", wanted,
            "' is missing before \"", left_.substr(0, 16), '"');
  }

  std::string quoted(const char* name) {
    blanks();
    const char quote = left_.starts_with('"') ? '"' : '\'';
    const size_t end = left_.find_first_of(std::string{quote, '\\', '\n'}, 1);
    require(left_.starts_with(quote) && end != left_.npos && left_[end] == quote, what_, ": ", name,
            " in the header is no plain string");
    const std::string result(left_.substr(1, end - 1));
    left_.remove_prefix(end + 1);
    return result;
  }

  std::string word() {
    blanks();
    size_t end = 0;
    while (end < left_.size() &&
           (std::isalnum(static_cast<unsigned char>(left_[end])) || left_[end] == '_'))
      ++end;
    const std::string result(left_.substr(0, end));
    left_.remove_prefix(end);
    return result;
  }

  bool truth() {
    const std::string value = word();
    require(value == "True" || value == "False", what_,
            ": 'fortran_order' is neither True nor False");
    return value == "True";
  }

  std::vector<uint64_t> tuple() {
    std::vector<uint64_t> dims;
    require(take('('), what_, ": 'shape' is not a tuple");
    bool comma = true;
    while (!take(')')) {
      require(comma, what_, ": 'shape' lacks a comma");
      std::string digits = word();
      if (python_2_ && digits.ends_with('L')) digits.pop_back();  // a long integer
      uint64_t dim = 0;
      const auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), dim);
      const bool zeros = digits.find_first_not_of('0') == digits.npos;
      require(error == std::errc() && stop == digits.data() + digits.size() &&
                  (digits[0] != '0' || zeros),
              what_, ": 'shape' holds something that is not an integer of at least 0");
      dims.push_back(dim);
      comma = take(',');
    }
    require(comma || dims.size() != 1, what_,
            ": 'shape' is not a tuple: a single dimension is written (n,)");
    return dims;
  }

  std::string_view left_;
  bool python_2_;
  const std::string& what_;
};

/// The order of bytes before the dtype may be any that says the same: "<u1" is "|u1", "f4" is
/// "<f4".
DType parse_descr(const std::string& descr, bool& swapped, const std::string& what) {
  const bool ordered =
      !descr.empty() && std::string_view("<>=|").find(descr[0]) != std::string_view::npos;
  const std::string_view kind = std::string_view(descr).substr(ordered ? 1 : 0);
  const auto* known =
      std::find_if(std::begin(descriptors), std::end(descriptors),
                   [&](std::string_view candidate) { return candidate.substr(1) == kind; });
  require(known != std::end(descriptors), what, ": dtype '", descr.substr(0, 16),
          "' is not one of '<f4', '<f8', '<i4', '|u1', '<u4'; convert it with astype");
  swapped = descr[0] == '>';
  return static_cast<DType>(known - std::begin(descriptors));
}

}  // namespace

std::string npy_header(DType dtype, const Shape& shape) {
  const int rank = shape.rank;
  const std::string_view descr = descriptors[static_cast<int>(dtype)];
  std::string header = text("{'descr': '", descr, "', 'fortran_order': False, 'shape': (");
  for (int64_t dim : shape) header += text(dim, rank == 1 ? "," : ", ");
  if (rank > 1) header.resize(header.size() - 2);
  header += "), }";
  // The data begins at a multiple of 64, the header ends with a newline.
  header.resize((10 + header.size() + 1 + 63) / 64 * 64 - 11, ' ');
  header += '\n';
  const auto header_size = static_cast<uint16_t>(header.size());
  const char digits[] = {static_cast<char>(header_size & 0xff),
                         static_cast<char>(header_size >> 8)};  // little-endian
  return std::string(magic).append("\x01\x00", 2).append(digits, 2) + header;
}

void save_npy(const std::string& path, const Array& array) {
  require(array.defined(), "save_npy ", path, ": the array is empty");
  const Array dense = contiguous(copy_to(array, Device()));
  write_atomically(path, [&](FileSink& sink) {
    sink.write(npy_header(array.dtype(), array.shape()));
    sink.write(dense.view().data, static_cast<size_t>(dense.size()) * size_of(dense.dtype()));
  });
}

Array load_npy(const std::string& path) {
  return parse_npy(read_file(path), path);
}

Array parse_npy(ByteSpan bytes, const std::string& name) {
  const std::string what = "npy " + name;
  require(bytes.size() >= 8 && std::memcmp(bytes.data(), magic.data(), magic.size()) == 0, what,
          ": does not begin with the magic bytes of .npy");
  const int version = bytes[6];
  require(version >= 1 && version <= 3 && bytes[7] == 0, what, ": version ", version, ".",
          int{bytes[7]}, " of .npy is not 1.0, 2.0 or 3.0");
  const size_t begin = version == 1 ? 10 : 12;
  require(bytes.size() >= begin, what, ": ends in its first ", begin,
          " bytes; the file is truncated");
  uint32_t header_size = 0;
  std::memcpy(&header_size, bytes.data() + 8, begin - 8);
  require(header_size <= largest_header, what, ": the header claims ", header_size,
          " bytes, more than ", largest_header);
  require(header_size <= bytes.size() - begin, what, ": the header claims ", header_size,
          " bytes, ", bytes.size() - begin, " are there; the file is truncated");
  const Header header({reinterpret_cast<const char*>(bytes.data()) + begin, header_size}, version,
                      what);
  const ByteSpan data = bytes.subspan(begin + header_size);

  bool swapped = false;
  const DType dtype = parse_descr(header.descr, swapped, what);
  const Shape shape = checked_shape(header.shape, dtype, data.size(), what);
  const size_t width = size_of(dtype);
  const uint64_t needed = static_cast<uint64_t>(shape.size()) * width;
  require(needed == data.size(), what, ": ", data.size() - needed, " bytes after the ", dtype,
          shape, " array");
  Shape stored;  // in Fortran order the axes lie the other way round
  Axes axes;
  for (int axis = shape.rank; axis-- > 0;) {
    stored.push_back(shape[axis]);
    axes.push_back(axis);
  }
  const Array array(header.fortran_order ? stored : shape, dtype);
  auto* elements = static_cast<uint8_t*>(array.view().data);
  if (needed > 0) std::memcpy(elements, data.data(), needed);
  if (swapped)
    for (uint64_t i = 0; i < needed; i += width) std::reverse(elements + i, elements + i + width);
  return header.fortran_order ? contiguous(permute(array, axes)) : array;
}

}  // namespace basin
