#include "engine/npy.h"

#include <algorithm>
#include <charconv>
#include <cstring>

namespace basin {
namespace {

constexpr std::string_view magic("\x93NUMPY\x01\x00", 8);
constexpr std::string_view descriptors[] = {"'<f4'", "'<f8'", "'<i4'", "'|u1'", "'<u4'"};  // in the order of DType

/// What follows `'key':` in the header dictionary, without leading blanks.
std::string_view value_of(std::string_view header, std::string_view key, const std::string& what) {
  const size_t place = header.find(text('\'', key, "':"));
  require(place != std::string_view::npos, what, ": the header has no '", key, "'");
  header.remove_prefix(place + key.size() + 3);
  header.remove_prefix(std::min(header.find_first_not_of(' '), header.size()));
  return header;
}

/// "(3, 4), ..." as numbers; "()" is a scalar.
std::vector<uint64_t> parse_tuple(std::string_view tuple, const std::string& what) {
  const size_t close = tuple.find(')');
  require(tuple.starts_with('(') && close != std::string_view::npos, what, ": 'shape' is not a tuple");
  std::vector<uint64_t> dims;
  const char* next = tuple.data() + 1;
  const char* const end = tuple.data() + close;
  while (true) {
    while (next != end && (*next == ' ' || *next == ',')) ++next;
    if (next == end) return dims;
    uint64_t dim = 0;
    const auto [stop, error] = std::from_chars(next, end, dim);
    require(error == std::errc(), what, ": 'shape' holds something that is not an integer of at least 0");
    dims.push_back(dim);
    next = stop;
  }
}

}  // namespace

void save_npy(const std::string& path, const Array& array) {
  require(array.defined(), "save_npy ", path, ": the array is empty");
  std::string header =
      text("{'descr': ", descriptors[static_cast<int>(array.dtype())], ", 'fortran_order': False, 'shape': (");
  for (int64_t dim : array.shape()) header += text(dim, array.rank() == 1 ? "," : ", ");
  if (array.rank() > 1) header.resize(header.size() - 2);
  header += "), }";
  // The data begins at a multiple of 64, the header ends with a newline.
  header.resize((magic.size() + 2 + header.size() + 1 + 63) / 64 * 64 - magic.size() - 3, ' ');
  header += '\n';
  const auto header_size = static_cast<uint16_t>(header.size());
  const Array dense = contiguous(copy_to(array, Device()));
  write_atomically(path, [&](FileSink& sink) {
    sink.write(magic);
    sink.write(&header_size, 2);
    sink.write(header);
    sink.write(dense.view().data, static_cast<size_t>(dense.size()) * size_of(dense.dtype()));
  });
}

Array load_npy(const std::string& path) {
  return parse_npy(read_file(path), path);
}

Array parse_npy(ByteSpan bytes, const std::string& name) {
  const std::string what = "npy " + name;
  require(bytes.size() >= magic.size() + 2 && std::memcmp(bytes.data(), magic.data(), magic.size()) == 0, what,
          ": does not begin with the magic bytes of .npy version 1.0");
  uint16_t header_size = 0;
  std::memcpy(&header_size, bytes.data() + magic.size(), 2);
  const ByteSpan rest = bytes.subspan(magic.size() + 2);
  require(header_size <= rest.size(), what, ": the header claims ", header_size, " bytes, ", rest.size(),
          " are there; the file is truncated");
  const std::string_view header(reinterpret_cast<const char*>(rest.data()), header_size);
  const ByteSpan data = rest.subspan(header_size);

  const std::string_view descr = value_of(header, "descr", what);
  const auto* known = std::find_if(std::begin(descriptors), std::end(descriptors),
                                   [&](std::string_view candidate) { return descr.starts_with(candidate); });
  require(known != std::end(descriptors), what, ": dtype ", descr.substr(0, std::min(descr.find(','), size_t{16})),
          " is not one of '<f4', '<f8', '<i4', '|u1', '<u4'; convert it with astype");
  require(value_of(header, "fortran_order", what).starts_with("False"), what,
          ": Fortran order is not supported; save numpy.ascontiguousarray(x)");
  const auto dtype = static_cast<DType>(known - std::begin(descriptors));
  const Shape shape = checked_shape(parse_tuple(value_of(header, "shape", what), what), dtype, data.size(), what);
  const uint64_t needed = static_cast<uint64_t>(shape.size()) * size_of(dtype);
  require(needed == data.size(), what, ": ", data.size() - needed, " bytes after the ", dtype, shape, " array");
  const Array array(shape, dtype);
  if (needed > 0) std::memcpy(array.view().data, data.data(), needed);
  return array;
}

}  // namespace basin
