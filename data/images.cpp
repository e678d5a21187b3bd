#include "data/images.h"

#include <algorithm>
#include <filesystem>

#include "engine/folder.h"
#include "engine/image.h"

namespace basin {

ImageFolder load_images(const std::string& folder) {
  namespace fs = std::filesystem;
  // the last two are not read; left out in silence, they would be missing without a word
  constexpr std::string_view extensions[] = {".png", ".jpg", ".jpeg", ".pgm",
                                             ".ppm", ".bmp", ".gif"};
  ImageFolder result;
  const FolderNames found = names_in(folder);
  for (const std::string& name : found.names) {
    std::error_code unknown;  // a link to nothing is no folder
    if (name.starts_with('.') || fs::is_directory(fs::path(folder) / name, unknown)) continue;
    std::string extension = fs::path(name).extension().string();
    std::transform(extension.begin(), extension.end(), extension.begin(),
                   [](unsigned char c) { return std::tolower(c); });
    if (std::find(std::begin(extensions), std::end(extensions), extension) != std::end(extensions))
      result.names.push_back(name);
  }
  require(found.error == 0, "images: cannot read the folder ", folder, ": ",
          std::generic_category().message(found.error));
  require(!result.names.empty(), "images: no .png, .jpg, .jpeg, .pgm or .ppm in ", folder);
  std::sort(result.names.begin(), result.names.end());

  for (size_t i = 0; i < result.names.size(); ++i) {
    const std::string path = (fs::path(folder) / result.names[i]).string();
    const Array image = read_image(path);
    Shape shape{static_cast<int64_t>(result.names.size())};
    for (int64_t dim : image.shape()) shape.push_back(dim);
    if (i == 0) result.images = Array(shape, DType::u8);
    require(shape == result.images.shape(), "images: ", path, " is ", image, " but ",
            result.names[0], " has [C, H, W] = [", result.images.dim(1), ", ", result.images.dim(2),
            ", ", result.images.dim(3), "]; all must be alike");
    std::copy_n(image.data<uint8_t>(), image.size(),
                result.images.data<uint8_t>() + static_cast<int64_t>(i) * image.size());
  }
  return result;
}

}  // namespace basin
