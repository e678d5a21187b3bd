#include "engine/image.h"

#include <zlib.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <utility>

namespace {

thread_local int heap_fill = 0;
thread_local size_t refused_bytes =
    0;  // stb_image may give no reason, or one of before, where it found no memory

/// Memory for stb_image that holds one known byte everywhere.
void* filled_memory(size_t size) {
  void* memory = std::malloc(size);
  if (memory)
    std::memset(memory, heap_fill, size);
  else
    refused_bytes = size;
  return memory;
}

void* resized_memory(void* memory, size_t size) {
  void* resized = std::realloc(memory, size);
  if (!resized) refused_bytes = size;
  return resized;
}

}  // namespace

#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_NO_HDR
#define STBI_NO_LINEAR
#define STBI_NO_STDIO
#define STBI_MAX_DIMENSIONS 65536
#define STBI_MALLOC(size) filled_memory(size)
#define STBI_REALLOC(memory, size) resized_memory(memory, size)
#define STBI_FREE(memory) std::free(memory)
#include <stb/stb_image.h>
#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STBI_WRITE_NO_STDIO
#include <stb/stb_image_write.h>

namespace basin {
namespace {

constexpr uint64_t most_side = STBI_MAX_DIMENSIONS;
constexpr uint64_t most_pixels = uint64_t{1} << 26;
constexpr uint64_t largest_file = uint64_t{1} << 28;
constexpr size_t most_scans = 500;  // of a JPEG; each may go over all its pixels again

void check_size(const std::string& what, uint64_t width, uint64_t height) {
  require(width > 0 && height > 0, what, ": ", width, " x ", height, " has no pixels");
  require(width <= most_side && height <= most_side && width * height <= most_pixels, what, ": ",
          width, " x ", height, " is more than ", most_side, " pixels a side or ", most_pixels,
          " in all");
}

/// [H, W, C] pixels as [C, H, W].
Array planes_of(const uint8_t* pixels, uint64_t width, uint64_t height, int channels) {
  const Array mixed({static_cast<int64_t>(height), static_cast<int64_t>(width), channels},
                    DType::u8);
  std::copy_n(pixels, mixed.size(), mixed.data<uint8_t>());
  return contiguous(permute(mixed, {2, 0, 1}));
}

bool begins_with(ByteSpan bytes, std::string_view magic) {
  return bytes.size() >= magic.size() && std::memcmp(bytes.data(), magic.data(), magic.size()) == 0;
}

/// The first `count` bytes as a number, the highest first.
uint64_t big_endian(ByteSpan bytes, size_t count) {
  uint64_t value = 0;
  for (size_t i = 0; i < count; ++i) value = value << 8 | bytes[i];
  return value;
}

// ---- PGM and PPM (netpbm.sourceforge.net/doc/ppm.html), plain and raw

class PnmReader {
 public:
  PnmReader(ByteSpan bytes, const std::string& what) : left_(bytes.subspan(2)), what_(what) {}

  ByteSpan left() const { return left_; }

  /// The next decimal number, after blanks and comments.
  uint64_t number(const char* name, uint64_t least, uint64_t most) {
    while (!left_.empty() && (blank() || left_[0] == '#')) {
      const bool comment = left_[0] == '#';
      while (comment && !left_.empty() && left_[0] != '\n') left_ = left_.subspan(1);
      if (!left_.empty()) left_ = left_.subspan(1);
    }
    const char* begin = reinterpret_cast<const char*>(left_.data());
    uint64_t value = 0;
    const auto [end, error] = std::from_chars(begin, begin + left_.size(), value);
    require(error == std::errc() && value >= least && value <= most, what_, ": the ", name,
            " is not a whole number from ", least, " to ", most,
            "; the file is truncated or corrupt");
    left_ = left_.subspan(static_cast<size_t>(end - begin));
    return value;
  }

