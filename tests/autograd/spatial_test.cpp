// On the device of the run: windows, sizes and borders of images against PyTorch, and their kernels
// against plain loops.
#include <doctest/doctest.h>

#include <cmath>
#include <map>
#include <sstream>

#include "autograd/transforms.h"
#include "engine/recorded_step.h"
#include "engine/safetensors.h"
#include "kernels/threads.h"
#include "tests/device.h"
#include "tests/reference.h"

using namespace basin;

namespace {

using Numbers = std::vector<int64_t>;

Pooling pooling_of(const Numbers& n) {
  return {{n[0], n[1]}, {n[2], n[3]}, {n[4], n[5]}};
}

/// The operation of a name of reference/spatial_torch.py.
Tensor call(const std::string& op, const Numbers& n, const Tensor& x) {
  if (op == "max_pool2d") return max_pool2d(x, pooling_of(n));
  if (op == "avg_pool2d") return avg_pool2d(x, pooling_of(n), n[6] == 1);
  if (op == "resize_bilinear") return resize_bilinear(x, {n[0], n[1]}, n[2] == 1);
  if (op == "pixel_shuffle") return pixel_shuffle(x, n[0]);
  if (op == "pixel_unshuffle") return pixel_unshuffle(x, n[0]);
  return pad2d(x, {n[0], n[1], n[2], n[3]},
               op == "zeros"     ? Border::zeros
               : op == "reflect" ? Border::reflect
                                 : Border::replicate);
}

/// The largest difference; elements that are equal, or NaN in both, do not differ.
double difference(const Tensor& x, const Tensor& y) {
  REQUIRE(x.shape() == y.shape());
  const std::vector<double> a = cast(x, DType::f64).array().to_vector<double>(),
                            b = cast(y, DType::f64).array().to_vector<double>();
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i)
    if (a[i] != b[i] && !(std::isnan(a[i]) && std::isnan(b[i])))
      largest = std::isfinite(a[i] - b[i]) ? std::max(largest, std::abs(a[i] - b[i])) : INFINITY;
  return largest;
}

}  // namespace

TEST_CASE("windows lie side by side where no stride is given, as in PyTorch") {
  const Tensor x = normal(Key(1), {1, 1, 9, 9}, DType::f64);
  CHECK(max_pool2d(x, {.size = {3, 3}}).shape() == Shape{1, 1, 3, 3});
  CHECK(avg_pool2d(x, {.size = {3, 2}}).shape() == Shape{1, 1, 3, 4});
  CHECK(max_pool2d(x).shape() == Shape{1, 1, 4, 4});
}

TEST_CASE("means of large windows that overlap need no table, forward and back") {
  // 3.9 million terms; each is 1 / 1301, and an input lies in as many windows as reach it
  const int64_t side = 4300, size = 1301, windows = side - size + 1;
  const Tensor x = full({1, 1, 1, side}, 2, DType::f64, test_device());
  const Pooling pool{{1, size}, {1, 1}, {0, 0}};
  const auto [y, pullback] = vjp([&](const Tensor& t) { return avg_pool2d(t, pool); }, x);
  const double bound = 1301 * 0x1p-53 * 2;  // of a sum of 1301 terms, one after the other
  for (const double mean : copy_to(y, {}).array().to_vector<double>())
    CHECK(std::abs(mean - 2) <= bound);
  const std::vector<double> dx =
      copy_to(pullback(full(y.shape(), 1, DType::f64, test_device())), {})
          .array()
          .to_vector<double>();
  for (int64_t j = 0; j < side; ++j) {
    const auto reached = static_cast<double>(std::min({j + 1, side - j, size, windows}));
    CHECK(std::abs(dx[static_cast<size_t>(j)] - reached / 1301) <= bound);
  }
}

TEST_CASE("windows, sizes and borders of images equal PyTorch's, forward and back") {
  const test::Reference& tensors = test::reference("spatial_torch");
  int cases = 0;
  for (const auto& [key, unused] : tensors) {
    const std::string name = key.substr(0, key.rfind('.'));
    if (key != name + ".x") continue;
    ++cases;
    CAPTURE(name);
    std::istringstream words(name);
    std::string op;
    words >> op;
    Numbers numbers;
    for (int64_t n = 0; words >> n;) numbers.push_back(n);
    for (const DType dtype : {DType::f64, DType::f32}) {
      const auto get = [&](const char* field) {
        return Tensor(copy_to(cast(tensors.at(name + field), dtype), test_device()));
      };
      const auto result = vjp([&](const Tensor& x) { return call(op, numbers, x); }, get(".x"));
      // Selections are exact, and so are sums of the small integers that g holds. Else: sums of at
      // most 16 terms of size 4 whose weights are rounded, and for a gradient of 32 of size 8.
      const bool exact = op != "avg_pool2d" && op != "resize_bilinear";
      const double eps = exact ? 0 : dtype == DType::f32 ? 6e-8 : 1.2e-16;
      CHECK(difference(result.first, get(".y")) <= 4 * 16 * 2 * eps);
      CHECK(difference(result.second(get(".g")), get(".dx")) <= 8 * 32 * 2 * eps);
    }
  }
  CHECK(cases == 26);
}

