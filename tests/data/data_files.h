// Files of image sets, made for a test.
#pragma once
#include <doctest/doctest.h>
#include <zlib.h>

#include <vector>

#include "engine/file.h"

namespace basin::test {

inline Bytes gzip(const Bytes& plain) {
  z_stream stream{};
  REQUIRE(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  Bytes packed(deflateBound(&stream, plain.size()) + 64);
  stream.next_in = const_cast<Bytef*>(plain.data());
  stream.avail_in = static_cast<uInt>(plain.size());
  stream.next_out = packed.data();
  stream.avail_out = static_cast<uInt>(packed.size());
  REQUIRE(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

/// An IDX file of unsigned bytes 0, 7, 14, ... modulo `modulus`.
inline Bytes idx(const std::vector<uint32_t>& dims, uint32_t modulus = 251) {
  Bytes bytes{0, 0, 8, static_cast<uint8_t>(dims.size())};
  uint32_t count = 1;
  for (const uint32_t dim : dims) {
    for (int shift = 24; shift >= 0; shift -= 8)
      bytes.push_back(static_cast<uint8_t>(dim >> shift));
    count *= dim;
  }
  for (uint32_t i = 0; i < count; ++i) bytes.push_back(static_cast<uint8_t>(7 * i % modulus));
  return bytes;
}

inline Bytes cifar(size_t rows) {
  Bytes bytes(rows * 3073);
  for (size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<uint8_t>(i % 3073 == 0 ? i / 3073 % 10 : i % 253);
  return bytes;
}

}  // namespace basin::test
