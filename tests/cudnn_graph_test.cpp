// The host side of the cuDNN path: the cache of plans, and, where the library can be loaded, the descriptors, which
// need no GPU up to the graph.
#include "kernels/cuda/cudnn_graph.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>

#include "kernels/cuda/plan_cache.h"

using namespace basin;
using namespace basin::cuda;

TEST_CASE("plan cache: builds once, remembers refusals, forgets what threw") {
  PlanCache<std::array<int64_t, 2>, int> cache;
  int built = 0;
  const auto build = [&] { return std::make_unique<int>(++built); };
  CHECK(*cache.get({1, 2}, build) == 1);
  CHECK(*cache.get({1, 2}, build) == 1);
  CHECK(*cache.get({2, 1}, build) == 2);
  CHECK(cache.hits() == 1);
  CHECK(cache.get({3, 3}, [] { return std::unique_ptr<int>(); }) == nullptr);
  CHECK(cache.get({3, 3}, build) == nullptr);
  CHECK(cache.refused() == 1);
  CHECK(cache.size() == 3);
  const auto fails = []() -> std::unique_ptr<int> { throw std::runtime_error("recording"); };
  CHECK_THROWS_AS(cache.get({4, 4}, fails), std::runtime_error);
  CHECK(*cache.get({4, 4}, build) == 3);
}

TEST_CASE("engines that are not exact or not deterministic are refused") {
  const auto refuses = [](MathMode mode, bool nondeterministic, cudnnBackendNumericalNote_t note) {
    const auto notes = refused_notes(mode, nondeterministic);
    return std::find(notes.begin(), notes.end(), note) != notes.end();
  };
  CHECK(refuses(MathMode::f32, false, CUDNN_NUMERICAL_NOTE_TENSOR_CORE));
  CHECK(refuses(MathMode::f32, false, CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC));
  CHECK_FALSE(refuses(MathMode::f32, true, CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC));
  CHECK_FALSE(refuses(MathMode::tf32, false, CUDNN_NUMERICAL_NOTE_TENSOR_CORE));
  CHECK(refuses(MathMode::tf32, false, CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC));
}

TEST_CASE("cuDNN descriptors of a convolution with bias and activation") {
  std::string reason;
  const Cudnn* cudnn = Cudnn::load(reason);
  if (!cudnn) {
    MESSAGE("skipped, cuDNN cannot be loaded: " << reason);
    return;
  }
  CHECK(cudnn->version().substr(0, 2) == "9.");
  const Shape x{2, 3, 8, 8}, w{4, 3, 3, 3}, y{2, 4, 4, 4};
  const Window window{{2, 2}, {1, 1}};
  for (const Unary f : {Unary::identity, Unary::relu, Unary::leaky_relu, Unary::tanh, Unary::sigmoid})
    for (const bool bias : {false, true}) {
      const size_t operations = 1 + (f != Unary::identity) + bias;
      CHECK(convolution_graph(*cudnn, ConvKind::forward, y, x, w, bias, {f, 0.1}, window, 16).size() == operations);
      CHECK(convolution_graph(*cudnn, ConvKind::input_grad, x, y, w, bias, {f, 0.1}, window, 16).size() == operations);
    }
  CHECK(convolution_graph(*cudnn, ConvKind::weight_grad, w, x, y, false, {}, window, 16).size() == 1);

  // what does not fit is refused with the library's own words
  const auto message = [&](auto&& wrong) -> std::string {
    try {
      wrong();
    } catch (const CudnnError& error) {
      return error.what();
    }
    return "no error";
  };
  const std::string text = message([&] { tensor_descriptor(*cudnn, 1, {2, -3, 4, 4}, 16, false); });
  CAPTURE(text);
  CHECK(text.find("cuDNN: CUDNN_STATUS_BAD_PARAM") == 0);
  CHECK(text.find(" at a tensor: ") != std::string::npos);
}