TEST_CASE("max_pool2d: every width, stride and padding, in pieces and one by one") {
  // Small integers, so that there are ties, and some NaN. y and its gradient by plain loops.
  int pieces = 0;
  for (int64_t size = 1; size <= 4; ++size)
    for (int64_t stride = 1; stride <= 3; ++stride)
      for (int64_t padding = 0; padding <= size / 2; ++padding)
        for (const int64_t width : {4, 5, 9, 16, 33, 34, 70}) {
          const int64_t height = 5;
          const Pooling pooling{{size, size}, {stride, stride}, {padding, padding}};
          CAPTURE(size);
          CAPTURE(stride);
          CAPTURE(padding);
          CAPTURE(width);
          const Shape shape{1, 2, height, width};
          std::vector<double> x = uniform(Key(width), shape, DType::f64, -3, 3).to_vector<double>();
          for (size_t i = 0; i < x.size(); ++i) x[i] = i % 23 == 7 ? NAN : std::floor(x[i]);
          const int64_t rows = (height + 2 * padding - size) / stride + 1,
                        cols = (width + 2 * padding - size) / stride + 1;
          std::vector<double> y, g, dx(x.size(), 0.0);
          for (int64_t window = 0; window < 2 * rows * cols; ++window) {
            const int64_t plane = window / (rows * cols), r = window / cols % rows,
                          c = window % cols;
            int64_t best = -1;
            for (int64_t i = 0; i < size * size; ++i) {
              const int64_t h = r * stride - padding + i / size,
                            w = c * stride - padding + i % size,
                            at = (plane * height + h) * width + w;
              if (h < 0 || h >= height || w < 0 || w >= width) continue;
              const auto now = static_cast<size_t>(at), before = static_cast<size_t>(best);
              if (best < 0 || x[now] > x[before] || std::isnan(x[now])) best = at;
            }
            y.push_back(x[static_cast<size_t>(best)]);
            g.push_back(static_cast<double>(window % 13));
            dx[static_cast<size_t>(best)] += g.back();
          }
          for (const DType dtype : {DType::f64, DType::f32}) {
            const auto tensor = [&](const std::vector<double>& values, const Shape& as) {
              return Tensor(copy_to(cast(from_vector(values, as), dtype), test_device()));
            };
            const Shape out{1, 2, rows, cols};
            const auto result =
                vjp([&](const Tensor& t) { return max_pool2d(t, pooling); }, tensor(x, shape));
            CHECK(difference(result.first, tensor(y, out)) == 0);
            CHECK(difference(max_pool2d(tensor(x, shape), pooling), tensor(y, out)) == 0);
            CHECK(difference(result.second(tensor(g, out)), tensor(dx, shape)) == 0);
            pieces += cols >= 4;
          }
        }
  CHECK(pieces > 200);
}

