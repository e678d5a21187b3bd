#include "experiments/memorization/networks.h"

namespace basin {

std::vector<StageConfig> strided_autoencoder(const Shape& image, int64_t d, int64_t k) {
  std::vector<StageConfig> stages;
  for (int64_t factor : {1, 2, 4, 8}) stages.push_back(StageConfig::conv(factor * d, 2));
  stages.push_back(StageConfig::dense({k, 1, 1}).linear());
  stages.push_back(StageConfig::dense({8 * d, image[1] / 16, image[2] / 16}));
  for (int64_t factor : {4, 2, 1}) stages.push_back(StageConfig::conv_up(factor * d));
  stages.push_back(StageConfig::conv_up(image[0]).linear());
  return stages;
}

std::vector<StageConfig> filter_stack(const Shape& image, int64_t depth, int64_t filters) {
  require(depth >= 1, "filter_stack: depth ", depth, " is below 1");
  std::vector<StageConfig> stages(static_cast<size_t>(depth), StageConfig::conv(filters));
  stages.back() = StageConfig::conv(image[0]).linear();
  return stages;
}

std::vector<StageConfig> down_to_one(const Shape& image, int64_t filters) {
  std::vector<StageConfig> stages;
  require(image[1] == image[2] && (image[1] & (image[1] - 1)) == 0 && image[1] > 1,
          "down_to_one: the image ", image, " must be square with a side that is a power of 2");
  for (int64_t side = image[1]; side > 1; side /= 2)
    stages.push_back(StageConfig::conv(filters, 2));
  const size_t levels = stages.size();
  for (size_t i = 0; i < levels; ++i) {
    stages.push_back(StageConfig::upsample(2));
    stages.push_back(StageConfig::conv(filters));
  }
  stages.back() = StageConfig::conv(image[0]).linear();
  return stages;
}

std::vector<StageConfig> down_to_four(const Shape& image, int64_t depth, int64_t filters) {
  require(image[1] == image[2] && (image[1] & (image[1] - 1)) == 0 && image[1] > 4,
          "down_to_four: the image ", image,
          " must be square with a side that is a power of 2 above 4");
  std::vector<StageConfig> stages{StageConfig::conv(filters, image[1] / 4)};
  for (int64_t i = 0; i < depth; ++i) stages.push_back(StageConfig::conv(filters));
  for (int64_t side = 4; side < image[1]; side *= 2) {
    stages.push_back(StageConfig::upsample(2));
    stages.push_back(StageConfig::conv(filters));
  }
  stages.back() = StageConfig::conv(image[0]).linear();
  return stages;
}

std::vector<StageConfig> unet(const Shape& image, int64_t filters, int64_t levels,
                              int64_t first_skip) {
  require(filters >= 1 && levels >= 1 && levels < 20,
          "unet: needs filters of at least 1 and levels from 1 to 19, got ", filters, " and ",
          levels);
  std::vector<StageConfig> stages{
      StageConfig::conv(filters)};  // value level + 1 is the way down at that level
  for (int64_t level = 1; level <= levels; ++level)
    stages.push_back(StageConfig::conv(filters << level, 2));
  stages.push_back(StageConfig::conv(filters << levels));
  for (int64_t level = levels - 1; level >= 0; --level) {
    const StageConfig up = StageConfig::conv(filters << level);
    stages.push_back(StageConfig::upsample(2));
    stages.push_back(level >= first_skip ? up.beside(level + 1) : up);
  }
  stages.push_back(StageConfig::conv(image[0]).linear());
  return stages;
}

}  // namespace basin
