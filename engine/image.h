// Pictures in and out, through stb_image and stb_image_write.
#pragma once
#include <string>

#include "engine/array.h"
#include "engine/file.h"

namespace basin {

/// A PNG, JPEG, BMP, GIF (first frame) or PGM/PPM file as u8 [C, H, W]: C = 1 for grey, 3 for colour; transparency is
/// dropped. Errors: stb cannot read it (with its reason), more than 2^26 pixels.
Array read_image(const std::string& path);
/// The same from memory; `name` stands for the file in errors.
Array parse_image(ByteSpan bytes, const std::string& name);

/// Writes u8 [H, W], [1, H, W] or [3, H, W] as PNG, atomically. Errors: other dtype or shape; the file cannot be
/// written.
void write_png(const std::string& path, const Array& image);

/// Images [N, C, H, W] with values in [0, 1] (others are clamped, NaN is black), row by row on one white sheet,
/// `columns` a row, `padding` pixels between and around, every pixel enlarged to scale x scale: u8 [C, sheet height,
/// sheet width].
Array image_grid(const Array& images, int64_t columns, int64_t padding = 2, int64_t scale = 1);

}  // namespace basin
