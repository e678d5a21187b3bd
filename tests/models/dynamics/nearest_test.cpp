// Nearest rows: the same bits as the direct formula, whatever the products in f32 say.
#include <doctest/doctest.h>
#include <algorithm>
#include <cmath>
#include <cstring>
#include <ctime>
#include <functional>
#include <limits>
#include <string>

#include "engine/key.h"
#include "kernels/cpu/vectors.h"
#include "kernels/square_sum.h"
#include "kernels/threads.h"
#include "models/dynamics/nearest.h"
#include "tests/device.h"
#include "tests/files.h"

using namespace basin;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
using Values = std::vector<double>;

/// The definition: differences squared and summed in f64 from the first column to the last, by
/// lengths where f64 cannot hold the smallest of these sums.
Nearest direct(const Array& points, const Array& examples) {
  const Values p = cast(points, DType::f64).to_vector<double>(),
               e = cast(examples, DType::f64).to_vector<double>();
  const auto d = static_cast<size_t>(points.dim(1)), m = static_cast<size_t>(examples.dim(0));
  Nearest result;
  for (size_t i = 0; i < static_cast<size_t>(points.dim(0)); ++i) {
    double best = infinity, shortest = infinity;
    size_t index = 0, by_length = 0;
    for (size_t j = 0; j < m; ++j) {
      SquareSum sum;
      for (size_t k = 0; k < d; ++k) sum.add(p[i * d + k] - e[j * d + k]);
      if (sum.plain < best) {
        best = sum.plain;
        index = j;
      }
      if (sum.length() < shortest) {
        shortest = sum.length();
        by_length = j;
      }
    }
    const bool exact = SquareSum{best}.exact();
    result.index.push_back(static_cast<int64_t>(exact ? index : by_length));
    result.distance.push_back(exact ? std::sqrt(best) : shortest);
  }
  return result;
}

bool same(const Nearest& a, const Nearest& b) {
  return a.index == b.index && a.distance.size() == b.distance.size() &&
         std::memcmp(a.distance.data(), b.distance.data(), 8 * a.distance.size()) == 0;
}

/// Numbers made of one uniform number each: change(u, row, column).
using Change = std::function<double(double, int64_t, int64_t)>;
Array made(const Key& key, int64_t rows, int64_t columns, const Change& change,
           DType dtype = DType::f64) {
  Values values = uniform(key, {rows, columns}, DType::f64).to_vector<double>();
  for (int64_t i = 0; i < rows * columns; ++i) {
    double& x = values[static_cast<size_t>(i)];
    x = change(x, i / columns, i % columns);
  }
  return cast(from_vector(values, {rows, columns}, test_device()), dtype);
}

struct Kind {
  std::string name;
  Change change;
};

/// A number for each row, different from row to row without order.
double of_row(int64_t row, int64_t count) {
  return static_cast<double>(row * 7919 % count);
}

std::vector<Kind> kinds() {
  const double tiny = 0x1p-1074;
  return {
      {"uniform", [](double u, int64_t, int64_t) { return u - 0.5; }},
      {"a small grid: ties and copies",
       [](double u, int64_t, int64_t) { return std::floor(3 * u); }},
      {"few rows, many copies", [](double, int64_t i, int64_t k) { return of_row(i * k, 5); }},
      {"all equal", [](double, int64_t, int64_t) { return 0.1; }},
      {"near ties: a few units in the last place of 1",
       [](double u, int64_t, int64_t) { return 1 + std::floor(4 * u) * 0x1p-52; }},
      {"far from the origin", [](double u, int64_t, int64_t) { return 1e6 + u; }},
      {"two far clusters: products of one sign, each larger than what decides",
       [](double u, int64_t i, int64_t) { return (i % 2 == 0 ? 1000 : -1000) + 1e-3 * u; }},
      {"rows of all sizes, 1e-300 to 1e300",
       [](double u, int64_t i, int64_t) { return (u - 0.5) * std::pow(10, of_row(i, 601) - 300); }},
      {"rows of sizes that f32 holds",
       [](double u, int64_t i, int64_t) { return (u - 0.5) * std::pow(10, of_row(i, 61) - 30); }},
      {"below the squares of f64", [](double u, int64_t, int64_t) { return 1e-200 * u; }},
      {"the smallest numbers",
       [tiny](double u, int64_t, int64_t) { return tiny * std::floor(9 * u); }},
      {"where squares just hold", [](double u, int64_t, int64_t) { return 0x1p-450 * u; }},
      {"above the squares of f64", [](double u, int64_t, int64_t) { return 1e200 * (u - 0.5); }},
      {"the largest numbers", [](double u, int64_t, int64_t) { return 1.7e308 * (2 * u - 1); }},
      {"rows that are not finite",
       [](double u, int64_t i, int64_t k) {
         if (i % 3 == 1 && k == i % 2) return i % 4 == 1 ? infinity : -infinity;
         return i % 5 == 2 ? std::nan("") : u;
       }},
      {"none is finite", [](double, int64_t, int64_t) { return infinity; }},
  };
}

}  // namespace

