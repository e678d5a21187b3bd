#include "data/idx.h"

#include <algorithm>

#include "data/byte_source.h"
#include "data/find.h"

namespace basin {
namespace {

constexpr uint8_t unsigned_byte = 0x08;  // the format's code for u8

LabelledImages load_set(const std::string& dir, const std::string& set, Split split) {
  const std::string prefix = split == Split::train ? "train" : "t10k";
  const std::string images = find_data_file(dir, set, prefix + "-images-idx3-ubyte");
  return load_idx_pair(images, find_data_file(dir, set, prefix + "-labels-idx1-ubyte"));
}

}  // namespace

Array parse_idx(ByteSpan bytes, const std::string& name) {
  const std::string what = "idx " + name;
  ByteSource source(bytes, what);
  uint8_t magic[4];
  source.read(magic, 4);
  require(magic[0] == 0 && magic[1] == 0, what, ": does not begin with two zero bytes; this is not an IDX file");
  require(magic[2] == unsigned_byte, what, ": element type ", int{magic[2]}, " is not 8 (unsigned byte)");
  require(magic[3] >= 1 && magic[3] <= max_rank, what, ": rank ", int{magic[3]}, " is not within 1 .. ", max_rank);
  std::vector<uint64_t> dims(magic[3]);
  for (uint64_t& dim : dims) {
    uint8_t digits[4];  // big-endian
    source.read(digits, 4);
    dim = uint64_t{digits[0]} << 24 | uint64_t{digits[1]} << 16 | uint64_t{digits[2]} << 8 | digits[3];
  }
  const Array array(checked_shape(dims, DType::u8, source.most_left(), what), DType::u8);
  source.read(array.data<uint8_t>(), static_cast<size_t>(array.size()));
  source.finish();
  return array;
}

Array load_idx(const std::string& path) {
  return parse_idx(read_file(path), path);
}

LabelledImages load_idx_pair(const std::string& images, const std::string& labels) {
  LabelledImages set{load_idx(images), load_idx(labels)};
  require(set.images.rank() == 3, "idx ", images, ": images must have rank 3, got ", set.images);
  require(set.labels.rank() == 1, "idx ", labels, ": labels must have rank 1, got ", set.labels);
  require(set.images.dim(0) == set.labels.dim(0), "idx: ", set.images.dim(0), " images in ", images, " but ",
          set.labels.dim(0), " labels in ", labels, "; they do not belong together");
  const uint8_t* label = set.labels.data<uint8_t>();
  const auto* wrong = std::find_if(label, label + set.labels.size(), [](uint8_t value) { return value > 9; });
  const bool sound = wrong == label + set.labels.size();
  require(sound, "idx ", labels, ": label ", sound ? 0 : int{*wrong}, " of item ", wrong - label, " is above 9");
  return set;
}

LabelledImages load_mnist(const std::string& dir, Split split) {
  return load_set(dir, "mnist", split);
}

LabelledImages load_fashion_mnist(const std::string& dir, Split split) {
  return load_set(dir, "fashion-mnist", split);
}

}  // namespace basin
