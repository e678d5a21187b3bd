// Shapes, views, allocator, keys and reductions.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "autograd/transforms.h"
#include "engine/allocator.h"
#include "engine/key.h"
#include "kernels/threads.h"

using namespace basin;

TEST_CASE("views share storage; copies do not") {
  const Array x = arange(12, DType::f32);
  const Array m = reshape(x, {3, 4});
  CHECK(m.storage() == x.storage());
  const Array column = slice(m, 1, 1, 4, 2);
  CHECK(column.to_vector<float>() == std::vector<float>{1, 3, 5, 7, 9, 11});
  CHECK(transpose(m).to_vector<float>() ==
        std::vector<float>{0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11});
  fill(slice(m, 0, 0, 1), -1);
  CHECK(x.to_vector<float>()[3] == -1);
  CHECK(copy_of(m).storage() != m.storage());
  CHECK(reshape(transpose(m), {12}).to_vector<float>()[1] == 4);
  CHECK(broadcast_to(slice(m, 1, 0, 1), {2, 3, 4}).size() == 24);
  const Array line = arange(6, DType::f32);
  assign(slice(line, 0, 1, 6), slice(line, 0, 0, 5));
  CHECK(line.to_vector<float>() == std::vector<float>{0, 0, 1, 2, 3, 4});
  CHECK(cast(m, DType::i32).to_vector<int32_t>()[11] == 11);
}

TEST_CASE("errors name the operation, the shapes and the rule") {
  const Array m = zeros({3, 4}, DType::f32);
  CHECK_THROWS_WITH_AS(
      reshape(m, {5, 2}),
      "reshape: f32[3, 4] does not fit shape [5, 2]; the number of elements must stay the same",
      Error);
  CHECK_THROWS_AS(reshape(zeros({4}, DType::f32), {-2, -2}), Error);
  CHECK_THROWS_AS(reshape(zeros({0, 5}, DType::f32), {0, -1}), Error);
  CHECK_THROWS_AS(reshape(zeros({0}, DType::f32), {int64_t{1} << 32, int64_t{1} << 32}), Error);
  CHECK_THROWS_AS(broadcast_to(zeros({1}, DType::f32), {-3}), Error);
  CHECK_THROWS_AS(slice(m, 2, 0, 1), Error);
  CHECK_THROWS_AS(m.item(), Error);
  CHECK_THROWS_AS(m.data<double>(), Error);
  CHECK_THROWS_AS(transpose(m).data<float>(), Error);
  CHECK_THROWS_AS(Array(Shape{-1}, DType::f32), Error);
  CHECK_THROWS_AS(Array(Shape{1, 1, 1, 1, 1, 1, 1}, DType::f32), Error);
  CHECK_THROWS_AS(Array(Shape{int64_t{1} << 40, int64_t{1} << 40}, DType::f64), Error);
  CHECK_THROWS_AS(from_vector<float>({1, 2, 3}, {2, 2}), Error);
}

TEST_CASE("devices: the CPU opens, CUDA says why it does not, auto falls back to the CPU") {
  CHECK(Device::open("cpu").is_cpu());
  CHECK_THROWS_AS(Device::open("tpu"), Error);
  CHECK_THROWS_AS(Device::open("cuda:x"), Error);
  std::string reason;
  if (!open_cuda_backend(0, reason)) {
    CHECK_FALSE(reason.empty());
    CHECK_THROWS_AS(Device::open("cuda"), Error);
    CHECK(Device::open("auto").is_cpu());
  }
}

TEST_CASE("the allocator keeps blocks, counts them, and refuses what cannot be had") {
  release_cache();
  const MemoryStats before = memory_stats();
  void* first = nullptr;
  {
    const Array a = zeros({1000}, DType::f64);
    first = a.storage()->data;
    CHECK(memory_stats().live - before.live >= 8000);
  }
  CHECK(memory_stats().live == before.live);
  CHECK(memory_stats().cached > before.cached);
  CHECK(zeros({1000}, DType::f64).storage()->data == first);
  { const Array big = zeros({3 << 20}, DType::u8); }
  release_cache();
  CHECK(memory_stats().cached == 0);
  try {
    const Array huge({int64_t{1} << 59}, DType::u8);
    FAIL("no error");
  } catch (const Error& error) {
    CHECK(std::string(error.what()).find("out of memory") != std::string::npos);
    CHECK(error.exit_code() == 1);
  }
  CHECK(zeros({10}, DType::f32).size() == 10);
}