TEST_CASE("nearest: the bits of the direct formula for every kind of numbers") {
  // Few and many points, blocks that are not full, and more rows than one block holds.
  struct Size {
    int64_t points, examples, width;
  };
  for (const Size& size : std::vector<Size>{{3, 40, 3},
                                            {9, 1, 2},
                                            {20, 33, 1},
                                            {40, 300, 5},
                                            {600, 70, 9},
                                            {10, 2200, 33},
                                            {16, 60, 784}}) {
    for (const Kind& kind : kinds()) {
      for (const DType dtype : {DType::f64, DType::f32}) {
        CAPTURE(kind.name);
        CAPTURE(size.width);
        CAPTURE(dtype);
        const Array examples = made(Key(1), size.examples, size.width, kind.change, dtype),
                    points = made(Key(2), size.points, size.width, kind.change, dtype);
        CHECK(same(nearest(points, examples), direct(points, examples)));
        const Array some = slice(examples, 0, 0, std::min<int64_t>(40, size.examples));
        CHECK(same(nearest(some, examples), direct(some, examples)));
      }
    }
  }
}

TEST_CASE("nearest: points of one kind among examples of another, two dtypes, views") {
  const std::vector<Kind> all = kinds();
  for (const Kind& kind : all) {
    for (const Kind& other : all) {
      CAPTURE(kind.name);
      CAPTURE(other.name);
      const Array points = made(Key(3), 10, 4, kind.change),
                  examples = made(Key(4), 37, 4, other.change, DType::f32);
      CHECK(same(nearest(points, examples), direct(points, examples)));
    }
  }
  const Array tall = made(Key(5), 12, 90, all[1].change), pixels = cast(tall, DType::u8);
  const Array points = transpose(tall);  // [90, 12]
  CHECK(same(nearest(points, slice(points, 0, 3, 90, 4)),
             direct(points, slice(points, 0, 3, 90, 4))));
  CHECK(same(nearest(pixels, pixels), direct(tall, tall)));
  CHECK(same(nearest(pixels, cast(pixels, DType::i32)), direct(tall, tall)));
}

TEST_CASE("nearest: products in f32 whose sums are all rounded down") {
  // A number v with v^2 = 0.49 2^-16 above a multiple of 2^-15: sums of v^2 from 128 to 256 lose
  // nearly half an ulp at each step, 1e-5 of them in the end. Rows of v differ in one coordinate by
  // 1e-12 of their squares.
  constexpr int64_t width = 512;
  int64_t n = 3 << 22;  // 0.75 2^24
  const auto fraction = [&] { return std::fmod(static_cast<double>(n) * 0x1p-32 * n, 2.0); };
  while (!(fraction() > 0.485 && fraction() < 0.495)) ++n;
  const double v = static_cast<double>(n) * 0x1p-24;
  const auto rows = [&](double shift) {
    return [=](double, int64_t i, int64_t k) {
      const double x = k > 0 ? v : v + (of_row(i / 2, 61) + shift) * 0x1p-22;
      return i % 2 == 0 ? x : -x;  // the mean is 0
    };
  };
  const Array examples = made(Key(10), 122, width, rows(0), DType::f32),
              points = made(Key(11), 122, width, rows(0.25), DType::f32);
  const Nearest found = nearest(points, examples);
  CHECK(same(found, direct(points, examples)));
  for (int64_t i = 0; i < 122; ++i) CHECK(found.index[static_cast<size_t>(i)] == i);
}

TEST_CASE("nearest: the same for any number of threads") {
  const Array points = made(Key(6), 700, 20, kinds()[1].change),
              examples = made(Key(7), 2500, 20, kinds()[1].change);
  const int before = cpu_threads();
  set_cpu_threads(1);
  const Nearest one = nearest(points, examples);
  set_cpu_threads(5);
  const Nearest five = nearest(points, examples);
  set_cpu_threads(before);
  CHECK(same(one, five));
}

