// Pictures: every pixel that is read came from the file, and everything else is an Error that says
// why.
#include <doctest/doctest.h>
#include <malloc.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>

#include "data/images.h"
#include "engine/image.h"
#include "tests/files.h"

using namespace basin;
using namespace basin::test;

namespace {

Bytes as_bytes(const std::string& characters) {
  return {characters.begin(), characters.end()};
}

Bytes operator+(Bytes left, const Bytes& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

Bytes big_endian(uint32_t value) {
  return {static_cast<uint8_t>(value >> 24), static_cast<uint8_t>(value >> 16),
          static_cast<uint8_t>(value >> 8), static_cast<uint8_t>(value)};
}

Bytes chunk(const std::string& type, const Bytes& data) {
  const Bytes body = as_bytes(type) + data;
  const auto sum = static_cast<uint32_t>(crc32(0, body.data(), static_cast<uInt>(body.size())));
  return big_endian(static_cast<uint32_t>(data.size())) + body + big_endian(sum);
}

Bytes deflated(const Bytes& plain) {
  uLongf size = compressBound(plain.size());
  Bytes packed(size);
  REQUIRE(compress(packed.data(), &size, plain.data(), plain.size()) == Z_OK);
  packed.resize(size);
  return packed;
}

struct Png {
  uint32_t width = 1;
  uint32_t height = 1;
  uint8_t depth = 8;
  uint8_t colour = 0;  // 0 grey, 2 colour, 3 palette, 4 grey with alpha, 6 colour with alpha
  uint8_t interlaced = 0;
};

const Bytes png_signature{0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};

/// `raw` are the scan lines, each with its filter byte; `between` are chunks before the pixels.
Bytes png(const Png& p, const Bytes& raw, const Bytes& between = {}) {
  const Bytes header =
      big_endian(p.width) + big_endian(p.height) + Bytes{p.depth, p.colour, 0, 0, p.interlaced};
  return png_signature + chunk("IHDR", header) + between + chunk("IDAT", deflated(raw)) +
         chunk("IEND", {});
}

std::string image_error(const Bytes& bytes) {
  return error_of([&] { parse_image(bytes, "f"); });
}

Bytes pixels_of(const Bytes& bytes) {
  return parse_image(bytes, "f").to_vector<uint8_t>();
}

Bytes first(const Bytes& bytes, size_t count) {
  return {bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(count)};
}

/// Memory from malloc and to free is filled with `value` while this lives.
class HeapFill {
 public:
  explicit HeapFill(int value) { ::mallopt(M_PERTURB, value); }
  HeapFill(const HeapFill&) = delete;
  HeapFill& operator=(const HeapFill&) = delete;
  ~HeapFill() { ::mallopt(M_PERTURB, 0); }
};

std::string corpus(const std::string& name) {
  return BASIN_TEST_DATA "/fuzz/corpus/" + name;
}

/// The picture, or the message why there is none; with the heap filled.
std::string outcome(const Bytes& bytes, int fill) {
  const HeapFill heap(fill);
  try {
    const Bytes pixels = pixels_of(bytes);
    return {pixels.begin(), pixels.end()};
  } catch (const Error& error) {
    return error.what();
  }
}

/// Where a JPEG's marker begins that ends its last scan.
size_t end_of_scan(const Bytes& jpeg) {
  const std::array<uint8_t, 2> marker{0xff, 0xd9};
  return static_cast<size_t>(std::find_end(jpeg.begin(), jpeg.end(), marker.begin(), marker.end()) -
                             jpeg.begin());
}

}  // namespace

TEST_CASE("pnm: samples are scaled from any depth") {
  CHECK(pixels_of(as_bytes(std::string("P5\n4 1\n15\n\0\005\012\017", 14))) ==
        Bytes{0, 85, 170, 255});
  CHECK(pixels_of(as_bytes(std::string("P5\n3 1\n1023\n\0\0\2\0\3\377", 18))) ==
        Bytes{0, 128, 255});
  CHECK(pixels_of(as_bytes("P5\n2 1\n65535\n\200\005\100\377")) == Bytes{128, 64});
  CHECK(pixels_of(as_bytes(std::string("P5 2 1 1 \0\1", 11))) == Bytes{0, 255});
  CHECK(pixels_of(as_bytes("P5\n3 1\n255\nabc")) == Bytes{'a', 'b', 'c'});
  CHECK(pixels_of(as_bytes("P2 # grey\n3 #c\r\n1\t2\n0 1 2 \n")) == Bytes{0, 128, 255});
  const Array colour = parse_image(as_bytes("P6 1 2 255\nrgbRGB"), "f");
  CHECK(colour.shape() == Shape{3, 2, 1});
  CHECK(colour.to_vector<uint8_t>() == Bytes{'r', 'R', 'g', 'G', 'b', 'B'});
  CHECK(pixels_of(as_bytes("P3\n1 1 255\n1 2 3")) == Bytes{1, 2, 3});
  CHECK(pixels_of(as_bytes("P5 1 1 255\n#")) == Bytes{'#'});  // no comment any more
}

TEST_CASE("pnm: truncated, too long, and headers that lie") {
  const std::string good = "P6\n2 2\n255\n" + std::string(12, 'x'),
                    wide = "P5\n2 2\n1000\n" + std::string(8, '\1'), plain = "P2\n2 2\n9\n1 2 3 4";
  for (const std::string& file : {good, wide, plain}) {
    CHECK(image_error(as_bytes(file)) == "no error");
    for (size_t length = 0; length < file.size(); ++length) {
      CAPTURE(length);
      CHECK(image_error(as_bytes(file.substr(0, length))) != "no error");
    }
  }
  CHECK(has(image_error(as_bytes(good.substr(0, 20))), "needs 12 bytes of pixels, 9 are there"));
  CHECK(has(image_error(as_bytes(good + "P6\n2 2\n255\n")), "one picture"));
  CHECK(has(image_error(as_bytes("P2 1 1 9 1 2")), "one picture"));
  CHECK(
      has(image_error(as_bytes("P5\n99999999999 2\n255\nxx")), "width"));  // 1215752191 modulo 2^32
  CHECK(has(image_error(as_bytes("P5\n4294967297 1\n255\nx")), "width"));
  CHECK(has(image_error(as_bytes("P5\n0 1\n255\n")), "width"));
  CHECK(has(image_error(as_bytes("P5\n-1 1\n255\n")), "width"));
  CHECK(has(image_error(as_bytes("P5\n2 65537\n255\nx")), "height"));
  CHECK(has(image_error(as_bytes("P5\n65536 65536\n255\nx")), "65536 x 65536"));
  CHECK(has(image_error(as_bytes("P5\n1 1\n65536\nxx")), "maxval"));
  CHECK(has(image_error(as_bytes("P5\n1 1\n0\nx")), "maxval"));
  CHECK(has(image_error(as_bytes("P5\n1 1\n100\nx")), "above"));  // 'x' is 120
  CHECK(has(image_error(as_bytes("P2 1 1 9 10")), "sample"));
  CHECK(has(image_error(as_bytes("P4\n8 1\nx")), "PGM"));
  CHECK(has(image_error(as_bytes("P7\nWIDTH 1")), "PGM"));
}

TEST_CASE("images: only the documented formats, and a file without one is named as such") {
  Bytes tga(18, 0);  // TGA has no magic number
  tga[2] = 2;
  tga[12] = tga[14] = 100;
  tga[16] = 24;
  CHECK(has(image_error(tga), "PNG, JPEG, PGM"));
  Bytes sparse(4096, 0);
  sparse[2] = 3;
  sparse[12] = sparse[14] = 9;
  sparse[16] = 8;
  CHECK(has(image_error(sparse), "PNG, JPEG, PGM"));
  for (const char* begin :
       {"BM", "GIF89a", "8BPS", "#?RADIANCE\n", "\x53\x80\xF6\x34", "II*", "RIFF", ""})
    CHECK(has(image_error(as_bytes(begin) + Bytes(4000, 1)), "PNG, JPEG, PGM"));
}

TEST_CASE("images: each file has its own reason") {
  const Bytes good = png({}, {0, 7});
  Bytes filter = png({}, {9, 7});                 // no such filter
  const Bytes depth = png({.depth = 3}, {0, 7});  // no such depth
  const std::string first_reason = image_error(filter), second_reason = image_error(depth);
  CHECK(has(first_reason, "invalid filter"));
  CHECK(!has(second_reason, "invalid filter"));
  CHECK(has(second_reason, "1/2/4/8/16-bit only"));
  CHECK(!has(image_error(as_bytes("no picture")), "unknown reason"));
}

TEST_CASE("images: one limit of size for reading and writing, named in both") {
  const TemporaryFolder folder;
  const std::string path = folder / "wide.png";
  CHECK(has(error_of([&] { write_png(path, full({1, 70000}, 0, DType::u8)); }), "65536"));
  CHECK(!std::filesystem::exists(path));
  write_png(path, full({1, 65536}, 3, DType::u8));
  CHECK(read_image(path).shape() == Shape{1, 1, 65536});
  CHECK(has(image_error(png({.width = 70000}, {0})), "70000 x 1 is more than 65536 pixels a side"));
  CHECK(
      has(image_error(png({.width = 65536, .height = 65536}, {0})), "65536 x 65536 is more than"));
  CHECK(has(image_error(png({.width = 0}, {0})), "0 x 1"));
  // 8192 x 8192 pixels are allowed, but not from a hundred bytes: refused before they are allocated
  CHECK(has(image_error(png({.width = 8192, .height = 8192}, Bytes(100, 0))), "cannot hold"));
}

TEST_CASE("png: every kind of pixel") {
  CHECK(pixels_of(png({}, {0, 7})) == Bytes{7});
  CHECK(pixels_of(png({.width = 9, .depth = 1}, {0, 0xa5, 0x80})) ==
        Bytes{255, 0, 255, 0, 0, 255, 0, 255, 255});
  CHECK(pixels_of(png({.width = 4, .depth = 2}, {0, 0x1b})) == Bytes{0, 85, 170, 255});
  CHECK(pixels_of(png({.width = 2, .depth = 4}, {0, 0x5f})) == Bytes{85, 255});
  // 16 bits: the eight leading ones
  CHECK(pixels_of(png({.width = 2, .depth = 16}, {0, 0x80, 0x05, 0x40, 0xff})) ==
        Bytes{0x80, 0x40});
  CHECK(pixels_of(png({.width = 2, .colour = 4}, {0, 1, 0, 2, 255})) ==
        Bytes{1, 2});  // alpha is dropped
  const Array colour =
      parse_image(png({.width = 2, .colour = 6}, {0, 1, 2, 3, 0, 4, 5, 6, 9}), "f");
  CHECK(colour.shape() == Shape{3, 1, 2});
  CHECK(colour.to_vector<uint8_t>() == Bytes{1, 4, 2, 5, 3, 6});
  const Bytes palette = chunk("PLTE", {1, 2, 3, 4, 5, 6});
  CHECK(pixels_of(png({.width = 2, .colour = 3}, {0, 1, 0}, palette)) == Bytes{4, 1, 5, 2, 6, 3});
  // 3 x 3, interlaced: Adam7's passes hold (0,0), then (0,2), (2,0) (2,2), (0,1) (2,1), (1,0) (1,1)
  // (1,2)
  CHECK(pixels_of(png({.width = 3, .height = 3, .interlaced = 1},
                      {0, 1, 0, 3, 0, 7, 9, 0, 2, 0, 8, 0, 4, 5, 6})) ==
        Bytes{1, 2, 3, 4, 5, 6, 7, 8, 9});
}

TEST_CASE("png: truncated at any length or damaged in any byte") {
  Bytes raw;
  for (int y = 0; y < 8; ++y) {
    raw.push_back(static_cast<uint8_t>(y % 5));
    for (int x = 0; x < 8; ++x) raw.push_back(static_cast<uint8_t>(x * y * 37));
  }
  const Bytes good = png({.width = 8, .height = 8}, raw);
  for (size_t length = 0; length < good.size(); ++length) {
    CAPTURE(length);
    CHECK(image_error(first(good, length)) != "no error");
  }
  for (size_t at = 0; at < good.size(); ++at) {
    CAPTURE(at);
    Bytes bad = good;
    bad[at] ^= static_cast<uint8_t>(1 << at % 8);
    CHECK(image_error(bad) != "no error");
  }
  raw.resize(raw.size() - 3);  // a whole file with too few pixels
  CHECK(image_error(png({.width = 8, .height = 8}, raw)) != "no error");
}

TEST_CASE("png: a pixel that its palette does not hold is no pixel of the file") {
  const Bytes palette = chunk("PLTE", {1, 2, 3, 4, 5, 6});
  CHECK(has(image_error(png({.width = 2, .colour = 3}, {0, 1, 2}, palette)), "not in the file"));
  CHECK(has(image_error(png({.width = 2, .depth = 2, .colour = 3}, {0, 0x70}, palette)),
            "not in the file"));
}

TEST_CASE("jpeg: truncated at any length, also when its end is mended") {
  for (const char* name :
       {"good_baseline.jpg", "good_progressive.jpg", "good_restart.jpg", "good_grey.jpg"}) {
    CAPTURE(name);
    const Bytes good = read_file(corpus("jpeg/") + name);
    CHECK(image_error(good) == "no error");
    for (size_t length = 0; length < good.size(); ++length) {
      CAPTURE(length);
      CHECK(image_error(first(good, length)) != "no error");
    }
    // a quarter of the last scan is lost and the end marker is put back: what is missing must not
    // be made up
    const size_t end = end_of_scan(good);
    CHECK(image_error(first(good, end - 40) + Bytes{0xff, 0xd9}) != "no error");
  }
}

TEST_CASE("jpeg: a scan may be repeated, but not without limit") {
  const Bytes good = read_file(corpus("jpeg/good_progressive.jpg"));  // has ten scans
  constexpr std::ptrdiff_t begin = 410, end = 421;                    // one that may be repeated
  REQUIRE(has(std::string(good.begin() + begin, good.begin() + end), "\xff\xda"));
  const auto with_scans = [&](size_t count) {
    const Bytes scan(good.begin() + begin, good.begin() + end);
    Bytes file = first(good, end);
    for (size_t i = 10; i < count; ++i) file.insert(file.end(), scan.begin(), scan.end());
    return file + Bytes(good.begin() + end, good.end());
  };
  CHECK(with_scans(10) == good);
  CHECK(pixels_of(with_scans(500)) == pixels_of(good));
  for (const size_t count : {501, 600, 100'000})
    CHECK(has(image_error(with_scans(count)), "has 501 JPEG scans or more, the limit is 500"));
}

TEST_CASE("images: memory that was never written does not appear as pixels") {
  std::vector<Bytes> files;
  const std::string header = "P5\n64 64\n255\n";
  files.push_back(as_bytes(header) + Bytes(487, 0));
  const Bytes palette = chunk("PLTE", {1, 2, 3});
  files.push_back(png({.width = 2, .colour = 3}, {0, 0, 200}, palette));
  for (const char* name : {"good_baseline.jpg", "good_restart.jpg"}) {
    const Bytes good = read_file(corpus("jpeg/") + name);
    const std::array<uint8_t, 2> scan{0xff, 0xda};
    const auto begin = std::search(good.begin(), good.end(), scan.begin(), scan.end());
    files.push_back(Bytes(good.begin(), begin) + Bytes{0xff, 0xd9});  // no scan at all
    files.push_back(first(good, end_of_scan(good) - 40) + Bytes{0xff, 0xd9});
    files.push_back(good);
  }
  for (size_t i = 0; i < files.size(); ++i) {
    CAPTURE(i);
    CHECK(outcome(files[i], 0xa5) == outcome(files[i], 0x5a));
  }
}

TEST_CASE("image folder: entries that are no pictures are passed over, broken pictures are not") {
  const TemporaryFolder folder;
  write_png(folder / "a.png", full({3, 4, 5}, 1, DType::u8));
  write_png(folder / "b.PNG", full({3, 4, 5}, 2, DType::u8));
  write_atomically(folder / "._a.png", std::string_view("\0\5\26\7", 4));
  write_atomically(folder / ".DS_Store", "x");
  write_atomically(folder / "Thumbs.db", "x");
  std::filesystem::create_directory(folder / "x.png");
  std::filesystem::create_directory(folder / "sub");
  CHECK(load_images(folder.path()).names == std::vector<std::string>{"a.png", "b.PNG"});
  SUBCASE("a broken picture") {
    write_atomically(folder / "c.png", "\x89PNG");
    CHECK(has(error_of([&] { load_images(folder.path()); }), folder / "c.png"));
  }
  SUBCASE("a picture of a format that is not read is not left out in silence") {
    write_atomically(folder / "c.bmp", "BM");
    CHECK(has(error_of([&] { load_images(folder.path()); }), folder / "c.bmp"));
  }
  SUBCASE("a link to nothing") {
    std::filesystem::create_symlink(folder / "gone", folder / "c.png");
    CHECK(has(error_of([&] { load_images(folder.path()); }), folder / "c.png"));
  }
}

TEST_CASE("images: PNG is written and read without loss") {
  const TemporaryFolder folder;
  std::vector<uint8_t> values(3 * 5 * 4);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<uint8_t>(i * 4 + 1);
  const Array colour = from_vector(values, {3, 5, 4});
  write_png(folder / "colour.png", colour);
  CHECK(same(read_image(folder / "colour.png"), colour));
  const Array grey = contiguous(slice(colour, 0, 1, 2));
  write_png(folder / "grey.png", reshape(grey, {5, 4}));
  CHECK(same(read_image(folder / "grey.png"), grey));
  write_png(folder / "plane.png", slice(colour, 0, 1, 2));
  CHECK(content(folder / "plane.png") == content(folder / "grey.png"));

  CHECK(has(error_of([&] {
              write_png(folder / "x.png", full({2, 2}, 0, DType::f32));
            }),
            "f32[2, 2]"));
  CHECK(has(error_of([&] {
              write_png(folder / "x.png", full({2, 2, 2}, 0, DType::u8));
            }),
            "u8[2, 2, 2]"));
  CHECK(has(error_of([&] { write_png(folder / "no/x.png", colour); }), std::strerror(ENOENT)));
}

TEST_CASE("images: a grid is the images with padding, enlarged and clamped") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Array images = from_vector<float>({0, 1, 0.5f, -3, 7, nan}, {3, 1, 1, 2});
  const Array sheet = image_grid(images, 2, 1, 2);
  // Two rows of two places, the last left white; each place is 2 high and 4 wide.
  const std::vector<uint8_t> expected = {255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,  //
                                         255, 0,   0,   255, 255, 255, 128, 128, 0,   0,   255,  //
                                         255, 0,   0,   255, 255, 255, 128, 128, 0,   0,   255,  //
                                         255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,  //
                                         255, 255, 255, 0,   0,   255, 255, 255, 255, 255, 255,  //
                                         255, 255, 255, 0,   0,   255, 255, 255, 255, 255, 255,  //
                                         255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255};
  CHECK(sheet.shape() == Shape{1, 7, 11});
  CHECK(sheet.to_vector<uint8_t>() == expected);
  CHECK(image_grid(full({7, 3, 4, 5}, 0.2, DType::f64), 100, 0).shape() == Shape{3, 4, 35});
  CHECK(has(error_of([] { image_grid(full({2, 2}, 0, DType::f32), 1); }), "f32[2, 2]"));
  CHECK(has(error_of([&] { image_grid(images, 0); }), "columns 0"));
  CHECK(has(error_of([] {
              image_grid(full({1, 1, 1000, 1000}, 0, DType::f32), 1, 0, 10);
            }),
            "smaller scale"));
}
