// The host side of the cuDNN path: the cache of plans, and, where the library can be loaded, the
// descriptors, which need no GPU up to the graph.
#include "kernels/cuda/cudnn_graph.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

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
  CHECK(built == 2);
  CHECK(cache.get({3, 3}, [] { return std::unique_ptr<int>(); }) == nullptr);
  CHECK(cache.get({3, 3}, build) == nullptr);
  CHECK(built == 2);
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
  CHECK(refuses(MathMode::f32, false, CUDNN_NUMERICAL_NOTE_WINOGRAD));
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
  for (const Unary f : {Unary::identity, Unary::relu, Unary::leaky_relu})
    for (const bool bias : {false, true}) {
      const size_t operations = 1 + (f != Unary::identity) + bias;
      CHECK(convolution_graph(*cudnn, ConvKind::forward, y, x, w, bias, {f, 0.1}, window, 16)
                .size() == operations);
      CHECK(convolution_graph(*cudnn, ConvKind::input_grad, x, y, w, bias, {f, 0.1}, window, 16)
                .size() == operations);
    }
  CHECK(convolution_graph(*cudnn, ConvKind::weight_grad, w, x, y, false, {}, window, 16).size() ==
        1);

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

#if CUDNN_VERSION >= 90800
TEST_CASE(
    "cuDNN has exact and deterministic plans for a convolutional autoencoder on a GPU that is not "
    "here") {
  std::string reason;
  const Cudnn* cudnn = Cudnn::load(reason);
  if (!cudnn) {
    MESSAGE("skipped, cuDNN cannot be loaded: " << reason);
    return;
  }
  // an H200 by its data sheet
  const std::string device =
      R"({"version":1,"deviceName":"NVIDIA H200","deviceVer":900,"driverVer":13000,"cudaDeviceId":0,"pciDeviceId":0,
          "multiProcessorCount":132,"warpSize":32,"maxGridSize":[2147483647,65535,65535],"maxBlockSize":[1024,1024,64],
          "regsPerBlock":65536,"maxRegistersPerSM":65536,"maxSharedMemoryPerBlock":49152,
          "maxSharedMemoryPerBlockOptin":232448,"reservedSharedMemoryPerBlock":1024,"maxCtasPerSM":32,
          "maxThreadsPerBlock":1024,"maxThreadsPerSM":2048,"isTccDriver":0,"supportCoopLaunch":1,
          "totalGlobalMem":150754820096,"smClockRateKHz":1980000,"memClockRateKHz":3201000,"l2CacheSize":62914560})";
  std::optional<Descriptor> properties;
  try {
    properties.emplace(*cudnn, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, "the properties of a device");
    properties
        ->set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, device.data(),
              static_cast<int64_t>(device.size()))
        .finalize();
  } catch (
      const CudnnError& error) {  // how a device is described belongs to the version of the library
    MESSAGE("skipped, this cuDNN does not take the description of the device: " << error.what());
    return;
  }
  const CudnnTarget target{*cudnn, nullptr, &*properties};
  const Window window{{2, 2}, {1, 1}};
  const int64_t channels[] = {3, 32, 64, 128, 256}, limit = int64_t{256} << 20;
  for (int layer = 0; layer < 4; ++layer) {
    const int64_t in = channels[layer], out = channels[layer + 1], size = int64_t{32} >> layer;
    const Shape x{128, in, size, size}, w{out, in, 3, 3}, y{128, out, size / 2, size / 2};
    const auto plans = [&](ConvKind kind, const Shape& to, const Shape& a, const Shape& b,
                           bool fused, MathMode mode, int64_t workspace) {
      const auto graph = convolution_graph(*cudnn, kind, to, a, b, fused,
                                           {fused ? Unary::relu : Unary::identity}, window, 16);
      return find_plans(target, graph, refused_notes(mode, false), workspace, 100);
    };
    const auto exact = plans(ConvKind::forward, y, x, w, false, MathMode::f32, limit);
    CHECK(exact.size() > 0);
    CHECK(exact.size() < plans(ConvKind::forward, y, x, w, false, MathMode::tf32, limit).size());
    CHECK(plans(ConvKind::forward, y, x, w, true, MathMode::f32, limit).size() > 0);
    CHECK(plans(ConvKind::input_grad, x, y, w, false, MathMode::f32, limit).size() > 0);
    CHECK(plans(ConvKind::weight_grad, w, x, y, false, MathMode::f32, limit).size() > 0);
    for (const CudnnPlan& plan : plans(ConvKind::weight_grad, w, x, y, false, MathMode::f32, 0))
      CHECK(plan.workspace == 0);
  }
  // the library reads the number of groups from the channels; depthwise, in groups, dilated
  const Shape image{64, 64, 32, 32};
  for (const auto& [groups, dilation] :
       {std::pair<int64_t, int64_t>{64, 1}, {4, 1}, {4, 2}, {1, 2}}) {
    const Window apart{{1, 1}, {dilation, dilation}, {dilation, dilation}, groups};
    const Shape w{64, 64 / groups, 3, 3};
    CAPTURE(w);
    const auto is_there = [&](ConvKind kind, const Shape& to, const Shape& b) {
      const auto graph = convolution_graph(*cudnn, kind, to, image, b, false, {}, apart, 16);
      return find_plans(target, graph, refused_notes(MathMode::f32, false), limit, 1).size() == 1;
    };
    CHECK(is_there(ConvKind::forward, image, w));
    CHECK(is_there(ConvKind::input_grad, image, w));
    CHECK(is_there(ConvKind::weight_grad, w, image));
  }
}
#endif