TEST_CASE("slow: nearest: ten times faster than rows one by one, 500 x 6,000 x 784, one thread") {
  // One by one: all examples in turn, given up once their partial sum is above the smallest so far.
  const Array points = normal(Key(12), {500, 784}, DType::f32),
              examples = normal(Key(13), {6000, 784}, DType::f32);
  const auto one_by_one = [&] {
    const Values p = cast(points, DType::f64).to_vector<double>(),
                 e = cast(examples, DType::f64).to_vector<double>();
    Nearest result;
    for (size_t i = 0; i < p.size(); i += 784) {
      double best = infinity;
      size_t index = 0;
      for (size_t j = 0; j < e.size(); j += 784) {
        double total = 0;
        for (size_t from = 0; from < 784 && total < best; from += 28)
          for (size_t k = from; k < from + 28; ++k)
            total += (p[i + k] - e[j + k]) * (p[i + k] - e[j + k]);
        if (total >= best) continue;
        best = total;
        index = j / 784;
      }
      result.index.push_back(static_cast<int64_t>(index));
      result.distance.push_back(std::sqrt(best));
    }
    return result;
  };
  const int threads = cpu_threads();
  set_cpu_threads(1);
  const auto timed = [](const auto& work, Nearest& found) {  // processor time: others run too
    const std::clock_t begin = std::clock();
    found = work();
    return static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
  };
  Nearest slow, fast;
  double seconds = infinity;
  for (int i = 0; i < 3; ++i)
    seconds = std::min(seconds, timed([&] { return nearest(points, examples); }, fast));
  const double before = timed(one_by_one, slow);
  set_cpu_threads(threads);
  CHECK(same(fast, slow));
  MESSAGE("one by one ", before, " s, nearest ", seconds, " s");
  if (cpu::vector_bytes >= 32) CHECK(before >= 10 * seconds);
}

TEST_CASE("nearest_k: every row sorted by the direct formula, the first at a tie") {
  for (const Kind& kind : kinds()) {
    for (const int64_t n : {4, 30}) {
      CAPTURE(kind.name);
      CAPTURE(n);
      const int64_t m = 45, width = 6;
      const Array points = made(Key(8), n, width, kind.change),
                  examples = made(Key(9), m, width, kind.change);
      const Nearest all = nearest_k(points, examples, m);
      const Values p = points.to_vector<double>(), e = examples.to_vector<double>();
      for (int64_t i = 0; i < n; ++i) {
        struct One {
          double length, square;
          int64_t index;
        };
        std::vector<One> row;
        for (int64_t j = 0; j < m; ++j) {
          SquareSum sum;
          for (int64_t k = 0; k < width; ++k)
            sum.add(p[static_cast<size_t>(i * width + k)] - e[static_cast<size_t>(j * width + k)]);
          if (sum.length() < infinity) row.push_back({sum.length(), sum.plain, j});
        }
        std::stable_sort(row.begin(), row.end(), [](const One& a, const One& b) {
          return a.length < b.length || (a.length == b.length && a.square < b.square);
        });
        row.resize(static_cast<size_t>(m), {infinity, infinity, 0});
        for (size_t j = 0; j < row.size(); ++j) {
          const size_t at = static_cast<size_t>(i * m) + j;
          CHECK(all.index[at] == row[j].index);
          CHECK(all.distance[at] == row[j].length);
        }
      }
      // Fewer are the first of all.
      const Nearest three = nearest_k(points, examples, 3);
      for (int64_t i = 0; i < 3 * n; ++i) {
        const auto at = static_cast<size_t>(i / 3 * m + i % 3), here = static_cast<size_t>(i);
        CHECK(three.index[here] == all.index[at]);
        CHECK(three.distance[here] == all.distance[at]);
      }
      CHECK(same(nearest_k(points, examples, 1), nearest(points, examples)));
    }
  }
}

TEST_CASE("nearest_k refuses a number of neighbours that the examples do not have") {
  const Array points = zeros({2, 3}, DType::f64);
  for (const int64_t k : {0, 3, -1})
    CHECK(test::has(test::error_of([&] { (void)nearest_k(points, points, k); }),
                    "k must be from 1 to the number of examples, 2, got"));
  CHECK(test::has(test::error_of([&] {
                    (void)nearest_k(points, zeros({2, 4}, DType::f64), 1);
                  }),
                  "nearest_k: needs points [N, d]"));
}
