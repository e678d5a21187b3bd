#include "engine/image.h"

#include <algorithm>
#include <cmath>
#include <memory>

#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#define STBI_NO_HDR
#define STBI_NO_LINEAR
#define STBI_NO_PSD
#define STBI_NO_PIC
#define STBI_NO_STDIO
#define STBI_MAX_DIMENSIONS 65536
#include <stb/stb_image.h>
#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STBI_WRITE_NO_STDIO
#include <stb/stb_image_write.h>

namespace basin {
namespace {

constexpr int64_t most_pixels = int64_t{1} << 26;

}  // namespace

Array read_image(const std::string& path) {
  return parse_image(read_file(path, uint64_t{1} << 28), path);
}

Array parse_image(ByteSpan bytes, const std::string& name) {
  require(bytes.size() <= (size_t{1} << 28), "image ", name, ": more than 256 MiB");
  const auto length = static_cast<int>(bytes.size());
  int width = 0, height = 0, channels = 0;
  const auto reason = [] { return stbi_failure_reason() ? stbi_failure_reason() : "unknown reason"; };
  require(stbi_info_from_memory(bytes.data(), length, &width, &height, &channels) == 1, "image ", name,
          ": cannot be read: ", reason(), " (PNG, JPEG, BMP, GIF, PGM and PPM are understood)");
  require(int64_t{width} * height <= most_pixels, "image ", name, ": ", width, " x ", height, " is more than ",
          most_pixels, " pixels");
  const int wanted = channels >= 3 ? 3 : 1;
  const std::unique_ptr<uint8_t, void (*)(void*)> pixels(
      stbi_load_from_memory(bytes.data(), length, &width, &height, &channels, wanted), stbi_image_free);
  require(pixels != nullptr, "image ", name, ": cannot be read: ", reason(), "; the file is truncated or corrupt");
  const Array mixed({height, width, wanted}, DType::u8);
  std::copy_n(pixels.get(), mixed.size(), mixed.data<uint8_t>());
  return contiguous(permute(mixed, {2, 0, 1}));
}

void write_png(const std::string& path, const Array& image) {
  const int rank = image.rank();
  const int64_t channels = rank == 3 ? image.dim(0) : 1;
  require(image.defined() && image.dtype() == DType::u8 && (rank == 2 || rank == 3) &&
              (channels == 1 || channels == 3) && image.size() > 0 && image.size() / channels <= most_pixels,
          "write_png ", path, ": needs u8 [H, W], [1, H, W] or [3, H, W] of at most ", most_pixels, " pixels, got ",
          image);
  const int64_t height = image.dim(-2), width = image.dim(-1);
  const Array planes = reshape(copy_to(image, Device()), {channels, height, width});
  const Array mixed = contiguous(permute(planes, {1, 2, 0}));
  int length = 0;
  const std::unique_ptr<uint8_t, void (*)(void*)> png(
      stbi_write_png_to_mem(mixed.data<uint8_t>(), static_cast<int>(width * channels), static_cast<int>(width),
                            static_cast<int>(height), static_cast<int>(channels), &length),
      std::free);
  if (!png) throw Error(text("write_png ", path, ": stb_image_write failed on ", image), Fault::internal);
  write_atomically(path, ByteSpan(png.get(), static_cast<size_t>(length)));
}

Array image_grid(const Array& images, int64_t columns, int64_t padding, int64_t scale) {
  require(images.defined() && images.rank() == 4 && images.size() > 0 && is_floating(images.dtype()),
          "image_grid: needs floating [N, C, H, W], got ", images);
  require(columns > 0 && padding >= 0 && padding < 1024 && scale > 0 && scale < 1024, "image_grid: columns ", columns,
          " and scale ", scale, " must be positive, padding ", padding, " not negative, the last two below 1024");
  const int64_t n = images.dim(0), channels = images.dim(1), height = images.dim(2), width = images.dim(3);
  columns = std::min(columns, n);
  const int64_t rows = (n + columns - 1) / columns;
  const int64_t sheet_height = padding + rows * (height * scale + padding);
  const int64_t sheet_width = padding + columns * (width * scale + padding);
  require(sheet_height <= most_pixels / sheet_width, "image_grid: a sheet of ", sheet_width, " x ", sheet_height,
          " is more than ", most_pixels, " pixels; use fewer images or a smaller scale");

  const Array values = contiguous(cast(copy_to(images, Device()), DType::f32));
  const Array bytes(values.shape(), DType::u8);
  std::transform(values.data<float>(), values.data<float>() + values.size(), bytes.data<uint8_t>(), [](float value) {
    return static_cast<uint8_t>(std::lround(255 * (value > 0 ? std::min(value, 1.0f) : 0.0f)));  // NaN gives 0
  });
  const Array sheet = full({channels, sheet_height, sheet_width}, 255, DType::u8);
  for (int64_t i = 0; i < n; ++i) {
    const Array image = reshape(slice(bytes, 0, i, i + 1), {channels, height, 1, width, 1});
    const Array enlarged = reshape(broadcast_to(image, {channels, height, scale, width, scale}),
                                   {channels, height * scale, width * scale});
    const int64_t top = padding + i / columns * (height * scale + padding);
    const int64_t left = padding + i % columns * (width * scale + padding);
    assign(slice(slice(sheet, 1, top, top + height * scale), 2, left, left + width * scale), enlarged);
  }
  return sheet;
}

}  // namespace basin
