#include "experiments/memorization/images.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "autograd/ops.h"
#include "data/batches.h"
#include "data/cifar.h"
#include "data/textures.h"

namespace basin {

ImageSets ImageSource::choose(const Run& run, const Key& key, int64_t count, int64_t others) const {
  Array all;
  if (images == "textures") {
    all = texture_images(key, count + others, 3, side, DType::f32);
  } else {
    require(side == 16 || side == 32, "images: CIFAR-10 has a side of 32, or 16 when shrunk; got ",
            side);
    const LabelledImages set = load_cifar10(run.data(), Split::test);
    all = pixel_rows(take_rows(set.images, random_subset(key, set.images.dim(0), count + others)),
                     DType::f32);
    if (side == 16) all = shrink_images(all, 3, 32, 2);
  }
  all = copy_to(all, run.device());
  return {contiguous(slice(all, 0, 0, count)), contiguous(slice(all, 0, count, count + others))};
}

Net drawn(const Run& run, const NetBuilder& layers, const Key& key, const std::string& init) {
  return layers.drawn(key, Initializer::parse(init), DType::f32, run.device());
}

Array gaussian_like(const Array& rows, const Key& key) {
  return normal(key, rows.shape(), rows.dtype(), 0, 1, rows.device());
}

Array uniform_like(const Array& rows, const Key& key) {
  return uniform(key, rows.shape(), rows.dtype(), 0, 1, rows.device());
}

Beside beside(const Array& outputs, const Array& image) {
  const auto numbers = [](const Array& a) {
    return cast(copy_to(a, {}), DType::f64).to_vector<double>();
  };
  const std::vector<double> y = numbers(outputs), x = numbers(image);
  const double norm = std::sqrt(std::inner_product(x.begin(), x.end(), x.begin(), 0.0));
  Beside all;
  for (auto row = y.begin(); row != y.end(); row += image.size()) {
    const double along = std::inner_product(x.begin(), x.end(), row, 0.0) / norm;
    double square = 0, across = 0,
           difference = 0;  // across as such: a difference of squares would lose digits
    for (size_t i = 0; i < x.size(); ++i) {
      const double v = row[static_cast<int64_t>(i)];
      square += v * v;
      across += std::pow(v - along * x[i] / norm, 2);
      difference += std::pow(v - x[i], 2);
    }
    all.residual.push_back(square > 0 ? std::sqrt(across / square) : 1);
    all.amplitude.push_back(along / norm);
    all.error.push_back(std::sqrt(difference) / norm);
  }
  return all;
}

Array cell(const Array& rows, int64_t i) {
  return contiguous(slice(rows, 0, i, i + 1));
}

std::vector<Array> cells(const Array& rows, int64_t count) {
  std::vector<Array> all;
  for (int64_t i = 0; i < std::min(count, rows.dim(0)); ++i) all.push_back(cell(rows, i));
  return all;
}

std::vector<std::vector<Array>> courses(const std::vector<Array>& after, const Array& examples,
                                        const std::vector<int64_t>& index, int64_t first,
                                        int64_t count) {
  std::vector<std::vector<Array>> rows;
  const auto starts = static_cast<int64_t>(index.size());
  for (int64_t start = first; start < std::min(first + count, starts); ++start) {
    std::vector<Array>& row = rows.emplace_back();
    for (const Array& points : after) row.push_back(cell(points, start));
    row.emplace_back();
    row.push_back(cell(examples, index[static_cast<size_t>(start)]));
  }
  return rows;
}

void draw_sheets(Run& run, const Study& study) {
  for (const CaseResult& c : study)
    if (c.seed(0).has("sheet")) run.picture(c.name(), c.seed(0).array("sheet"));
}

}  // namespace basin