TEST_CASE("linear maps along an axis and their transposes are the same matrix") {
  // On the unit vectors, each one image; a sum of one term is exact, and the weights are the same
  // numbers in both directions.
  const auto check = [](int64_t n, const std::function<Tensor(const Tensor&)>& f) {
    const auto units = [](int64_t count) {
      Array one = zeros({count, count}, DType::f64);
      fill(one.with({count}, {count + 1}, 0), 1.0);
      return Tensor(copy_to(reshape(one, {count, 1, count, 1}), test_device()));
    };
    const Tensor y = f(units(n));
    const int64_t m = y.dim(2);
    const Tensor columns = reshape(y, {n, m});
    const auto repeated = vjp(f, Tensor(zeros({m, 1, n, 1}, DType::f64, test_device()))).second;
    const Tensor rows = reshape(repeated(units(m)), {m, n});
    CHECK(difference(columns, transpose(rows)) == 0);
    return columns;
  };
  for (int64_t n = 1; n <= 9; ++n) {
    CAPTURE(n);
    for (int64_t m = 1; m <= 19; ++m)
      for (const bool corners : {false, true}) {
        CAPTURE(m);
        const Tensor matrix = check(n, [&](const Tensor& x) {
          return resize_bilinear(x, {m, 1}, corners);
        });
        // weights of an output add up to 1
        CHECK(difference(sum(matrix, {0}), full({m}, 1, DType::f64, test_device())) <= 2.3e-16);
      }
    for (int64_t size = 1; size <= 4; ++size)
      for (int64_t padding = 0; padding <= size / 2; ++padding)
        for (int64_t stride = 1; stride <= 5; ++stride)
          for (const bool count : {false, true})
            if (size <= n + 2 * padding)
              check(n, [&](const Tensor& x) {
                return avg_pool2d(x, {{size, 1}, {stride, 1}, {padding, 0}}, count);
              });
    for (const auto& [top, bottom] : {std::pair<int64_t, int64_t>{0, 0}, {1, 0}, {0, 3}, {8, 7}}) {
      const Margins margins{top, bottom, 0, 0};
      check(n, [&](const Tensor& x) { return pad2d(x, margins, Border::replicate); });
      check(n, [&](const Tensor& x) { return pad2d(x, margins, Border::zeros); });
      if (std::max(top, bottom) < n)
        check(n, [&](const Tensor& x) { return pad2d(x, margins, Border::reflect); });
    }
  }
}

TEST_CASE("windows, sizes and borders: the same bits for any number of threads, and replayed") {
  const Tensor x(uniform(Key(3), {8, 3, 64, 48}, DType::f32, -1, 1, test_device()));
  const Function loss = [](const Tensors& in) {
    const Tensor up = resize_bilinear(in[0], {80, 50});
    const Tensor padded = pad2d(pad2d(up, {3, 2, 1, 0}, Border::reflect), {1, 1, 2, 2});
    const Tensor pooled = max_pool2d(padded, {{3, 3}, {2, 2}, {1, 1}});
    return sum(square(avg_pool2d(pad2d(pooled, {1, 1, 1, 1}, Border::replicate))));
  };
  const auto bits = [&] { return value_and_grad_flat(loss, {x}).second[0].to_vector<float>(); };
  const int before = cpu_threads();
  set_cpu_threads(1);
  const std::vector<float> expected = bits();
  set_cpu_threads(5);
  CHECK(bits() == expected);
  set_cpu_threads(before);
  Array kept = zeros(x.shape(), DType::f32, test_device());
  RecordedStep step(test_device(),
                    [&] { assign(kept, value_and_grad_flat(loss, {x}).second[0].array()); });
  for (int i = 0; i < 3; ++i) {
    fill(kept, 0.0);
    step.run();
    CHECK(kept.to_vector<float>() == expected);
  }
  CHECK(step.recorded() == test_device().backend().can_capture());
}

TEST_CASE("max_pool2d: the derivatives are those of the element chosen, to any order") {
  const Device& device = test_device();
  const Tensor x = from_vector<double>({1, 3, 3, 2, 0, -1, 5, 4}, {1, 1, 2, 4}, device);
  const auto f = [](const Tensor& t) { return sum(power(max_pool2d(t), 3)); };  // of 3 and 5
  CHECK(grad(f, x).array().to_vector<double>() == std::vector<double>{0, 27, 0, 0, 0, 0, 75, 0});
  const Tensor v = full({1, 1, 2, 4}, 1, DType::f64, device);
  CHECK(hvp(f, x, v).array().to_vector<double>() == std::vector<double>{0, 18, 0, 0, 0, 0, 30, 0});
}

TEST_CASE("max_pool2d: strides and windows far larger than the image") {
  const Tensor x = normal(Key(5), {1, 2, 9, 40}, DType::f64, 0, 1, test_device());
  for (const Pooling& pooling :
       {Pooling{{2, 2}, {1 << 30, 1 << 30}, {0, 0}}, Pooling{{3, 3}, {1 << 30, 1}, {1, 1}},
        Pooling{{3, 3}, {1, 1 << 30}, {1, 1}}, Pooling{{1000, 41}, {3, 1}, {500, 20}}}) {
    const auto result = vjp([&](const Tensor& t) { return max_pool2d(t, pooling); }, x);
    const Tensor ones = full(result.first.shape(), 1, DType::f64, test_device());
    const Tensor back = result.second(ones);
    CHECK(sum(back).item() == static_cast<double>(result.first.size()));
    CHECK(sum(back * x).item() == doctest::Approx(sum(result.first).item()));
  }
  CHECK_THROWS_WITH_AS((void)max_pool2d(x, {{1 << 20, 1 << 20}, {1, 1}, {1 << 19, 1 << 19}}),
                       doctest::Contains("elements"), Error);
}