TEST_CASE("what the allocator keeps has a bound, whatever sizes come") {
  // each block is larger than all that are kept, so none of them is used again; nobody touches
  // their pages
  constexpr size_t mib = size_t{1} << 20;
  release_cache();
  size_t asked = 0;
  size_t most = 0;
  for (size_t size = 100 * mib; size <= 300 * mib; size += 2 * mib) {
    deallocate(allocate({}, size));
    asked += size;
    most = std::max(most, memory_stats().cached);
  }
  CHECK(most < asked / 2);
  release_cache();
}

TEST_CASE("Philox4x32-10 gives the published vectors") {
  // Random123 1.14, kat_vectors
  const Philox4 zero = philox4x32_10({{0, 0, 0, 0}}, {0, 0});
  CHECK(zero.v[0] == 0x6627e8d5u);
  CHECK(zero.v[1] == 0xe169c58du);
  CHECK(zero.v[2] == 0xbc57ac4cu);
  CHECK(zero.v[3] == 0x9b00dbd8u);
  const Philox4 ones = philox4x32_10({{~0u, ~0u, ~0u, ~0u}}, {~0u, ~0u});
  CHECK(ones.v[0] == 0x408f276du);
  CHECK(ones.v[1] == 0x41c83b0eu);
  CHECK(ones.v[2] == 0xa20bc7c6u);
  CHECK(ones.v[3] == 0x6d5451fdu);
  const Philox4 pi = philox4x32_10({{0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u}},
                                   {0xa4093822u, 0x299f31d0u});
  CHECK(pi.v[0] == 0xd16cfe09u);
  CHECK(pi.v[1] == 0x94fdccebu);
  CHECK(pi.v[2] == 0x5001e420u);
  CHECK(pi.v[3] == 0x24126ea1u);
}

TEST_CASE("random numbers: any thread count, any piece, right moments") {
  const Key key = Key(5).at("test").at(3);
  const int64_t n = 200000;
  const std::vector<float> one = normal(key, {n}, DType::f32).to_vector<float>();
  set_cpu_threads(3);
  CHECK(normal(key, {n}, DType::f32).to_vector<float>() == one);
  set_cpu_threads(1);
  const std::vector<float> head = normal(key, {10}, DType::f32).to_vector<float>();
  CHECK(std::equal(head.begin(), head.end(), one.begin()));
  double mean = 0, square = 0, fourth = 0;
  for (const double v : one) mean += v, square += v * v, fourth += v * v * v * v;
  // five standard errors of each moment of N(0, 1): sqrt(1, 2, 96) / sqrt(n)
  const double se = 5 / std::sqrt(static_cast<double>(n));
  CHECK(std::abs(mean / n) < se);
  CHECK(std::abs(square / n - 1) < std::sqrt(2.0) * se);
  CHECK(std::abs(fourth / n - 3) < std::sqrt(96.0) * se);
  const std::vector<double> u = uniform(key, {n}, DType::f64, 2, 3).to_vector<double>();
  double sum = 0;
  for (const double v : u) {
    CHECK_UNARY(v >= 2 && v < 3);
    sum += v;
  }
  CHECK(std::abs(sum / n - 2.5) < std::sqrt(1.0 / 12) * se);
  CHECK(Key(1).at(2).value() != Key(2).at(1).value());
  CHECK(Key(1).at("a").value() != Key(1).at("b").value());
}

TEST_CASE("a permutation is a permutation") {
  const std::vector<int32_t> p = permutation(Key(3), 1000).to_vector<int32_t>();
  std::vector<int> seen(1000);
  for (const int32_t i : p) ++seen[static_cast<size_t>(i)];
  CHECK(seen == std::vector<int>(1000, 1));
  CHECK(p != permutation(Key(4), 1000).to_vector<int32_t>());
}

