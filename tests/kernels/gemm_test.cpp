#include "kernels/cpu/gemm.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/threads.h"

using namespace basin;
using namespace basin::cpu;

namespace {

/// Storage for a rows x cols operand in one of several layouts, filled with random values.
template <class T>
struct Operand {
  std::vector<T> storage;
  Matrix<const T> matrix{nullptr, 0, 0};

  Operand(int64_t rows, int64_t cols, int layout, std::mt19937& random) {
    const int64_t pad = layout % 2 * 3;
    int64_t row = cols + pad, col = 1;                          // layouts 0 and 1: rows contiguous
    if (layout == 2 || layout == 3) row = 1, col = rows + pad;  // columns contiguous
    if (layout == 4) row = 3 * cols + 1, col = 3;               // neither
    if (layout == 5) row = 0, col = 1;                          // one row repeated
    if (layout == 6) row = -(cols + 2), col = -1;               // backwards
    const int64_t last =
        std::max<int64_t>(0, rows - 1) * row + std::max<int64_t>(0, cols - 1) * col;
    storage.resize(static_cast<size_t>(std::abs(last) +
                                       1));  // exact, so that a sanitizer sees every stray access
    std::uniform_real_distribution<T> values(-1, 1);
    for (T& value : storage) value = values(random);
    matrix = {storage.data() + std::max<int64_t>(0, -last), row, col};
  }
  T at(int64_t r, int64_t c) const {
    return matrix.data[r * matrix.row_stride + c * matrix.col_stride];
  }
};

/// Negates every value and counts it in the context.
template <class T>
void negate(const void* context, T* row, int64_t row_index, int64_t col, int64_t count) {
  auto& seen = *static_cast<std::vector<int>*>(const_cast<void*>(context));
  const auto width = static_cast<int64_t>(seen[0]);
  for (int64_t i = 0; i < count; ++i) {
    row[i] = -row[i];
    ++seen[static_cast<size_t>(1 + row_index * width + col + i)];
  }
}

/// One product against a plain loop in double (long double for double), the same bits with 1, 2 and
/// 3 threads.
template <class T>
void check(int64_t m, int64_t n, int64_t k, int layout_a, int layout_b, bool accumulate,
           bool epilogue) {
  INFO("m=", m, " n=", n, " k=", k, " layouts ", layout_a, " ", layout_b,
       " accumulate=", accumulate);
  std::mt19937 random(static_cast<unsigned>(m * 10007 + n * 101 + k));
  const Operand<T> a(m, k, layout_a, random), b(k, n, layout_b, random);
  const int64_t ldc = n + layout_a;
  const Operand<T> start(m, ldc, 0, random);
  std::vector<T> first;
  for (int count = 1; count <= 3; ++count) {
    set_cpu_threads(count);
    std::vector<T> c = start.storage;
    std::vector<int> seen(static_cast<size_t>(1 + m * n), 0);
    seen[0] = static_cast<int>(n);
    gemm<T>(m, n, k, a.matrix, b.matrix, c.data(), ldc, accumulate, epilogue ? negate<T> : nullptr,
            &seen);
    if (count == 1) {
      CHECK(std::count(seen.begin() + 1, seen.end(), epilogue ? 1 : 0) == m * n);
      first = c;
    }
    REQUIRE(std::memcmp(first.data(), c.data(), c.size() * sizeof(T)) == 0);
  }
  using Wide = std::conditional_t<sizeof(T) == 4, double, long double>;
  int64_t wrong = 0;
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < ldc; ++j) {
      const size_t at = static_cast<size_t>(i * ldc + j);
      Wide sum = accumulate || j >= n ? start.storage[at] : 0, size = std::abs(sum);
      for (int64_t s = 0; s < k && j < n; ++s) {
        const Wide product = static_cast<Wide>(a.at(i, s)) * b.at(s, j);
        sum += product;
        size += std::abs(product);
      }
      if (epilogue && j < n) sum = -sum;
      const Wide bound =
          j < n ? static_cast<Wide>(k + 2) * std::numeric_limits<T>::epsilon() * size : 0;
      if (!(std::abs(first[at] - sum) <= bound)) ++wrong;
    }
  CHECK(wrong == 0);
}

struct ThreadsRestored {
  int before = cpu_threads();
  ~ThreadsRestored() { set_cpu_threads(before); }
};

}  // namespace

TEST_CASE_TEMPLATE("gemm agrees with a plain loop for random shapes and strides", T, float,
                   double) {
  const ThreadsRestored restored;
  std::mt19937 random(1);
  const auto pick = [&](int64_t limit) {
    return static_cast<int64_t>(random() % static_cast<unsigned>(limit));
  };
  for (int i = 0; i < 300; ++i) {
    const int64_t limit = i % 10 == 0 ? 150 : i % 3 == 0 ? 40 : 9;
    const int64_t m = pick(limit), n = pick(i % 2 ? limit : 90), k = pick(i % 3 == 1 ? 200 : limit);
    check<T>(m, n, k, static_cast<int>(pick(7)), static_cast<int>(pick(7)), pick(2) == 1,
             pick(2) == 1);
  }
}

