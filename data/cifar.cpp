#include "data/cifar.h"

#include <algorithm>

#include "data/byte_source.h"
#include "data/find.h"

namespace basin {
namespace {

constexpr size_t pixels = 3 * 32 * 32, row_bytes = 1 + pixels, most_rows = 100'000;

/// All of `parts` below each other.
Array stack_rows(const std::vector<Array>& parts) {
  Shape shape = parts[0].shape();
  shape[0] = 0;
  for (const Array& part : parts) shape[0] += part.dim(0);
  const Array out(shape, parts[0].dtype());
  int64_t row = 0;
  for (const Array& part : parts) {
    assign(slice(out, 0, row, row + part.dim(0)), part);
    row += part.dim(0);
  }
  return out;
}

}  // namespace

LabelledImages parse_cifar10(ByteSpan bytes, const std::string& name) {
  const std::string what = "cifar-10 " + name;
  const Bytes unpacked = ByteSource(bytes, what).read_rest(most_rows * row_bytes);
  const size_t rows = unpacked.size() / row_bytes;
  require(rows > 0 && unpacked.size() % row_bytes == 0, what, ": ", unpacked.size(),
          " bytes are not a multiple of ", row_bytes,
          " (one label and 3 x 32 x 32 pixels); the file is truncated or not CIFAR-10 binary");
  const auto count = static_cast<int64_t>(rows);
  LabelledImages set{Array({count, 3, 32, 32}, DType::u8), Array({count}, DType::u8)};
  for (size_t i = 0; i < rows; ++i) {
    const uint8_t* row = unpacked.data() + i * row_bytes;
    require(*row <= 9, what, ": label ", int{*row}, " of row ", i, " is above 9");
    set.labels.data<uint8_t>()[i] = *row;
    std::copy_n(row + 1, pixels, set.images.data<uint8_t>() + i * pixels);
  }
  return set;
}

LabelledImages load_cifar10(const DataFolder& dir, Split split) {
  std::vector<std::string> paths;
  if (split == Split::test) {
    paths.push_back(find_data_file(dir.path, "cifar-10", "test_batch.bin"));
  } else {
    paths.push_back(find_data_file(dir.path, "cifar-10", "data_batch_1.bin"));
    for (int batch = 2; batch <= 5; ++batch)
      if (auto path = try_data_file(dir.path, "cifar-10", text("data_batch_", batch, ".bin")))
        paths.push_back(*path);
  }
  std::vector<Array> images, labels;
  for (const std::string& path : paths) {
    const LabelledImages part = parse_cifar10(read_file(path, most_rows * row_bytes), path);
    images.push_back(part.images);
    labels.push_back(part.labels);
  }
  const LabelledImages all{stack_rows(images), stack_rows(labels)};
  dir.tell(split == Split::train ? "cifar-10 train" : "cifar-10 test", {all.images, all.labels});
  return all;
}

}  // namespace basin