TEST_CASE(
    "reductions over every set of axes agree with a plain loop, for 1 and 3 threads, bit for bit") {
  const Array x = uniform(Key(9), {7, 33, 40, 9}, DType::f32, -1, 1);
  const std::vector<float> v = x.to_vector<float>();
  for (unsigned mask = 0; mask < 16; ++mask) {
    Axes axes;
    Shape shape = x.shape();
    for (int axis = 0; axis < 4; ++axis)
      if (mask & 1u << axis) axes.push_back(axis), shape[axis] = 1;
    std::vector<double> expected(static_cast<size_t>(shape.size()));
    for (size_t i = 0; i < v.size(); ++i) {
      size_t rest = i, at = 0, stride = 1;
      for (int axis = 3; axis >= 0; --axis) {
        const size_t index = rest % static_cast<size_t>(x.dim(axis));
        rest /= static_cast<size_t>(x.dim(axis));
        if (shape[axis] != 1) at += index * stride, stride *= static_cast<size_t>(shape[axis]);
      }
      expected[at] += v[i];
    }
    const std::vector<float> sums = sum(Tensor(x), axes).array().to_vector<float>();
    set_cpu_threads(3);
    CHECK(sum(Tensor(x), axes).array().to_vector<float>() == sums);
    set_cpu_threads(1);
    REQUIRE(sums.size() == expected.size());
    for (size_t i = 0; i < sums.size(); ++i)  // accumulated in f64, rounded once
      CHECK(std::abs(sums[i] - expected[i]) <= 6e-8 * std::abs(expected[i]) + 1e-10);
  }
  const Tensor m = from_vector<double>({1, 5, 5, 2, -1, -3}, {2, 3});
  CHECK(argmax(m, 1).to_vector<int32_t>() == std::vector<int32_t>{1, 0});
  CHECK(max(m, {1}).array().to_vector<double>() == std::vector<double>{5, 2});
  CHECK(min(m, {0}).array().to_vector<double>() == std::vector<double>{1, -1, -3});
}

TEST_CASE("arrays and tensors print their numbers, of long axes the ends") {
  const Array x = from_vector<float>(
      {1, -2.5, 3.14159265f, 1e10f, 0, std::numeric_limits<float>::infinity()}, {2, 3});
  CHECK(to_string(x) ==
        "f32[2, 3]\n"
        "[[    1,  -2.5, 3.142],\n"
        " [1e+10,     0,   inf]]");
  CHECK(to_string(Tensor(x[0]), 2) == "f32[3] [   1, -2.5,  3.1]");
  CHECK(to_string(arange(12, DType::i32)) == "i32[12] [ 0,  1,  2, ...,  9, 10, 11]");
  CHECK(to_string(arange(10, DType::i32)) == "i32[10] [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]");
  CHECK(to_string(full({}, 2147483647, DType::i32)) == "i32[] 2147483647");
  CHECK(to_string(reshape(arange(4 * 1000, DType::f64), {2, 1000, 2})) ==
        "f64[2, 1000, 2]\n"
        "[[[   0,    1],\n"
        "  [   2,    3],\n"
        "  [   4,    5],\n"
        "  ...,\n"
        "  [1994, 1995],\n"
        "  [1996, 1997],\n"
        "  [1998, 1999]],\n"
        "\n"
        " [[2000, 2001],\n"
        "  [2002, 2003],\n"
        "  [2004, 2005],\n"
        "  ...,\n"
        "  [3994, 3995],\n"
        "  [3996, 3997],\n"
        "  [3998, 3999]]]");
  CHECK(to_string(zeros({2, 0}, DType::f32)) == "f32[2, 0]\n[[],\n []]");
  CHECK(to_string(Array()) == "(no array)");
  CHECK(to_string(Tensor()) == "(no array)");
  // inside a transform the numbers are those of the value
  const auto printed = [&](const Tensor& t) {
    CHECK(to_string(t) == to_string(x));
    return sum(t * t);
  };
  (void)grad(printed, Tensor(x));
  CHECK_THROWS_WITH_AS(to_string(x, 0), doctest::Contains("1 to 17"), Error);
}

TEST_CASE("a row of an array is a view, of a tensor it has a derivative") {
  const Array x = arange(24, DType::f64);
  const Array cube = reshape(x, {2, 3, 4});
  CHECK(cube[1].shape() == Shape{3, 4});
  CHECK(cube[1][2][3].item() == 23);
  CHECK(transpose(cube[1])[3].to_vector<double>() == std::vector<double>{15, 19, 23});
  CHECK(cube[1].storage() == x.storage());
  const Tensor g = grad([](const Tensor& t) { return sum(square(t[1][0])); }, Tensor(cube));
  std::vector<double> wanted(24, 0.0);
  for (size_t i = 12; i < 16; ++i) wanted[i] = 2 * static_cast<double>(i);
  CHECK(g.to_vector<double>() == wanted);
  CHECK_THROWS_WITH_AS(cube[2], "x[i]: no row 2 in f64[2, 3, 4]", Error);
  const Tensor tensor = cube;
  CHECK_THROWS_WITH_AS(tensor[-1], doctest::Contains("no row -1"), Error);
  CHECK_THROWS_WITH_AS(cube[0][0][0][0], doctest::Contains("no row 0 in f64[]"), Error);
  CHECK_THROWS_WITH_AS(Tensor()[0], doctest::Contains("no array"), Error);
}

