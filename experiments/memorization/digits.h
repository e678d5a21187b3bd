// Training images and unseen starts, disjoint random choices from one set of MNIST-like images.
#pragma once
#include <algorithm>
#include <vector>

#include "autograd/ops.h"
#include "data/idx.h"
#include "engine/key.h"
#include "experiments/memorization/images.h"
#include "models/dynamics/dynamics.h"

namespace basin {

/// Rows are images [N, pixels], f32 in [0, 1]; the labels are those of the starts.
struct Digits {
  Array train, starts;
  std::vector<uint8_t> start_labels;
};

/// `images` training images and `starts` others, drawn from `all`. Errors: not enough images, none
/// of a kind.
inline Digits choose_digits(const LabelledImages& all, const Key& key, int64_t images,
                            int64_t starts, const Device& device) {
  require(images > 0 && starts > 0 && images + starts <= all.images.dim(0),
          "choose_digits: needs at least one image and one start, and ", images, " + ", starts,
          " of the ", all.images.dim(0), " images; ask for fewer");
  const Array order = permutation(key, all.images.dim(0));
  const Tensor pixels(cast(reshape(all.images, {all.images.dim(0), -1}), DType::f32));
  const auto take = [&](int64_t from, int64_t to) {
    const Tensor rows = gather(pixels, contiguous(slice(order, 0, from, to)));
    return copy_to((rows / 255.0).array(), device);
  };
  Digits d{take(0, images), take(images, images + starts), {}};
  const std::vector<int32_t> index = order.to_vector<int32_t>();
  const std::vector<uint8_t> labels = all.labels.to_vector<uint8_t>();
  for (int64_t i = images; i < images + starts; ++i)
    d.start_labels.push_back(labels[static_cast<size_t>(index[static_cast<size_t>(i)])]);
  return d;
}

/// The starts whose trajectories are shown: first one of each class, then the others in order.
inline std::vector<int64_t> shown_starts(const std::vector<uint8_t>& labels, int64_t wanted) {
  std::vector<int64_t> rows;
  const auto count = static_cast<int64_t>(labels.size());
  const auto label = [&](int64_t i) { return labels[static_cast<size_t>(i)]; };
  for (const bool new_class : {true, false})
    for (int64_t i = 0; i < count && static_cast<int64_t>(rows.size()) < wanted; ++i) {
      const auto same = [&](int64_t row) { return new_class ? label(row) == label(i) : row == i; };
      if (std::none_of(rows.begin(), rows.end(), same)) rows.push_back(i);
    }
  if (wanted <= 10)
    std::sort(rows.begin(), rows.end(), [&](auto i, auto j) { return label(i) < label(j); });
  return rows;
}

/// courses() of these starts as a picture.
inline Array trajectory_sheet(const std::vector<int64_t>& starts, const std::vector<Array>& after,
                              const Nearest& end, const Array& train) {
  std::vector<std::vector<Array>> rows;
  for (const int64_t start : starts) rows.push_back(courses(after, train, end.index, start, 1)[0]);
  return contact_sheet(rows, {1, 28, 28}, 2);
}

}  // namespace basin
