// Pictures in and out: PNG and JPEG through stb_image and stb_image_write, PGM and PPM here.
#pragma once
#include <string>

#include "engine/array.h"
#include "engine/file.h"

namespace basin {

/// A PNG, JPEG, PGM or PPM file (P2, P3, P5, P6; one picture) as u8 [C, H, W]: C = 1 for grey, 3
/// for colour; transparency is dropped. Samples of more than 8 bits keep their eight leading bits;
/// those of fewer are rounded to 0..255. Every pixel comes from the file: what is truncated or
/// corrupt is refused. Errors: another format, more than 65536 pixels a side or 2^26 in all, more
/// than 256 MiB; each with the file's own reason.
Array read_image(const std::string& path);
/// The same from memory; `name` stands for the file in errors.
Array parse_image(ByteSpan bytes, const std::string& name);

/// Writes u8 [H, W], [1, H, W] or [3, H, W] as PNG, atomically. Errors: other dtype or shape, more
/// pixels than read_image reads; the file cannot be written.
void write_png(const std::string& path, const Array& image);

/// Images [N, C, H, W] with values in [0, 1] (others are clamped, NaN is black), row
/// by row on one white sheet, `columns` a row, `padding` pixels between and around,
/// every pixel enlarged to scale x scale: u8 [C, sheet height, sheet width].
Array image_grid(const Array& images, int64_t columns, int64_t padding = 2, int64_t scale = 1);

}  // namespace basin
