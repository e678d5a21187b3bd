// The safetensors format: what is written and read, and what is refused.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "engine/safetensors.h"
#include "tests/engine/specimens.h"
#include "tests/files.h"

using namespace basin;
using namespace basin::test;

namespace {

/// The most memory that this process has had, in KiB; it only grows.
int64_t peak_kib() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

std::string safetensors(const std::string& header, size_t data_bytes) {
  std::string bytes(8, '\0');
  const uint64_t size = header.size();
  std::memcpy(bytes.data(), &size, 8);
  return bytes + header + std::string(data_bytes, 'x');
}

/// A file of one tensor "w".
template <class T>
std::string stored(const std::string& dtype, const std::vector<T>& numbers) {
  const size_t size = numbers.size() * sizeof(T);
  std::string file = safetensors(text("{\"w\":{\"dtype\":\"", dtype, "\",\"shape\":[",
                                      numbers.size(), "],\"data_offsets\":[0,", size, "]}}"),
                                 size);
  std::memcpy(file.data() + file.size() - size, numbers.data(), size);
  return file;
}

template <class T>
std::vector<T> iota(size_t count) {
  std::vector<T> numbers(count);
  for (size_t i = 0; i < count; ++i) numbers[i] = static_cast<T>(i);
  return numbers;
}

/// The number that bits mean, in f64: sign, exponent (biased by half its range), mantissa.
double meaning(uint32_t bits, int exponent, int mantissa, bool has_infinity) {
  const int most = (1 << exponent) - 1;
  const int power = static_cast<int>(bits >> mantissa) & most;
  const int fraction = static_cast<int>(bits) & ((1 << mantissa) - 1);
  const double sign = bits >> (exponent + mantissa) ? -1 : 1;
  const int bias = most / 2;
  if (has_infinity && power == most)
    return fraction ? std::nan("") : sign * std::numeric_limits<double>::infinity();
  if (!has_infinity && power == most && fraction == (1 << mantissa) - 1) return std::nan("");
  if (power == 0) return sign * std::ldexp(fraction, 1 - bias - mantissa);
  return sign * std::ldexp(fraction + (1 << mantissa), power - bias - mantissa);
}

/// Equal as numbers with their signs, or both NaN.
bool same_number(double a, double b) {
  return (std::isnan(a) && std::isnan(b)) || (a == b && std::signbit(a) == std::signbit(b));
}

template <class T>
void check_floats(const std::string& dtype, int exponent, int mantissa, bool has_infinity) {
  CAPTURE(dtype);
  const size_t count = size_t{1} << (1 + exponent + mantissa);
  const std::string file = stored(dtype, iota<T>(count));
  const SafeTensors read = parse_safetensors(as_bytes(file), "f");
  CHECK(read.stored_as == Metadata{{"w", dtype}});
  const std::vector<float> numbers = read.tensors[0].second.to_vector<float>();
  REQUIRE(numbers.size() == count);
  size_t wrong = 0;
  for (uint32_t bits = 0; bits < count; ++bits)
    wrong += !same_number(numbers[bits], meaning(bits, exponent, mantissa, has_infinity));
  CHECK(wrong == 0);
}

template <class To, class From>
std::vector<To> read_as(const std::string& dtype, const std::vector<From>& numbers) {
  const std::string file = stored(dtype, numbers);
  return parse_safetensors(as_bytes(file), "f").tensors.at(0).second.to_vector<To>();
}

}  // namespace

TEST_CASE("safetensors: every dtype and rank, order and metadata come back") {
  const TemporaryFolder folder;
  const NamedArrays tensors = specimens();
  const Metadata metadata{{"step", "17"}, {"with \"quotes\" and \xc3\xa4", "line\nbreak"}};
  save_safetensors(folder / "a.safetensors", tensors, metadata);
  const SafeTensors back = load_safetensors(folder / "a.safetensors");
  CHECK(back.metadata == metadata);
  REQUIRE(back.tensors.size() == tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    CAPTURE(tensors[i].first);
    CHECK(back.tensors[i].first == tensors[i].first);
    CHECK(same(back.tensors[i].second, tensors[i].second));
  }
  save_safetensors(folder / "b.safetensors", back.tensors, back.metadata);
  const std::string bytes = content(folder / "a.safetensors");
  CHECK(content(folder / "b.safetensors") == bytes);
  save_safetensors(folder / "c.safetensors", {tensors[8], tensors[0]});  // a byte before a double
  CHECK(load_safetensors(folder / "c.safetensors").tensors[0].first == "scalar");

  uint64_t header_size = 0;
  std::memcpy(&header_size, bytes.data(), 8);
  CHECK(header_size % 8 == 0);

  for (size_t length = 0; length < bytes.size(); ++length) {  // cut off anywhere
    CAPTURE(length);
    CHECK(has(error_of([&] { parse_safetensors(as_bytes(bytes).first(length), "cut"); }),
              "safetensors cut"));
  }
  CHECK(has(error_of([&] { parse_safetensors(as_bytes(bytes + "x"), "long"); }),
            "1 bytes after the last tensor"));
}

