// A folder of pictures as one array.
#pragma once
#include <string>
#include <vector>

#include "engine/array.h"

namespace basin {

struct ImageFolder {
  Array images;                    // u8 [N, C, H, W]
  std::vector<std::string> names;  // file names, sorted
};

/// Every .png, .jpg, .jpeg, .pgm and .ppm of the folder, in the order of the names; not its
/// subfolders, hidden files and files of other kinds. Errors: no such folder, no image, one that
/// cannot be read (every .bmp and .gif), one of another size or number of channels than the first.
ImageFolder load_images(const std::string& folder);

}  // namespace basin
