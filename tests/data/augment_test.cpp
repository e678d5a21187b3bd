// Augmentation: each change alone against its definition, and together with recorded steps.
#include "data/augment.h"

#include <doctest/doctest.h>

#include <cmath>
#include <map>
#include <set>

#include "data/batches.h"
#include "models/nets/losses.h"
#include "models/nets/mlp.h"
#include "models/training/train.h"
#include "tests/device.h"
#include "tests/files.h"

using namespace basin;
using namespace basin::test;

namespace {

/// 0, 1, 2, ... so that a pixel tells where it came from.
Array counted(const Shape& shape) {
  std::vector<double> values(static_cast<size_t>(shape.size()));
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<double>(i);
  return from_vector(values, shape);
}

/// Copies of one image.
Array repeated(const Array& image, int64_t count) {
  const std::vector<double> one = image.to_vector<double>();
  std::vector<double> all;
  for (int64_t i = 0; i < count; ++i) all.insert(all.end(), one.begin(), one.end());
  return from_vector(all, {count, image.dim(0), image.dim(1), image.dim(2)});
}

std::vector<double> image_of(const Array& images, int64_t i) {
  return images[i].to_vector<double>();
}

}  // namespace

TEST_CASE("augment: a crop of the reflected image, every place equally often") {
  const Array image = counted({2, 4, 5}), images = repeated(image, 4000);
  const Array out = augment(images, Key(1), {.pad = 2});
  const auto mirrored = [](int64_t i, int64_t n) {
    const int64_t positive = std::abs(i);
    return positive < n ? positive : 2 * (n - 1) - positive;
  };
  std::map<std::vector<double>, int> count;
  for (int64_t i = 0; i < 4000; ++i) ++count[image_of(out, i)];
  CHECK(count.size() == 25);
  for (int64_t down = -2; down <= 2; ++down)
    for (int64_t right = -2; right <= 2; ++right) {
      std::vector<double> want;
      for (int64_t c = 0; c < 2; ++c)
        for (int64_t i = 0; i < 4; ++i)
          for (int64_t j = 0; j < 5; ++j)
            want.push_back(
                static_cast<double>(20 * c + 5 * mirrored(i + down, 4) + mirrored(j + right, 5)));
      // 160 expected, standard deviation 12.4: six of them
      CHECK(std::abs(count[want] - 160) <= 75);
    }
}

TEST_CASE("augment: the mirror image, grey and the square of zeros") {
  const Array image = counted({3, 4, 6}), images = repeated(image, 2000);
  const std::vector<double> before = image.to_vector<double>();
  const Array flipped = augment(images, Key(2), {.flip = .25}),
              grey = augment(images, Key(2), {.grey = .5}),
              cut = augment(images, Key(2), {.cutout = 3});
  int mirrors = 0, greys = 0;
  std::set<size_t> holes;
  for (int64_t n = 0; n < 2000; ++n) {
    std::vector<double> mirror = before, luma = before;
    for (size_t p = 0; p < before.size(); ++p) {
      mirror[p] = before[p / 6 * 6 + 5 - p % 6];
      luma[p] = .299 * before[p % 24] + .587 * before[24 + p % 24] + .114 * before[48 + p % 24];
    }
    const std::vector<double> a = image_of(flipped, n), b = image_of(grey, n), c = image_of(cut, n);
    mirrors += a == mirror;
    CHECK((a == mirror || a == before));
    double distance = 0;
    for (size_t p = 0; p < b.size(); ++p) distance = std::max(distance, std::abs(b[p] - luma[p]));
    greys += distance < 1e-12;  // three rounded products of numbers below 72
    CHECK((distance < 1e-12 || b == before));
    size_t zeros = 0;
    for (size_t p = 0; p < 24; ++p) {
      const bool hole = c[24 + p] == 0;
      zeros += hole;
      CHECK(c[24 + p] == (hole ? 0 : before[24 + p]));
      CHECK((c[48 + p] == 0) == hole);  // the same in all channels
    }
    holes.insert(zeros);
  }
  CHECK(std::abs(mirrors - 500) <= 120);  // six standard deviations of 19.4
  CHECK(std::abs(greys - 1000) <= 135);   // of 22.4
  // inside, at the sides and at the corners of 4 x 6 pixels
  CHECK(holes == std::set<size_t>{4, 6, 9});
}