TEST_CASE("axes are a type of their own: one, some, all, counted from either end") {
  const Tensor x = reshape(arange(24, DType::f64), {2, 3, 4});
  CHECK(sum(x, 0).shape() == Shape{3, 4});
  CHECK(sum(x, {0, -1}).to_vector<double>() == std::vector<double>{60, 92, 124});
  CHECK(sum(x, Axes::all(3)).item() == 276);
  CHECK(sum(x, Axes()).shape() == x.shape());
  CHECK(permute(x, {-1, 0, 1}).shape() == Shape{4, 2, 3});
  CHECK(permute(x.array(), {-1, 0, 1}).to_vector<double>() ==
        permute(x, {2, 0, 1}).to_vector<double>());
  static_assert(!std::is_convertible_v<Shape, Axes>);
  CHECK_THROWS_WITH_AS(sum(x, 3), doctest::Contains("axes [3] are not axes of f64[2, 3, 4]"),
                       Error);
  CHECK_THROWS_WITH_AS(permute(x, {0, 0, -3}), doctest::Contains("each once"), Error);
  CHECK_THROWS_WITH_AS(sum(x, {0, 1, 2, 3, 4, 5, 6}), doctest::Contains("more than 6"), Error);
}

TEST_CASE("the norm holds wherever it is a number of the dtype") {
  const std::vector<double> triangle{3, 4};
  for (const double size : {1.0, 0x1p1000, 0x1p-1000, 0x1p-1070, 0x1p505, 0x1p-405}) {
    const Tensor x = Tensor(from_vector(triangle, {2})) * size;
    CHECK(norm(x).item() == 5 * size);  // powers of two round nothing
    const Tensor slope = grad([](const Tensor& t) { return norm(t); }, x);
    CHECK(std::abs(slope[0].item() - 0.6) <= 4e-16);
  }
  for (const double size : {1.0, 0x1p120, 0x1p-120, 0x1p-147})
    CHECK(norm(cast(Tensor(from_vector(triangle, {2})) * size, DType::f32)).item() == 5 * size);
  const Tensor rows = from_vector<float>({3, 4, 0, 0, 6e30f, 8e30f}, {3, 2});
  CHECK(norm(rows, 1).to_vector<float>()[0] == 5);
  CHECK(norm(rows, -1).to_vector<float>()[1] == 0);
  CHECK(std::abs(norm(rows, -1)[2].item() / 1e31 - 1) <=
        2 * 1.2e-7);  // a root and a sum of two, in f32
  CHECK(norm(rows, 1, true).shape() == Shape{3, 1});
  CHECK(std::isinf(
      norm(from_vector<float>({1, -std::numeric_limits<float>::infinity()}, {2})).item()));
  CHECK(std::isnan(norm(from_vector<double>({1, std::nan("")}, {2})).item()));
  CHECK(norm(zeros({0, 3}, DType::f32), 0).to_vector<float>() == std::vector<float>{0, 0, 0});
  // between: the bits of the plain formula
  const Tensor x = uniform(Key(5), {100, 7}, DType::f32, -3, 3);
  CHECK(norm(x, 1).to_vector<float>() == sqrt(sum(square(x), 1)).to_vector<float>());
}

TEST_CASE(
    "functions of arrays take tensors, but not inside a transform, where a derivative would be "
    "lost") {
  const Tensor one = full({2}, 1, DType::f64);
  const Array& kept =
      one * 2.0;  // the tensor ends with this line, the array that was made of it does not
  CHECK(kept.to_vector<double>() == std::vector<double>{2, 2});
  const Tensor x = from_vector<double>({1, 2}, {2});
  const Array& numbers = x;
  CHECK(numbers.storage() == x.array().storage());
  assign(zeros({2}, DType::f64), x);
  const auto loses = [](const Tensor& t) { return sum(t * copy_of(t)); };
  CHECK_THROWS_WITH_AS(grad(loses, x), doctest::Contains("stop_gradient"), Error);
  const Tensor g = grad([](const Tensor& t) { return sum(t * copy_of(stop_gradient(t))); }, x);
  CHECK(g.to_vector<double>() == std::vector<double>{1, 2});
}

TEST_CASE("numbers of a program are what they are: constants that end in zeros") {
  // cmake/compile_options.cmake: a compiler made four ones of the first
  CHECK(from_vector<double>({1, 1, 0, 0}, {4}).to_vector<double>()[2] == 0);
  CHECK(from_vector<double>({3, 3, 3, 0}, {4}).to_vector<double>()[3] == 0);
  CHECK(from_vector<double>({1, 1, 1, 1, 1, 0, 0, 0}, {8}).to_vector<double>()[5] == 0);
  CHECK(from_vector<float>({1, 1, 1, 1, 0, 0, 0, 0}, {8}).to_vector<float>()[4] == 0);
}
