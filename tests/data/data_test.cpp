// Readers of image sets, and the synthetic sets. The real sets are read when BASIN_DATA names their
// folder.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <numeric>

#include "data/batches.h"
#include "data/cifar.h"
#include "data/find.h"
#include "data/idx.h"
#include "data/images.h"
#include "data/synthetic.h"
#include "data/textures.h"
#include "engine/image.h"
#include "engine/npy.h"
#include "engine/safetensors.h"
#include "tests/data/data_files.h"
#include "tests/files.h"

using namespace basin;
using namespace basin::test;

namespace {

std::string idx_error(const Bytes& bytes) {
  return error_of([&] { parse_idx(bytes, "f"); });
}

std::string cifar_error(const Bytes& bytes) {
  return error_of([&] { parse_cifar10(bytes, "f"); });
}

double mean_of(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

}  // namespace

TEST_CASE("idx: plain and gzip give the same array") {
  const Bytes plain = idx({3, 4, 5});
  const Array array = parse_idx(plain, "plain");
  CHECK(array.shape() == Shape{3, 4, 5});
  CHECK(array.to_vector<uint8_t>() == Bytes(plain.begin() + 16, plain.end()));
  CHECK(parse_idx(gzip(plain), "packed").to_vector<uint8_t>() == array.to_vector<uint8_t>());
  Bytes strung = gzip(
      Bytes(plain.begin(), plain.begin() + 30));  // gzip members one after the other are one file
  const Bytes second = gzip(Bytes(plain.begin() + 30, plain.end()));
  strung.insert(strung.end(), second.begin(), second.end());
  CHECK(parse_idx(strung, "strung").to_vector<uint8_t>() == array.to_vector<uint8_t>());
  CHECK(parse_idx(idx({0, 28, 28}), "none").shape() == Shape{0, 28, 28});
}

TEST_CASE("idx: every wrong file is refused with its reason") {
  const Bytes good = idx({3, 4, 5}), packed = gzip(good);
  Bytes bad = good;
  bad[0] = 1;
  CHECK(has(idx_error(bad), "not an IDX file"));
  bad = good;
  bad[2] = 13;
  CHECK(has(idx_error(bad), "element type 13"));
  for (const uint8_t rank : {0, 7, 255}) {
    bad = good;
    bad[3] = rank;
    CHECK(has(idx_error(bad), "rank"));
  }
  for (size_t length = 0; length < good.size(); ++length) {
    CAPTURE(length);
    CHECK(has(idx_error(Bytes(good.begin(), good.begin() + static_cast<int64_t>(length))),
              "truncated"));
  }
  for (size_t length = 2; length < packed.size(); ++length) {
    CAPTURE(length);
    CHECK(has(idx_error(Bytes(packed.begin(), packed.begin() + static_cast<int64_t>(length))),
              "truncated"));
  }
  bad = good;
  bad.push_back(0);
  CHECK(has(idx_error(bad), "bytes follow"));
  CHECK(has(idx_error(gzip(bad)), "bytes follow"));
  bad = packed;
  bad.push_back(0);
  CHECK(has(idx_error(bad), "bytes follow"));
  bad = packed;
  bad[packed.size() - 6] ^= 1;  // the checksum
  CHECK(has(idx_error(bad), "corrupt"));
  bad = packed;
  bad[10] ^= 0xff;  // the first block
  CHECK(idx_error(bad) != "no error");
}

TEST_CASE("idx: sizes that cannot be are refused before they are allocated") {
  Bytes claim = idx({0, 0, 0});
  for (size_t i = 4; i < 16; ++i) claim[i] = 0xff;
  CHECK(has(idx_error(claim), "more bytes than can be addressed"));
  for (size_t i = 8; i < 16; ++i) claim[i] = 0;
  claim[11] = claim[15] = 28;  // 2^32 - 1 images of 28 x 28: 3.4 TB
  CHECK(has(idx_error(claim), "but only 0 are there"));
  CHECK(has(idx_error(gzip(claim)), "are there; the file is truncated"));
}

TEST_CASE("cifar-10: rows are counted from the length") {
  const Bytes plain = cifar(3);
  for (const Bytes& bytes : {plain, gzip(plain)}) {
    const LabelledImages set = parse_cifar10(bytes, "f");
    CHECK(set.images.shape() == Shape{3, 3, 32, 32});
    CHECK(set.labels.to_vector<uint8_t>() == Bytes{0, 1, 2});
    const Bytes pixels = set.images.to_vector<uint8_t>();
    CHECK(std::equal(pixels.begin() + 3072, pixels.begin() + 2 * 3072, plain.begin() + 3073 + 1));
  }
  CHECK(has(cifar_error({}), "0 bytes are not a multiple of 3073"));
  CHECK(has(cifar_error(Bytes(plain.begin(), plain.end() - 1)),
            "9218 bytes are not a multiple of 3073"));
  CHECK(has(cifar_error(gzip(Bytes(plain.begin(), plain.end() - 1))), "9218 bytes"));
  Bytes bad = plain;
  bad[3073] = 10;
  CHECK(has(cifar_error(bad), "label 10 of row 1 is above 9"));
  bad = gzip(plain);
  bad.resize(bad.size() - 9);
  CHECK(has(cifar_error(bad), "truncated"));
  // A gzip bomb, 320 MB of zeros in a few hundred kB, stops at the limit of 100,000 rows.
  const Bytes member = gzip(Bytes(3'200'000));
  Bytes bomb;
  for (int i = 0; i < 100; ++i) bomb.insert(bomb.end(), member.begin(), member.end());
  CHECK(bomb.size() < 500'000);
  CHECK(has(cifar_error(bomb), "more than 307300000 bytes"));
}

TEST_CASE("image folder: sorted, alike, and a wrong one is named") {
  const TemporaryFolder folder;
  CHECK(has(error_of([&] { load_images(folder.path()); }), "no .png"));
  CHECK(has(error_of([&] { load_images(folder / "none"); }), folder / "none"));
  write_png(folder / "b.png", full({3, 4, 5}, 2, DType::u8));
  write_png(folder / "a.PNG", full({3, 4, 5}, 1, DType::u8));
  write_atomically(folder / "notes.txt", "not a picture");
  const ImageFolder images = load_images(folder.path());
  CHECK(images.images.shape() == Shape{2, 3, 4, 5});
  CHECK(images.names == std::vector<std::string>{"a.PNG", "b.png"});
  CHECK(images.images.to_vector<uint8_t>().front() == 1);
  CHECK(images.images.to_vector<uint8_t>().back() == 2);
  write_png(folder / "c.png", full({4, 5}, 2, DType::u8));
  CHECK(has(error_of([&] { load_images(folder.path()); }), folder / "c.png"));
  write_atomically(folder / "c.png", "not a picture");
  CHECK(has(error_of([&] { load_images(folder.path()); }), folder / "c.png"));
}

TEST_CASE("swiss roll: on the spiral, centred, in the unit box") {
  const int64_t n = 1000;
  const std::vector<double> x = swiss_roll(Key(3), n, DType::f64).to_vector<double>();
  REQUIRE(x.size() == 3000);
  double mean[3] = {0, 0, 0}, largest = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    mean[i % 3] += x[i] / n;
    largest = std::max(largest, std::abs(x[i]));
  }
  // 1000 roundings of half an ulp each below 1: 1000 * 1.1e-16
  for (const double m : mean) CHECK(std::abs(m) < 1.2e-13);
  CHECK(largest == 1);

  // The points again from the same draws: radius t and angle t in the plane of axes 0 and 2, up to
  // one shift and scale.
  const std::vector<double> u = uniform(Key(3).at("u"), {n}, DType::f64).to_vector<double>();
  const std::vector<double> v = uniform(Key(3).at("v"), {n}, DType::f64).to_vector<double>();
  const auto t = [&](size_t i) { return 4.71238898038469 * (1 + 2 * u[i]); };
  const double scale = (21 * v[1] - 21 * v[0]) / (x[4] - x[1]);
  for (size_t i = 1; i < static_cast<size_t>(n); ++i) {
    // differences of numbers up to 21 with a few roundings: far below 1e-12
    CHECK(std::abs((x[3 * i] - x[0]) * scale - (t(i) * std::cos(t(i)) - t(0) * std::cos(t(0)))) <
          1e-12);
    CHECK(std::abs((x[3 * i + 1] - x[1]) * scale - 21 * (v[i] - v[0])) < 1e-12);
    CHECK(std::abs((x[3 * i + 2] - x[2]) * scale -
                   (t(i) * std::sin(t(i)) - t(0) * std::sin(t(0)))) < 1e-12);
  }
  const std::vector<float> single = swiss_roll(Key(3), n, DType::f32).to_vector<float>();
  CHECK(single[17] == static_cast<float>(x[17]));
  CHECK(swiss_roll(Key(4), n, DType::f32).to_vector<float>() != single);
}

TEST_CASE("uniform grid: every combination over the bounding box, ends included") {
  const Array points = from_vector<double>({0, 10, 1, 30, 0.5, 20}, {3, 2});
  const Array grid = uniform_grid(points, 3);
  CHECK(grid.shape() == Shape{9, 2});
  CHECK(grid.to_vector<double>() ==
        std::vector<double>{0, 10, 0, 20, 0, 30, 0.5, 10, 0.5, 20, 0.5, 30, 1, 10, 1, 20, 1, 30});
  CHECK(uniform_grid(swiss_roll(Key(1), 100, DType::f32), 10).shape() == Shape{1000, 3});
  CHECK(has(error_of([&] { uniform_grid(points, 1); }), "at least 2"));
  CHECK(has(error_of([] { uniform_grid(full({2, 784}, 0, DType::f32), 10); }), "2^26"));
}

TEST_CASE("1-D sets and blobs") {
  CHECK(points_1d({-0.6, 0.5}, DType::f64).shape() == Shape{2, 1});
  CHECK(spaced_1d(-1, 1, 5, DType::f64).to_vector<double>() ==
        std::vector<double>{-1, -0.5, 0, 0.5, 1});
  for (const double x : uniform_1d(Key(2), 100, 3, 4, DType::f64).to_vector<double>())
    CHECK((x >= 3 && x < 4));
  const int64_t n = 20'000;
  const Blobs blobs = gaussian_blobs(Key(5), n, from_vector<double>({0, 0, 10, -10}, {2, 2}), 0.5);
  CHECK(blobs.points.shape() == Shape{n, 2});
  CHECK(slice(blobs.labels, 0, 0, 4).to_vector<int32_t>() == std::vector<int32_t>{0, 1, 0, 1});
  const std::vector<double> x = blobs.points.to_vector<double>();
  std::vector<double> second, squares;
  for (size_t i = 1; i < static_cast<size_t>(n); i += 2) {
    second.push_back(x[2 * i + 1]);
    squares.push_back((x[2 * i + 1] + 10) * (x[2 * i + 1] + 10));
  }
  // n/2 = 10^4 draws: the mean has deviation 0.5 / 100 = 0.005, the variance 0.25 sqrt(2 / 10^4) =
  // 0.0035; five of each
  CHECK(std::abs(mean_of(second) + 10) < 0.025);
  CHECK(std::abs(mean_of(squares) - 0.25) < 0.018);
}

TEST_CASE("batches: every epoch is another permutation, and a step needs no history") {
  Batches batches(Key(1), 10, 4);
  CHECK(batches.per_epoch() == 3);
  std::vector<std::vector<int32_t>> epochs(2);
  for (int64_t step = 0; step < 6; ++step) {
    const auto rows = batches.at(step).to_vector<int32_t>();
    CHECK(rows.size() == (step % 3 == 2 ? 2 : 4));
    auto& epoch = epochs[static_cast<size_t>(step / 3)];
    epoch.insert(epoch.end(), rows.begin(), rows.end());
    CHECK(Batches(Key(1), 10, 4).at(step).to_vector<int32_t>() == rows);
  }
  CHECK(epochs[0] != epochs[1]);
  for (auto& epoch : epochs) {
    std::sort(epoch.begin(), epoch.end());
    CHECK(epoch == std::vector<int32_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
  }
  CHECK(Batches(Key(1), 3, 100).at(7).dim(0) == 3);
  CHECK(has(error_of([] { Batches(Key(1), 0, 4); }), "n = 0"));
}

TEST_CASE("rows: taken in the order asked, also of a view") {
  const Array x = reshape(arange(12, DType::u8), {4, 3});
  const Array rows = from_vector<int32_t>({3, 0, 3}, {3});
  CHECK(take_rows(x, rows).to_vector<uint8_t>() == Bytes{9, 10, 11, 0, 1, 2, 9, 10, 11});
  CHECK(take_rows(transpose(x), from_vector<int32_t>({2}, {1})).to_vector<uint8_t>() ==
        Bytes{2, 5, 8, 11});
  CHECK(has(error_of([&] { take_rows(x, from_vector<int32_t>({4}, {1})); }),
            "row 4 is outside u8[4, 3]"));
  auto subset = random_subset(Key(9), 50, 20).to_vector<int32_t>();
  CHECK(subset.size() == 20);
  std::sort(subset.begin(), subset.end());
  CHECK(std::adjacent_find(subset.begin(), subset.end()) == subset.end());
  CHECK((subset.front() >= 0 && subset.back() < 50));
  CHECK(has(error_of([] { random_subset(Key(9), 5, 6); }), "6 of 5"));
}

TEST_CASE("scaling: ranges, moments, and back") {
  const Array x = from_vector<double>({0, 5, 2, 5, 8, 5, 6, 5}, {4, 2});
  const Scaling columns = min_max_scale(x, -1, 1, true);
  CHECK(columns.apply(x, DType::f64).to_vector<double>() ==
        std::vector<double>{-1, -1, -0.5, -1, 1, -1, 0.5, -1});
  CHECK(columns.undo(columns.apply(x, DType::f64)).to_vector<double>() == x.to_vector<double>());
  CHECK(min_max_scale(x).apply(x, DType::f32).to_vector<float>()[1] == 0.625f);
  const Scaling moments = standardise(x);
  const std::vector<double> z = moments.apply(x, DType::f64).to_vector<double>();
  // column (0, 2, 8, 6): mean 4, variance 10; a handful of roundings near 1
  CHECK(std::abs(z[0] + 4 / std::sqrt(10.0)) < 1e-15);
  CHECK(z[1] == 0);
  CHECK(std::abs(z[4] - 4 / std::sqrt(10.0)) < 1e-15);
  CHECK(has(error_of([&] {
              columns.apply(full({2, 3}, 0, DType::f32), DType::f32);
            }),
            "made for 2 columns"));
  const Array images = from_vector<uint8_t>({0, 51, 255, 1}, {2, 1, 2});
  CHECK(pixel_rows(images, DType::f64).to_vector<double>() ==
        std::vector<double>{0, 0.2, 1, 1.0 / 255});
  CHECK(pixel_rows(images, DType::f32).shape() == Shape{2, 2});
}

TEST_CASE("real data: the sets in BASIN_DATA are what their authors published") {
  if (!std::getenv("BASIN_DATA")) {
    MESSAGE("skipped: BASIN_DATA is not set");
    return;
  }
  const auto statistics = [](const Array& images) {  // mean and deviation of value / 255
    double sum = 0, squares = 0;
    for (const uint8_t value : images.to_vector<uint8_t>()) {
      sum += value / 255.0;
      squares += value / 255.0 * (value / 255.0);
    }
    const auto n = static_cast<double>(images.size());
    return std::pair(sum / n, std::sqrt(squares / n - sum / n * (sum / n)));
  };
  const auto count_of = [](const Array& labels, uint8_t wanted) {
    const Bytes values = labels.to_vector<uint8_t>();
    return std::count(values.begin(), values.end(), wanted);
  };
  if (try_data_file("", "mnist", "train-images-idx3-ubyte")) {
    const LabelledImages train = load_mnist("", Split::train), test = load_mnist("", Split::test);
    CHECK(train.images.shape() == Shape{60'000, 28, 28});
    CHECK(test.images.shape() == Shape{10'000, 28, 28});
    const auto [mean, deviation] = statistics(train.images);
    CHECK(std::abs(mean - 0.1307) < 5e-5);  // published to four digits
    CHECK(std::abs(deviation - 0.3081) < 5e-5);
    CHECK(count_of(train.labels, 0) == 5923);
    CHECK(count_of(train.labels, 9) == 5949);
    CHECK(slice(test.labels, 0, 0, 5).to_vector<uint8_t>() == Bytes{7, 2, 1, 0, 4});
  } else {
    MESSAGE("skipped: no MNIST in ", data_folder(""));
  }
  if (try_data_file("", "fashion-mnist", "t10k-images-idx3-ubyte")) {
    const LabelledImages test = load_fashion_mnist("", Split::test);
    CHECK(test.images.shape() == Shape{10'000, 28, 28});
    for (uint8_t label = 0; label < 10; ++label) CHECK(count_of(test.labels, label) == 1000);
  } else {
    MESSAGE("skipped: no Fashion-MNIST in ", data_folder(""));
  }
  if (try_data_file("", "cifar-10", "data_batch_1.bin")) {
    const LabelledImages train = load_cifar10("", Split::train);
    CHECK(train.images.dim(0) == train.labels.dim(0));
    CHECK(train.labels.to_vector<uint8_t>().front() == 6);  // the first training image is a frog
    const auto [mean, deviation] = statistics(train.images);
    // The official 50,000 have mean 0.4734 and deviation 0.2516. The means of single images spread
    // by about 0.13, so 9,000 images differ from all by 0.13 / sqrt(9000) = 0.0014; five of that.
    CHECK(std::abs(mean - 0.4734) < 0.007);
    CHECK(std::abs(deviation - 0.2516) < 0.007);
  } else {
    MESSAGE("skipped: no CIFAR-10 in ", data_folder(""));
  }
}

TEST_CASE("fuzz corpus: what begins with good is read, everything else is an Error") {
  const std::pair<const char*, void (*)(const Bytes&)> readers[] = {
      {"idx", [](const Bytes& bytes) { parse_idx(bytes, "corpus"); }},
      {"cifar", [](const Bytes& bytes) { parse_cifar10(bytes, "corpus"); }},
      {"safetensors", [](const Bytes& bytes) { parse_safetensors(bytes, "corpus"); }},
      {"npy", [](const Bytes& bytes) { parse_npy(bytes, "corpus"); }},
      {"png", [](const Bytes& bytes) { parse_image(bytes, "corpus"); }},
      {"jpeg", [](const Bytes& bytes) { parse_image(bytes, "corpus"); }},
      {"pnm", [](const Bytes& bytes) { parse_image(bytes, "corpus"); }}};
  for (const auto& [name, read] : readers) {
    int good = 0, bad = 0;
    for (const auto& entry :
         std::filesystem::directory_iterator(BASIN_TEST_DATA "/fuzz/corpus/" + std::string(name))) {
      CAPTURE(entry.path().string());
      const Bytes bytes = read_file(entry.path().string());
      const std::string error = error_of([&, &parse = read] { parse(bytes); });
      const bool expect_good = entry.path().filename().string().starts_with("good");
      CHECK((error == "no error") == expect_good);
      ++(expect_good ? good : bad);
    }
    CHECK(good > 0);
    CHECK(bad > 0);
  }
}

TEST_CASE("textures fill [0, 1], are smooth, and share most of their shape between channels") {
  const std::vector<double> p = texture_images(Key(1), 2, 3, 16, DType::f64).to_vector<double>();
  REQUIRE(p.size() == 2 * 3 * 256);
  for (size_t image = 0; image < 2; ++image) {
    const auto begin = p.begin() + static_cast<std::ptrdiff_t>(image) * 768;
    const auto [low, high] = std::minmax_element(begin, begin + 768);
    CHECK(*low == 0);
    CHECK(*high == 1);
  }
  double steps = 0, spread = 0;  // neighbours differ much less than pixels of two images
  for (size_t i = 0; i + 1 < 768; ++i)
    steps += std::abs(p[i] - p[i + 1]), spread += std::abs(p[i] - p[768 + i]);
  CHECK(steps < 0.6 * spread);
  CHECK(texture_images(Key(1), 2, 3, 16, DType::f64).to_vector<double>() == p);
  CHECK(texture_images(Key(2), 2, 3, 16, DType::f64).to_vector<double>() != p);
  CHECK(test::has(test::error_of([] { texture_images(Key(1), 0, 3, 16, DType::f64); }),
                  "texture_images"));
}

TEST_CASE("white squares are squares, and shrinking takes means") {
  const std::vector<double> p = white_squares(Key(3), 50, 1, 8, DType::f64).to_vector<double>();
  for (size_t image = 0; image < 50; ++image) {
    int64_t rows = 0, white = 0;
    for (size_t y = 0; y < 8; ++y) {
      int64_t line = 0;
      for (size_t x = 0; x < 8; ++x) line += p[image * 64 + y * 8 + x] == 1;
      rows += line > 0, white += line;
    }
    CHECK(rows * rows == white);
    CHECK(rows >= 2);
    CHECK(rows <= 4);
  }
  const Array x =
      from_vector<double>({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, {1, 16});
  CHECK(shrink_images(x, 1, 4, 2).to_vector<double>() == std::vector<double>{3.5, 5.5, 11.5, 13.5});
  CHECK(shrink_images(x, 4, 2, 2).to_vector<double>() == std::vector<double>{2.5, 6.5, 10.5, 14.5});
  CHECK(test::has(test::error_of([&] { shrink_images(x, 1, 4, 3); }), "a factor that divides 4"));
}
