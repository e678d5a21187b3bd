#include "data/byte_source.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "engine/error.h"

namespace basin {

struct ByteSource::Inflater {
  z_stream stream{};
  bool ended = false;
  ~Inflater() { inflateEnd(&stream); }
};

namespace {

bool begins_like_gzip(ByteSpan bytes) {
  return bytes.size() >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b;
}

}  // namespace

ByteSource::ByteSource(ByteSpan bytes, std::string name) : left_(bytes), name_(std::move(name)) {
  if (!begins_like_gzip(bytes)) return;
  inflater_ = std::make_unique<Inflater>();
  constexpr int gzip_window = 15 + 16;  // zlib: the largest window, gzip wrapping only
  if (inflateInit2(&inflater_->stream, gzip_window) != Z_OK)
    throw Error(text("gzip ", name_, ": zlib cannot start"), Fault::internal);
}

ByteSource::~ByteSource() = default;

uint64_t ByteSource::most_left() const {
  constexpr uint64_t largest_ratio = 1032,
                     in_flight = 1 << 16;  // what zlib's window may still hold
  return inflater_ ? left_.size() * largest_ratio + in_flight : left_.size();
}

size_t ByteSource::read_some(void* out, size_t count) {
  if (!inflater_) {
    const size_t take = std::min(count, left_.size());
    if (take > 0) std::memcpy(out, left_.data(), take);
    left_ = left_.subspan(take);
    return take;
  }
  z_stream& stream = inflater_->stream;
  size_t done = 0;
  while (done < count) {
    if (inflater_->ended) {  // gzip files may be strung together
      if (!begins_like_gzip(left_)) break;
      inflateReset(&stream);
      inflater_->ended = false;
    }
    constexpr size_t most = std::numeric_limits<uInt>::max();
    const auto in = static_cast<uInt>(std::min(left_.size(), most)),
               room = static_cast<uInt>(std::min(count - done, most));
    stream.next_in = const_cast<Bytef*>(left_.data());
    stream.avail_in = in;
    stream.next_out = static_cast<Bytef*>(out) + done;
    stream.avail_out = room;
    const int status = inflate(&stream, Z_NO_FLUSH);
    left_ = left_.subspan(in - stream.avail_in);
    done += room - stream.avail_out;
    inflater_->ended = status == Z_STREAM_END;
    // Z_BUF_ERROR, or no progress: the compressed bytes end in the middle of the stream
    require(status == Z_OK || status == Z_STREAM_END || status == Z_BUF_ERROR, "gzip ", name_,
            ": corrupt: ", stream.msg ? stream.msg : "invalid stream", "; fetch the file again");
    require(status != Z_BUF_ERROR && (inflater_->ended || !left_.empty() || stream.avail_out == 0),
            "gzip ", name_, ": truncated: the compressed stream ends early; fetch the file again");
  }
  return done;
}

void ByteSource::read(void* out, size_t count) {
  const size_t got = read_some(out, count);
  require(got == count, name_, ": truncated: ", count - got,
          " bytes are missing; fetch the file again");
}

Bytes ByteSource::read_rest(size_t limit) {
  Bytes bytes;
  size_t used = 0;
  while (true) {  // grows with what really comes, never by a claim
    const size_t room = std::min(std::max<size_t>(used, 1 << 16), limit + 1 - used);
    bytes.resize(used + room);
    const size_t got = read_some(bytes.data() + used, room);
    used += got;
    require(used <= limit, name_, ": more than ", limit,
            " bytes; this cannot be the expected file");
    if (got < room) break;
  }
  bytes.resize(used);
  finish();
  return bytes;
}

void ByteSource::finish() {
  uint8_t extra = 0;
  const bool more = read_some(&extra, 1) > 0;  // runs zlib up to the checksum
  require(!more && left_.empty(), name_, ": bytes follow where the file should end");
}

}  // namespace basin