TEST_CASE("augment: a resized crop keeps a linear image linear, has the area and ratio promised") {
  // On values 1000 i + j bilinear interpolation is exact up to the border that it clamps. A row of
  // the result is height / 12 rows of the image.
  std::vector<double> values;
  for (int i = 0; i < 12; ++i)
    for (int j = 0; j < 16; ++j) values.push_back(1000 * i + j);
  const Array images = repeated(from_vector(values, {1, 12, 16}), 300);
  for (const double least : {.2, .9}) {
    const Array out = augment(images, Key(3), {.least_area = least});
    std::set<int64_t> heights;
    double smallest = 1, largest = 0;
    for (int64_t n = 0; n < 300; ++n) {
      const std::vector<double> y = image_of(out, n);
      const auto at = [&](size_t i, size_t j) { return y[i * 16 + j]; };
      const double down = at(6, 8) - at(5, 8), right = at(6, 9) - at(6, 8);
      for (size_t i = 3; i < 9; ++i) CHECK(std::abs(at(i + 1, 8) - at(i, 8) - down) <= 1e-9);
      CHECK(*std::min_element(y.begin(), y.end()) >= 0);
      CHECK(*std::max_element(y.begin(), y.end()) <= 11015);
      const double height = down / 1000 * 12, width = right * 16;
      CHECK(height <= 12 + 1e-9);
      CHECK(width <= 16 + 1e-9);
      heights.insert(std::llround(height));
      smallest = std::min(smallest, height * width / 192);
      largest = std::max(largest, height * width / 192);
      // half a pixel of rounding on either side
      CHECK((width - .5) / (height + .5) <= 4. / 3);
      CHECK((width + .5) / (height - .5) >= 3. / 4);
    }
    // half a pixel of 5 x 7, and of 11 x 15, on each side
    CHECK(smallest >= least * (least < .5 ? .8 : .91));
    CHECK(largest > .95);
    CHECK(heights.size() >= (least < .5 ? 7u : 2u));
  }
}

TEST_CASE("augment: an image's change depends on the key and its place alone; off is off") {
  const Array images = copy_to(uniform(Key(5), {6, 3, 8, 8}, DType::f32), {});
  const Augmentation all{.pad = 2, .least_area = .5, .flip = .5, .grey = .5, .cutout = 3};
  const Array out = augment(images, Key(4), all),
              part = augment(slice(images, 0, 0, 4), Key(4), all);
  CHECK(part.to_vector<float>() == slice(out, 0, 0, 4).to_vector<float>());
  CHECK(augment(images, Key(6), all).to_vector<float>() != out.to_vector<float>());
  CHECK(augment(images, Key(4), {}).to_vector<float>() == images.to_vector<float>());
}

TEST_CASE("augment: what does not fit is named") {
  const Array images = full({2, 1, 4, 4}, 1, DType::f32);
  CHECK_THROWS_WITH_AS(augment(images, Key(1), {.pad = 4}), doctest::Contains("smaller than"),
                       Error);
  CHECK_THROWS_WITH_AS(augment(images, Key(1), {.grey = .5}), doctest::Contains("three channels"),
                       Error);
  CHECK_THROWS_WITH_AS(augment(images, Key(1), {.least_area = 0}), doctest::Contains("least_area"),
                       Error);
  CHECK_THROWS_WITH_AS(augment(images, Key(1), {.flip = 1.5}), doctest::Contains("flip 1.5"),
                       Error);
  CHECK_THROWS_AS(augment(images, Key(1), {.cutout = -1}), Error);
  CHECK_THROWS_AS(augment(reshape(images, {2, 16}), Key(1), {}), Error);
}

TEST_CASE(
    "augment: batches that the host changes ahead of time train with the bits of eager steps") {
  const Array images = uniform(Key(7), {20, 1, 4, 4}, DType::f32);
  const auto trained = [&](bool replay) {
    MlpConfig config{.widths = {16, 8, 16}, .activation = {Unary::tanh}};
    config.device = test_device();
    Mlp mlp = make_mlp(config, Key(8));
    Batches batches(Key(9), 20, 8);
    TrainOptions options;
    options.max_steps = 100;
    options.progress = false;
    options.replay = replay;
    const auto make = [&](int64_t number) {
      return augment(take_rows(images, batches.at(number)),
                     Key(10).at(static_cast<uint64_t>(number)), {.pad = 1, .flip = .5});
    };
    const auto loss = [&](const Mlp& m, const Step& step) {
      const Tensor x(step.from_host({8, 1, 4, 4}, DType::f32, test_device(), make));
      const Tensor rows = reshape(x, {-1, 16});
      return mse(m(rows), rows);
    };
    train(mlp, loss, options);
    return mlp.layers[0].weight.array().to_vector<float>();
  };
  CHECK(trained(true) == trained(false));
}