  bool blank() const {
    return !left_.empty() && std::strchr(" \t\n\v\f\r", left_[0]) && left_[0] != 0;
  }
  void skip(size_t count) { left_ = left_.subspan(count); }

 private:
  ByteSpan left_;
  const std::string& what_;
};

Array read_pnm(ByteSpan bytes, const std::string& what) {
  const bool raw = bytes[1] >= '5';
  const int channels = bytes[1] == '3' || bytes[1] == '6' ? 3 : 1;
  PnmReader reader(bytes, what);
  const uint64_t width = reader.number("width", 1, most_side);
  const uint64_t height = reader.number("height", 1, most_side);
  check_size(what, width, height);
  const uint64_t maxval = reader.number("maxval", 1, 65535);
  require(reader.blank(), what, ": no blank follows the maxval; the file is truncated or corrupt");
  reader.skip(1);
  const size_t samples = width * height * static_cast<size_t>(channels);
  const size_t sample_size = maxval > 255 ? 2 : 1;
  // a plain sample has a digit and, but for the last, a blank
  const size_t needed = raw ? samples * sample_size : 2 * samples - 1;
  require(needed <= reader.left().size(), what, ": needs ", needed, " bytes of pixels, ",
          reader.left().size(), " are there; the file is truncated");
  std::vector<uint8_t> pixels(samples);
  for (uint8_t& pixel : pixels) {
    uint64_t sample = 0;
    if (raw) {
      sample = big_endian(reader.left(), sample_size);
      reader.skip(sample_size);
      require(sample <= maxval, what, ": a sample of ", sample, " is above the maxval of ", maxval);
    } else {
      sample = reader.number("sample", 0, maxval);
    }
    // up to 8 bits by rounding; of more bits the eight leading ones, as of a PNG with 16
    pixel = static_cast<uint8_t>(maxval <= 255 ? (510 * sample + maxval) / (2 * maxval)
                                               : 256 * sample / (maxval + 1));
  }
  while (!raw && reader.blank()) reader.skip(1);
  require(reader.left().empty(), what, ": ", reader.left().size(),
          " bytes follow its pixels; only files with one picture are read");
  return planes_of(pixels.data(), width, height, channels);
}

// ---- PNG and JPEG, through stb_image

/// What a walk through the parts of a file shows before it is decoded.
struct Outline {
  int channels = 1;
  std::vector<std::pair<size_t, size_t>>
      gaps;                   // where stb_image would go on with so many bytes that are not there
  size_t palette_length = 0;  // where a PNG says how long its palette is, if that has gaps
};

/// Every chunk is there up to the last, with its checksum. stb_image looks at no checksum, and
/// reads colours that lie outside the palette.
Outline walk_png(ByteSpan bytes, const std::string& what) {
  Outline outline;
  uint64_t packed = 0;
  uint64_t unpacked = 0;
  for (size_t at = 8;;) {
    const ByteSpan left = bytes.subspan(at);
    require(left.size() >= 12 && big_endian(left, 4) <= left.size() - 12, what, ": ends at byte ",
            bytes.size(), " within a PNG chunk; the file is truncated");
    const size_t length = big_endian(left, 4);
    const ByteSpan body = left.subspan(4, 4 + length);  // its type and its data
    require(crc32(0, body.data(), static_cast<uInt>(body.size())) ==
                big_endian(left.subspan(8 + length), 4),
            what, ": the checksum of the PNG chunk at byte ", at, " is wrong; the file is corrupt");
    require(at > 8 || (begins_with(body, "IHDR") && length == 13), what, ": has no PNG header");
    if (at == 8) {
      const uint64_t width = big_endian(body.subspan(4), 4);
      const uint64_t height = big_endian(body.subspan(8), 4);
      check_size(what, width, height);
      const uint8_t depth = body[12];
      const uint8_t colour = body[13];
      outline.channels = (colour & 2) != 0 ? 3 : 1;
      unpacked = width * height * depth * (colour == 3 ? 1 : outline.channels) / 8;
    }
    if (begins_with(body, "IDAT")) packed += length;
    require(packed > 0 || !begins_with(body, "IDAT"), what,
            ": its first chunk of pixels is empty; save it again");
    if (begins_with(body, "PLTE") && length < 768) {
      outline.palette_length = at;
      outline.gaps = {{at + 8 + length, 768 - length}};
    }
    if (begins_with(body, "IEND")) break;
    at += 12 + length;
  }
  // deflate makes things at most 1032 times smaller (zlib, "technical details")
  require(unpacked <= 1032 * packed, what, ": ", packed, " compressed bytes cannot hold ", unpacked,
          " bytes of pixels; the file is truncated or corrupt");
  return outline;
}

/// Every segment is there up to the end marker. stb_image takes what a scan lacks for zeros, or
/// leaves it unwritten.
Outline walk_jpeg(ByteSpan bytes, const std::string& what) {
  Outline outline;
  uint64_t width = 0;
  uint64_t height = 0;
  uint64_t interval = 0;  // blocks between two restart markers
  std::map<uint8_t, std::pair<uint64_t, uint64_t>> sampling;
  std::pair<uint64_t, uint64_t> finest{1, 1};
  size_t at = 2;
  const auto there = [&](size_t count) {
    require(count <= bytes.size() - at, what, ": ends at byte ", bytes.size(),
            " before its end marker; the file is truncated");
  };
  while (true) {
    there(2);
    require(bytes[at] == 0xff, what, ": byte ", at,
            " should be a JPEG marker; the file is corrupt");
    const uint8_t marker = bytes[at + 1];
    if (marker == 0xd9) break;
    at += marker == 0xff ? 1 : 2;  // markers may be preceded by any number of 0xff
    if (marker == 0xff || marker == 0x01 || (marker >= 0xd0 && marker <= 0xd7))
      continue;  // they stand alone
    there(2);
    const size_t length = big_endian(bytes.subspan(at), 2);
    there(length);
    const bool frame =
        marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
    if (frame && length >= 8) {
      height = big_endian(bytes.subspan(at + 3), 2);
      width = big_endian(bytes.subspan(at + 5), 2);
      check_size(what, width, height);
      outline.channels = bytes[at + 7] >= 3 ? 3 : 1;
      for (size_t i = at + 8; i + 3 <= at + length; i += 3) {
        sampling[bytes[i]] = {bytes[i + 1] >> 4, bytes[i + 1] & 15};
        finest.first = std::max<uint64_t>(finest.first, bytes[i + 1] >> 4);
        finest.second = std::max<uint64_t>(finest.second, bytes[i + 1] & 15);
      }
    }
    // stb_image would read a Huffman table beyond its segment, and write one of more than 256 codes
    // beyond its own
    for (size_t i = at + 2; marker == 0xc4 && i < at + length;) {
      const size_t left = at + length - i;
      size_t codes = 0;
      for (size_t bits = 1; left >= 17 && bits <= 16; ++bits) codes += bytes[i + bits];
      require(left >= 17 + codes && codes <= 256, what, ": a Huffman table of ", codes,
              " codes does not fit; the file is corrupt");
      i += 17 + codes;
    }
    if (marker == 0xdd && length >= 4) interval = big_endian(bytes.subspan(at + 2), 2);
    const auto [across, down] = length >= 4 && bytes[at + 2] == 1
                                    ? sampling[bytes[at + 3]]
                                    : std::pair{uint64_t{1}, uint64_t{1}};
    at += length;
    if (marker != 0xda) continue;
    // The scan goes up to a marker that is neither the zero after a 0xff of its own nor a restart.
    uint64_t restarts = 0;
    while (true) {
      there(2);
      const bool restart = bytes[at] == 0xff && bytes[at + 1] >= 0xd0 && bytes[at + 1] <= 0xd7;
      if (bytes[at] == 0xff && bytes[at + 1] != 0 && !restart) break;
      restarts += restart;
      ++at;
    }
    outline.gaps.push_back({at, 64});
    require(outline.gaps.size() <= most_scans, what, ": has ", outline.gaps.size(),
            " JPEG scans or more, the limit is ", most_scans, "; save it again");
    const auto ceiling = [](uint64_t a, uint64_t b) { return (a + b - 1) / b; };
    const uint64_t blocks =
        ceiling(width * across, 8 * finest.first) * ceiling(height * down, 8 * finest.second);
    require(interval == 0 || blocks == 0 || restarts >= (blocks - 1) / interval, what,
            ": a JPEG scan of ", blocks, " blocks has ", restarts, " restart markers, one every ",
            interval, " blocks; the file is truncated or corrupt");
  }
  require(!outline.gaps.empty(), what, ": has no JPEG scan; the file is truncated or corrupt");
  // a block of 8 x 8 takes at least one bit
  require(width * height <= 512 * bytes.size(), what, ": ", bytes.size(), " bytes cannot hold ",
          width * height, " pixels; the file is truncated or corrupt");
  return outline;
}

/// The file as it would be if all that it lacks were `fill`: its gaps, and the memory that it is
/// decoded in.
Array decode(ByteSpan bytes, const Outline& outline, uint8_t fill, const std::string& what) {
  Bytes filled;
  size_t from = 0;
  for (const auto& [at, count] : outline.gaps) {
    filled.insert(filled.end(), bytes.begin() + static_cast<ptrdiff_t>(from),
                  bytes.begin() + static_cast<ptrdiff_t>(at));
    filled.insert(filled.end(), count, fill);
    from = at;
  }
  filled.insert(filled.end(), bytes.begin() + static_cast<ptrdiff_t>(from), bytes.end());
  if (outline.palette_length != 0) filled[outline.palette_length + 2] = 3;  // 768 bytes
  if (outline.palette_length != 0) filled[outline.palette_length + 3] = 0;
  heap_fill = fill;
  refused_bytes = 0;
  int width = 0;
  int height = 0;
  int channels = 0;
  const std::unique_ptr<uint8_t, void (*)(void*)> pixels(
      stbi_load_from_memory(filled.data(), static_cast<int>(filled.size()), &width, &height,
                            &channels, outline.channels),
      stbi_image_free);
  if (!pixels && refused_bytes > 0)
    throw Error(text(what, ": no memory for ", refused_bytes, " bytes to decode it"),
                Fault::internal);
  if (!pixels) {
    const char* reason = stbi_failure_reason();
    throw Error(text(what, ": cannot be read: ", reason ? reason : "no reason is given",
                     "; the file is truncated or corrupt"));
  }
  return planes_of(pixels.get(), static_cast<uint64_t>(width), static_cast<uint64_t>(height),
                   outline.channels);
}

Array read_through_stb(ByteSpan bytes, const Outline& outline, const std::string& what) {
  const Array image = decode(bytes, outline, 0, what);
  if (outline.gaps.empty()) return image;
  const Array again = decode(bytes, outline, 0xa5, what);
  require(std::equal(image.data<uint8_t>(), image.data<uint8_t>() + image.size(),
                     again.data<uint8_t>()),
          what, ": some of its pixels are not in the file; it is truncated or corrupt");
  return image;
}

}  // namespace

Array read_image(const std::string& path) {
  return parse_image(read_file(path, largest_file), path);
}

Array parse_image(ByteSpan bytes, const std::string& name) {
  const std::string what = "image " + name;
  require(bytes.size() <= largest_file, what, ": more than ", largest_file, " bytes");
  if (begins_with(bytes, "\x89PNG\r\n\x1a\n"))
    return read_through_stb(bytes, walk_png(bytes, what), what);
  if (begins_with(bytes, "\xff\xd8")) return read_through_stb(bytes, walk_jpeg(bytes, what), what);
  for (const char* magic : {"P2", "P3", "P5", "P6"})
    if (begins_with(bytes, magic)) return read_pnm(bytes, what);
  throw Error(text(
      what,
      ": cannot be read: begins as none of PNG, JPEG, PGM and PPM; convert it to one of them"));
}

void write_png(const std::string& path, const Array& image) {
  const int rank = image.rank();
  const int64_t channels = rank == 3 ? image.dim(0) : 1;
  require(image.defined() && image.dtype() == DType::u8 && (rank == 2 || rank == 3) &&
              (channels == 1 || channels == 3),
          "write_png ", path, ": needs u8 [H, W], [1, H, W] or [3, H, W], got ", image);
  const int64_t height = image.dim(-2), width = image.dim(-1);
  check_size("write_png " + path, static_cast<uint64_t>(width), static_cast<uint64_t>(height));
  const Array planes = reshape(copy_to(image, Device()), {channels, height, width});
  const Array mixed = contiguous(permute(planes, {1, 2, 0}));
  int length = 0;
  const std::unique_ptr<uint8_t, void (*)(void*)> png(
      stbi_write_png_to_mem(mixed.data<uint8_t>(), static_cast<int>(width * channels),
                            static_cast<int>(width), static_cast<int>(height),
                            static_cast<int>(channels), &length),
      std::free);
  if (!png)
    throw Error(text("write_png ", path, ": stb_image_write failed on ", image), Fault::internal);
  write_atomically(path, ByteSpan(png.get(), static_cast<size_t>(length)));
}

Array image_grid(const Array& images, int64_t columns, int64_t padding, int64_t scale) {
  require(
      images.defined() && images.rank() == 4 && images.size() > 0 && is_floating(images.dtype()),
      "image_grid: needs floating [N, C, H, W], got ", images);
  require(columns > 0 && padding >= 0 && padding < 1024 && scale > 0 && scale < 1024,
          "image_grid: columns ", columns, " and scale ", scale, " must be positive, padding ",
          padding, " not negative, the last two below 1024");
  const int64_t n = images.dim(0), channels = images.dim(1), height = images.dim(2),
                width = images.dim(3);
  columns = std::min(columns, n);
  const int64_t rows = (n + columns - 1) / columns;
  const int64_t sheet_height = padding + rows * (height * scale + padding);
  const int64_t sheet_width = padding + columns * (width * scale + padding);
  require(sheet_height <= static_cast<int64_t>(most_pixels) / sheet_width,
          "image_grid: a sheet of ", sheet_width, " x ", sheet_height, " is more than ",
          most_pixels, " pixels; use fewer images or a smaller scale");

  const Array values = contiguous(cast(copy_to(images, Device()), DType::f32));
  const Array bytes(values.shape(), DType::u8);
  std::transform(values.data<float>(), values.data<float>() + values.size(), bytes.data<uint8_t>(),
                 [](float value) {
                   return static_cast<uint8_t>(std::lround(
                       255 * (value > 0 ? std::min(value, 1.0f) : 0.0f)));  // NaN gives 0
                 });
  const Array sheet = full({channels, sheet_height, sheet_width}, 255, DType::u8);
  for (int64_t i = 0; i < n; ++i) {
    const Array image = reshape(slice(bytes, 0, i, i + 1), {channels, height, 1, width, 1});
    const Array enlarged = reshape(broadcast_to(image, {channels, height, scale, width, scale}),
                                   {channels, height * scale, width * scale});
    const int64_t top = padding + i / columns * (height * scale + padding);
    const int64_t left = padding + i % columns * (width * scale + padding);
    assign(slice(slice(sheet, 1, top, top + height * scale), 2, left, left + width * scale),
           enlarged);
  }
  return sheet;
}

}  // namespace basin
