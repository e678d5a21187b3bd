#include "data/idx.h"

#include <algorithm>

#include "data/byte_source.h"
#include "data/find.h"

namespace basin {
namespace {

constexpr uint8_t unsigned_byte = 0x08;  // the format's code for u8

constexpr uint64_t most_bytes = uint64_t{1} << 30;  // of any array
constexpr int64_t most_items = 60'000;              // of MNIST and Fashion-MNIST

/// The official sets that we have met, by identity_of their images and labels.
constexpr std::pair<std::string_view, std::string_view> known_sets[] = {
    {"mnist train", "102d1144baac7deabf40e520952e022c5563432e71b518954bb51e5948633642"},
    {"mnist test", "b76164a9205d5fbfc571af93fc520288316017523e98afb977702e545d790e7a"},
    {"fashion-mnist test", "26d79c1ef68825520e7d4c12bddf438e9d2c002c7ffd4644b0b1c4f33700bfae"}};

Shape read_header(ByteSource& source, const std::string& what) {
  uint8_t magic[4];
  source.read(magic, 4);
  require(magic[0] == 0 && magic[1] == 0, what,
          ": does not begin with two zero bytes; this is not an IDX file");
  require(magic[2] == unsigned_byte, what, ": element type ", int{magic[2]},
          " is not 8 (unsigned byte)");
  require(magic[3] >= 1 && magic[3] <= max_rank, what, ": rank ", int{magic[3]},
          " is not within 1 .. ", max_rank);
  std::vector<uint64_t> dims(magic[3]);
  for (uint64_t& dim : dims) {
    uint8_t digits[4];  // big-endian
    source.read(digits, 4);
    dim = uint64_t{digits[0]} << 24 | uint64_t{digits[1]} << 16 | uint64_t{digits[2]} << 8 |
          digits[3];
  }
  const Shape shape = checked_shape(dims, DType::u8, source.most_left(), what);
  require(static_cast<uint64_t>(shape.size()) <= most_bytes, what, ": u8", shape, " is more than ",
          most_bytes, " bytes; this cannot be the expected file");
  return shape;
}

/// The shape that a file claims, read without its elements.
Shape idx_shape(ByteSpan bytes, const std::string& path) {
  const std::string what = "idx " + path;
  ByteSource source(bytes, what);
  return read_header(source, what);
}

LabelledImages load_set(const DataFolder& dir, const std::string& set, Split split) {
  const std::string prefix = split == Split::train ? "train" : "t10k";
  const std::string images = find_data_file(dir.path, set, prefix + "-images-idx3-ubyte");
  LabelledImages all =
      load_idx_pair(images, find_data_file(dir.path, set, prefix + "-labels-idx1-ubyte"));
  const LoadedSet loaded =
      identity_of(set + (split == Split::train ? " train" : " test"), {all.images, all.labels});
  for (const auto& [name, digest] : known_sets)
    require(digest != loaded.sha256 || name == loaded.name, "idx ", images, ": this is the set ",
            name, " where ", loaded.name, " is wanted; put it into a folder called ",
            name.substr(0, name.find(' ')));
  if (dir.loaded) dir.loaded(loaded);
  return all;
}

}  // namespace

Array parse_idx(ByteSpan bytes, const std::string& name) {
  const std::string what = "idx " + name;
  ByteSource source(bytes, what);
  const Array array(read_header(source, what), DType::u8);
  source.read(array.data<uint8_t>(), static_cast<size_t>(array.size()));
  source.finish();
  return array;
}

Array load_idx(const std::string& path) {
  return parse_idx(read_file(path, most_bytes + 64), path);
}

LabelledImages load_idx_pair(const std::string& images, const std::string& labels) {
  const Bytes image_bytes = read_file(images, most_bytes + 64);
  const Bytes label_bytes = read_file(labels, most_bytes + 64);
  // All that the headers say is looked at before anything is unpacked: a small gzip file can hold a
  // large array.
  const Shape image_shape = idx_shape(image_bytes, images);
  const Shape label_shape = idx_shape(label_bytes, labels);
  require(image_shape.rank == 3, "idx ", images, ": images must have rank 3, got u8", image_shape);
  require(label_shape.rank == 1, "idx ", labels, ": labels must have rank 1, got u8", label_shape);
  require(image_shape[0] == label_shape[0], "idx: ", image_shape[0], " images in ", images, " but ",
          label_shape[0], " labels in ", labels, "; they do not belong together");
  require(image_shape[0] <= most_items && image_shape[1] == 28 && image_shape[2] == 28, "idx ",
          images, ": u8", image_shape, " is not at most ", most_items, " images of 28 x 28");
  LabelledImages set{parse_idx(image_bytes, images), parse_idx(label_bytes, labels)};
  const uint8_t* label = set.labels.data<uint8_t>();
  const auto* wrong =
      std::find_if(label, label + set.labels.size(), [](uint8_t value) { return value > 9; });
  const bool sound = wrong == label + set.labels.size();
  require(sound, "idx ", labels, ": label ", sound ? 0 : int{*wrong}, " of item ", wrong - label,
          " is above 9");
  return set;
}

LabelledImages load_mnist(const DataFolder& dir, Split split) {
  return load_set(dir, "mnist", split);
}

LabelledImages load_fashion_mnist(const DataFolder& dir, Split split) {
  return load_set(dir, "fashion-mnist", split);
}

}  // namespace basin