TEST_CASE_TEMPLATE(
    "gemm of larger shapes: several passes over k, many tasks, dot products, swapped", T, float,
    double) {
  const ThreadsRestored restored;
  const int64_t shapes[][3] = {{100, 128, 784}, {100, 10, 300}, {131, 257, 1300}, {1, 300, 700},
                               {300, 1, 700},   {3, 200, 100},  {200, 3, 100},    {2000, 5, 40},
                               {20, 2100, 33},  {1, 1, 2000},   {1, 1, 20000},    {5, 3, 17000},
                               {3, 70, 17000}};
  for (const auto& shape : shapes)
    for (int layouts = 0; layouts < 4; ++layouts)
      check<T>(shape[0], shape[1], shape[2], layouts % 2 * 2, layouts / 2 * 2, layouts == 1,
               layouts == 2);
}

TEST_CASE("gemm with an empty side") {
  float c[6] = {1, 2, 3, 4, 5, -0.0f};
  const float x[1] = {7};
  gemm<float>(2, 3, 0, {x, 0, 1}, {x, 3, 1}, c, 3, true);
  CHECK(c[0] == 1);
  CHECK(std::signbit(c[5]));
  std::vector<int> seen(7, 0);
  seen[0] = 3;
  gemm<float>(2, 3, 0, {x, 0, 1}, {x, 3, 1}, c, 3, false, negate<float>, &seen);
  CHECK(std::all_of(c, c + 6, [](float value) { return value == 0; }));
  CHECK(std::count(seen.begin() + 1, seen.end(), 1) == 6);
  gemm<float>(0, 3, 4, {nullptr, 4, 1}, {nullptr, 3, 1}, nullptr, 3);
  gemm<float>(3, 0, 4, {nullptr, 4, 1}, {nullptr, 0, 1}, nullptr, 0);
}

TEST_CASE("gemm spreads not-a-number and infinity only where they belong") {
  std::vector<float> a(20 * 33, 1.0f), b(33 * 40, 1.0f), c(20 * 40);
  a[5 * 33 + 32] = std::numeric_limits<float>::infinity();
  b[7 * 40 + 39] = std::numeric_limits<float>::quiet_NaN();
  gemm<float>(20, 40, 33, {a.data(), 33, 1}, {b.data(), 40, 1}, c.data(), 40);
  for (int i = 0; i < 20; ++i)
    for (int j = 0; j < 40; ++j) {
      const float value = c[static_cast<size_t>(i * 40 + j)];
      if (j == 39) {
        CHECK(std::isnan(value));
      } else {
        CHECK(value == (i == 5 ? std::numeric_limits<float>::infinity() : 33.0f));
      }
    }
}

TEST_CASE(
    "slow: gemm of long sums and many elements: block by block, the sums beside it stay small") {
  // rows and columns of equal entries, by stride 0: element (r, c) is k a_r b_c, a whole number
  // below 2^24
  const int64_t m = 1100;
  const int64_t n = 1030;
  const int64_t k = 16385;
  std::vector<float> a(m), b(n), c(m * n, 1);
  for (int64_t r = 0; r < m; ++r) a[static_cast<size_t>(r)] = static_cast<float>(r % 7 - 3);
  for (int64_t j = 0; j < n; ++j) b[static_cast<size_t>(j)] = static_cast<float>(j % 11 - 5);
  gemm<float>(m, n, k, {a.data(), 1, 0}, {b.data(), 0, 1}, c.data(), n, true);
  bool exact = true;
  for (int64_t i = 0; i < m * n; ++i)
    exact = exact && c[static_cast<size_t>(i)] == 1 + static_cast<float>(k) *
                                                          a[static_cast<size_t>(i / n)] *
                                                          b[static_cast<size_t>(i % n)];
  CHECK(exact);
}

TEST_CASE("parallel_for runs each task once, also nested, and passes exceptions on") {
  const ThreadsRestored restored;
  for (int count : {1, 2, 4}) {
    set_cpu_threads(count);
    CHECK(cpu_threads() == count);
    for (int repeat = 0; repeat < 200; ++repeat) {
      std::vector<std::atomic<int>> runs(64);
      parallel_for(8, [&](int64_t i) {
        parallel_for(8, [&](int64_t j) { ++runs[static_cast<size_t>(8 * i + j)]; });
      });
      REQUIRE(
          std::all_of(runs.begin(), runs.end(), [](const std::atomic<int>& n) { return n == 1; }));
    }
    const auto fail = [](int64_t i) {
      if (i == 5) throw std::runtime_error("task five");
    };
    CHECK_THROWS_WITH_AS(parallel_for(20, fail), "task five", std::runtime_error);
    std::atomic<int> total{0};
    parallel_for(10, [&](int64_t) { ++total; });
    CHECK(total == 10);
    parallel_for(0, [&](int64_t) { ++total; });
    CHECK(total == 10);
  }
}