TEST_CASE("safetensors: headers that lie are refused before anything is allocated") {
  const auto error = [](const std::string& header, size_t data_bytes) {
    const std::string bytes = safetensors(header, data_bytes);
    return error_of([&] { parse_safetensors(as_bytes(bytes), "f"); });
  };
  const auto entry = [](const std::string& dtype, const std::string& shape,
                        const std::string& offsets) {
    return "{\"w\": {\"dtype\": \"" + dtype + "\", \"shape\": " + shape +
           ", \"data_offsets\": " + offsets + "}}";
  };
  CHECK(error(entry("F32", "[2]", "[0, 8]"), 8) == "no error");
  CHECK(has(error(entry("F32", "[4]", "[0, 8]"), 8), "f: tensor \"w\": F32[4] needs 16 bytes"));
  CHECK(has(error(entry("F32", "[1]", "[0, 8]"), 8), "needs 4 bytes, and its data_offsets span 8"));
  CHECK(has(error(entry("F32", "[2]", "[0, 8]"), 7),
            "data_offsets must be [begin, end] within the 7 bytes"));
  CHECK(has(error(entry("F32", "[2]", "[8, 0]"), 8), "data_offsets"));
  CHECK(has(error(entry("F32", "[2]", "[0, 18446744073709551615]"), 8), "data_offsets"));
  CHECK(has(error(entry("F32", "[2]", "[0]"), 8), "data_offsets"));
  CHECK(has(error(entry("F32", "[2]", "[4, 12]"), 12), "begins at byte 4 where 0"));
  CHECK(has(error(entry("F32", "[-2]", "[0, 8]"), 8), "at least 0"));
  CHECK(has(error(entry("F32", "[2.0]", "[0, 8]"), 8), "at least 0"));
  CHECK(has(error(entry("F32", "\"2\"", "[0, 8]"), 8), "must be a list"));
  CHECK(has(error(entry("C64", "[1]", "[0, 8]"), 8), "C64 is not one of F32, F64, I32"));
  CHECK(has(error(entry("F32", "[2,1,1,1,1,1,1]", "[0, 8]"), 8), "holds more than 6"));
  CHECK(has(error(entry("F32", "[4611686018427387905, 4]", "[0, 16]"), 16),
            "more bytes than can be addressed"));
  CHECK(has(error(entry("F32", "[0, 4611686018427387904, 4]", "[0, 0]"), 0),
            "more bytes than can be addressed"));
  CHECK(has(error("{\"w\": 3}", 0), "not an object"));
  CHECK(has(error("[]", 0), "not a JSON object"));
  CHECK(has(error("{\"w\": ", 0), "broken header"));
  CHECK(has(error("{\"__metadata__\": {\"a\": 1}}", 0), "\"a\" must be a string"));
  CHECK(has(error(std::string(200'000, '['), 0), "not a JSON object"));
  const std::string absurd("\xff\xff\xff\xff\xff\xff\xff\x7f{}", 10);
  CHECK(has(error_of([&] { parse_safetensors(as_bytes(absurd), "f"); }),
            "the header claims 9223372036854775807 bytes"));
  const std::string overlap =
      "{\"a\": {\"dtype\": \"U8\", \"shape\": [4], \"data_offsets\": [0, 4]}, "
      "\"b\": {\"dtype\": \"U8\", \"shape\": [4], \"data_offsets\": [2, 6]}}";
  CHECK(has(error(overlap, 6), "tensor \"b\" begins at byte 2 where 4"));
}

TEST_CASE("safetensors: names that cannot be saved") {
  const TemporaryFolder folder;
  const Array one = full({1}, 1, DType::f32);
  const auto error = [&](const NamedArrays& tensors) {
    return error_of([&] { save_safetensors(folder / "x", tensors); });
  };
  CHECK(has(error({{"a", one}, {"a", one}}), "two tensors have the name \"a\""));
  CHECK(has(error({{"__metadata__", one}}), "reserved"));
  CHECK(has(error({{"\xff", one}}), "UTF-8"));
  CHECK(has(error({{"a", Array()}}), "has no array"));
  CHECK(folder.count() == 0);
}

TEST_CASE(
    "safetensors: entries that the reference implementation reads, and those that it refuses") {
  const auto error = [](const std::string& header, size_t data_bytes) {
    const std::string bytes = safetensors(header, data_bytes);
    return error_of([&] { parse_safetensors(as_bytes(bytes), "f"); });
  };
  const std::string w = R"("w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]})";
  const std::string bytes = safetensors("{\"__metadata__\":null," + w + "}", 24);
  const SafeTensors file = parse_safetensors(as_bytes(bytes), "f");
  CHECK(file.metadata.empty());
  REQUIRE(file.tensors.size() == 1);
  CHECK(file.tensors[0].second.shape() == Shape{2, 3});
  CHECK(error(" {" + w + "}\n\t ", 24) == "no error");
  CHECK(error(R"({"w":{"format":[{"x":null}],"dtype":"F32","shape":[],"data_offsets":[0,4]}})",
              4) == "no error");
  CHECK(error(R"({"":{"dtype":"F32","shape":[],"data_offsets":[0,4]}})", 4) == "no error");
  // of two entries with one name the last counts, as there
  CHECK(error(R"({"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)" + w + "}", 24) ==
        "no error");

  CHECK(has(error("{" + w + "}" + std::string(2, '\0'), 24), "0x20"));  // padding
  CHECK(has(error("\xef\xbb\xbf{" + w + "}", 24), "broken header"));    // a byte order mark
  CHECK(has(error("{\"__metadata__\":{},\"__metadata__\":{}," + w + "}", 24), "twice"));
  CHECK(has(error(R"({"w":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4),
            "twice"));
  CHECK(has(error("{\"__metadata__\":{\"a\":null}," + w + "}", 24), "\"a\""));
  CHECK(has(error("{\"__metadata__\":[]," + w + "}", 24), "__metadata__"));
  CHECK(has(error("{\"__metadata__\":\"\"," + w + "}", 24), "__metadata__"));
  CHECK(has(error(R"({"w":{"dtype":"F32","shape":[1]}})", 4), "data_offsets"));
  CHECK(has(error(R"({"w":{"dtype":"F32","shape":null,"data_offsets":[0,4]}})", 4), "shape"));
  CHECK(has(error("{" + w + "}", 25), "1 bytes after"));
}

TEST_CASE("safetensors: nesting is bounded, and so is memory") {
  const auto nested = [](int depth) {  // as deep as serde_json goes, and one more
    const std::string bytes =
        safetensors("{\"w\":{\"x\":" + std::string(depth, '[') + std::string(depth, ']') +
                        R"(,"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
                    4);
    return error_of([&] { parse_safetensors(as_bytes(bytes), "f"); });
  };
  CHECK(nested(125) == "no error");
  CHECK(has(nested(126), "nested deeper"));
  for (const char* unit : {"[", "[],", "{\"a\":", "{},", "0,", "\"\","}) {
    std::string list = "{\"w\":{\"x\":[";
    while (list.size() < 2'000'000) list += unit;
    const std::string bytes = safetensors(list, 0);
    [[maybe_unused]] const int64_t before = peak_kib();
    CAPTURE(unit);
    CHECK(has(error_of([&] { parse_safetensors(as_bytes(bytes), "f"); }), "safetensors f"));
#ifndef BASIN_SANITIZED                   // which keeps what was freed
    CHECK(peak_kib() - before < 10'000);  // five times the header
#endif
  }
}

TEST_CASE("safetensors: narrow floats are read exactly, every pattern of their bits") {
  check_floats<uint16_t>("F16", 5, 10, true);
  check_floats<uint16_t>("BF16", 8, 7, true);
  check_floats<uint8_t>("F8_E5M2", 5, 2, true);
  check_floats<uint8_t>("F8_E4M3", 4, 3, false);
  // published extremes (IEEE 754 half; OCP 8-bit floating point, table 1)
  CHECK(read_as<float>("F16", std::vector<uint16_t>{0x7bff, 0x0001, 0x3c00}) ==
        std::vector<float>{65504, 0x1p-24f, 1});
  CHECK(read_as<float>("F8_E4M3", std::vector<uint8_t>{0x7e, 0x01, 0x38}) ==
        std::vector<float>{448, 0x1p-9f, 1});
  CHECK(read_as<float>("F8_E5M2", std::vector<uint8_t>{0x7b, 0x01, 0x3c}) ==
        std::vector<float>{57344, 0x1p-16f, 1});
}

TEST_CASE("safetensors: integers of other widths are read where they fit") {
  CHECK(read_as<int32_t>("I8", std::vector<int8_t>{-128, -1, 0, 127}) ==
        std::vector<int32_t>{-128, -1, 0, 127});
  CHECK(read_as<int32_t>("I16", std::vector<int16_t>{-32768, 32767}) ==
        std::vector<int32_t>{-32768, 32767});
  CHECK(read_as<int32_t>("U16", std::vector<uint16_t>{0, 65535}) == std::vector<int32_t>{0, 65535});
  CHECK(read_as<int32_t>("I64", std::vector<int64_t>{-2147483648, 2147483647}) ==
        std::vector<int32_t>{-2147483647 - 1, 2147483647});
  CHECK(read_as<uint8_t>("BOOL", std::vector<uint8_t>{0, 1, 2, 255}) ==
        std::vector<uint8_t>{0, 1, 1, 1});
  for (const int64_t beyond : {int64_t{2147483648}, int64_t{-2147483649}, INT64_MAX, INT64_MIN}) {
    const std::string message = error_of([&] {
      read_as<int32_t>("I64", std::vector<int64_t>{5, beyond, 7, INT64_MAX});
    });
    CHECK(has(message, "f: tensor \"w\""));
    CHECK(has(message, "-2147483648 to 2147483647"));
    CHECK(has(message, text("number ", beyond, " ")));
  }
  const std::string none = stored("U64", std::vector<uint64_t>{1});
  CHECK(has(error_of([&] { parse_safetensors(as_bytes(none), "f"); }),
            "dtype U64 is not one of F32, F64, I32, U8, U32, F16, BF16, F8_E4M3, F8_E5M2, I8, I16, "
            "U16, I64, BOOL"));
}

TEST_CASE("safetensors: a converted tensor of several parts, and its claims") {
  const TemporaryFolder folder;
  std::vector<uint16_t> numbers = iota<uint16_t>(3'000'001);  // 6 MB, read in parts
  const std::string file = stored("U16", numbers);
  write_quickly(folder / "a", as_bytes(file));
  const Array read = load_safetensors(folder / "a").tensors.at(0).second;
  CHECK(same(read, parse_safetensors(as_bytes(file), "f").tensors[0].second));
  const auto* data = read.data<int32_t>();
  size_t wrong = 0;
  for (size_t i = 0; i < numbers.size(); ++i) wrong += data[i] != numbers[i];
  CHECK(wrong == 0);

  const auto error = [](const char* shape) {
    const std::string lie = safetensors(
        text(R"({"w":{"dtype":"F16","shape":)", shape, R"(,"data_offsets":[0,8]}})"), 8);
    return error_of([&] { parse_safetensors(as_bytes(lie), "f"); });
  };
  CHECK(error("[4]") == "no error");
  CHECK(has(error("[2]"), "F16[2] needs 4 bytes, and its data_offsets span 8"));
  CHECK(has(error("[4611686018427387904]"), "more bytes than can be addressed"));
}

TEST_CASE("safetensors: places above 4 GiB") {
  const TemporaryFolder folder;
  const uint64_t far = uint64_t{5} << 30;
  // sparse: 5 GiB of nothing that takes no place on the disk
  const auto sparse = [&](const std::string& start, uint64_t size) {
    write_quickly(folder / "big", as_bytes(start));
    std::filesystem::resize_file(folder / "big", size);
  };
  const std::string header = safetensors(
      text(R"({"w":{"dtype":"F16","shape":[2684354560],"data_offsets":[0,)", far, "]}}"), 0);
  sparse(header, header.size() + far - 1);  // refused before 10 GiB are allocated
  CHECK(has(error_of([&] { load_safetensors(folder / "big"); }),
            text("within the ", far - 1, " bytes of data")));

  sparse(header, far);
  std::ofstream(folder / "big", std::ios::binary | std::ios::app) << "the end";
  const FileSource source(folder / "big");
  CHECK(source.size() == far + 7);
  std::string end(7, ' ');
  source.read(far, end.data(), 7);
  CHECK(end == "the end");
  CHECK(has(error_of([&] { source.read(far, end.data(), 8); }), text("cut off at byte ", far + 7)));
}

TEST_CASE("safetensors: halves are written on request, rounded to nearest, ties to even") {
  const TemporaryFolder folder;
  const std::string path = folder / "half";
  const auto data_of = [&](const std::string& file, size_t bytes) {
    return file.substr(file.size() - bytes);
  };
  const auto save = [&](Floats floats, const std::vector<float>& numbers) {
    const auto count = static_cast<int64_t>(numbers.size());
    save_safetensors(path, {{"w", from_vector(numbers, {count})}}, {}, floats);
    std::vector<uint16_t> halves(numbers.size());
    std::memcpy(halves.data(), data_of(content(path), 2 * halves.size()).data(), 2 * halves.size());
    return halves;
  };
  const auto all = iota<uint16_t>(65536);
  for (const auto& kind : {std::pair{Floats::f16, "F16"}, {Floats::bf16, "BF16"}}) {
    const Floats floats = kind.first;
    const char* const dtype = kind.second;
    CAPTURE(dtype);
    const std::vector<float> numbers = read_as<float>(dtype, all);
    CHECK(save(floats, numbers) == all);  // NaNs too, bit for bit
    const SafeTensors back = load_safetensors(path);
    CHECK(back.sealed);
    CHECK(back.stored_as == Metadata{{"w", dtype}});
    std::vector<float> between;  // half-way to the next number, a little less, a little more
    std::vector<uint16_t> expected;
    for (uint16_t bits = 0; std::isfinite(numbers[bits + 1]); ++bits) {
      const auto tie = static_cast<float>((double{numbers[bits]} + numbers[bits + 1]) / 2);
      for (const float sign : {1.f, -1.f})
        for (const int step : {-1, 0, 1}) {
          const float near = step == 0 ? tie : std::nextafter(tie, step < 0 ? 0.f : HUGE_VALF);
          const int up = step > 0 || (step == 0 && bits % 2 == 1);
          between.push_back(sign * near);
          expected.push_back(static_cast<uint16_t>((bits + up) | (sign < 0 ? 0x8000 : 0)));
        }
    }
    CHECK(save(floats, between) == expected);
  }
  CHECK(save(Floats::f16, {std::nextafter(65520.f, 0.f)}) == std::vector<uint16_t>{0x7bff});
  const auto error = [&](Floats floats, float x) {
    return error_of([&] { save(floats, {1, x}); });
  };
  CHECK(has(error(Floats::f16, 65520), "tensor \"w\": its number 65520 is larger than F16 holds"));
  CHECK(has(error(Floats::f16, -3e38f), "larger than F16"));
  CHECK(has(error(Floats::bf16, std::numeric_limits<float>::max()), "larger than BF16"));
  CHECK(error(Floats::f16, std::numeric_limits<float>::infinity()) == "no error");

  // other dtypes stay, and every tensor begins at a multiple of its width
  save_safetensors(path, specimens(), {{"a", "b"}}, Floats::bf16);
  const SafeTensors mixed = load_safetensors(path);
  CHECK(mixed.metadata == Metadata{{"a", "b"}});
  CHECK(mixed.stored_as.size() == 4);
  for (const auto& [name, array] : specimens()) {
    const auto found = std::find_if(mixed.tensors.begin(), mixed.tensors.end(),
                                    [&, &n = name](const auto& t) { return t.first == n; });
    REQUIRE(found != mixed.tensors.end());
    CHECK(found->second.shape() == array.shape());
    if (array.dtype() != DType::f32) CHECK(same(found->second, array));
  }
}
