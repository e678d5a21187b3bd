// Windows, sizes and borders of images as nodes of a Net.
#include <doctest/doctest.h>

#include "autograd/transforms.h"
#include "models/nets/net_builder.h"
#include "tests/files.h"

using namespace basin;
using basin::test::error_of;
using basin::test::has;

namespace {

/// A network with each of them.
NetBuilder every_operation() {
  NetBuilder b({2, 9, 8});
  int64_t h = b.conv(b.pad(0, {1, 1, 2, 0}, Border::reflect), "first", 4, {.padding = 0});
  h = b.max_pool(h, {{3, 3}, {2, 2}, {1, 1}});         // [4, 5, 4]
  h = b.resize(h, 6, 8);                               // [4, 6, 8]
  h = b.pixel_shuffle(b.conv(h, "second", 8), 2);      // [2, 12, 16]
  h = b.avg_pool(h, {{2, 3}, {2, 3}, {0, 1}}, false);  // [2, 6, 6]
  b.name("code", h = b.pixel_unshuffle(h, 3));         // [18, 2, 2]
  h = b.pad(b.pad(h, {0, 1, 1, 0}), {1, 1, 1, 1}, Border::replicate);
  b.name("output", b.global_mean(h));  // [18]
  return b;
}

/// The same by hand.
Tensor by_hand(const Tensors& p, const Tensor& x) {
  Tensor h = conv2d(pad2d(x, {1, 1, 2, 0}, Border::reflect), p[0], p[1]);
  h = resize_bilinear(max_pool2d(h, {{3, 3}, {2, 2}, {1, 1}}), {6, 8});
  h = pixel_shuffle(conv2d(h, p[2], p[3], {}, {{1, 1}, {1, 1}}), 2);
  h = pixel_unshuffle(avg_pool2d(h, {{2, 3}, {2, 3}, {0, 1}}, false), 3);
  return mean(pad2d(pad2d(h, {0, 1, 1, 0}), {1, 1, 1, 1}, Border::replicate), {2, 3});
}

}  // namespace

TEST_CASE("net: windows, sizes and borders of images are those of the operations") {
  const Net net = every_operation().drawn(Key(1), {}, DType::f64);
  CHECK(net.shape(net.value("code")) == Shape{18, 2, 2});
  CHECK(net.shape(net.value("output")) == Shape{18});
  const Tensor x = normal(Key(2), {3, 2, 9, 8}, DType::f64);
  CHECK(net(x).array().to_vector<double>() ==
        by_hand(net.parameters(), x).array().to_vector<double>());
  CHECK(net.decode(net.encode(x)).array().to_vector<double>() ==
        net(x).array().to_vector<double>());

  // the program says all of it
  test::TemporaryFolder folder;
  save_net(folder / "net.safetensors", net);
  const Net again = load_net(folder / "net.safetensors", DType::f64);
  CHECK(again.program_text() == net.program_text());
  CHECK(again(x).array().to_vector<double>() == net(x).array().to_vector<double>());
}

TEST_CASE("net: windows, sizes and borders that do not fit are refused, and say where") {
  NetBuilder b({4, 6, 5});
  using Attributes = std::map<std::string, std::vector<double>, std::less<>>;
  const auto refused = [&](const char* op, const Attributes& attributes) {
    const std::string error = error_of([&] { b.node({op, {0}, {}, attributes, {}}, "here"); });
    CHECK(has(error, std::string("net: here (") + op + "): "));
    return error;
  };
  CHECK(has(refused("max_pool2d", {{"size", {7}}}), "the window 7 is larger than the side 6"));
  CHECK(has(refused("max_pool2d", {{"size", {2, 8}}, {"padding", {0, 1}}}), "than the side 5"));
  CHECK(has(refused("avg_pool2d", {{"size", {2}}, {"padding", {2}}}), "more than half the window"));
  CHECK(has(refused("avg_pool2d", {{"stride", {0}}}), "stride 0 is below 1"));
  CHECK(has(refused("avg_pool2d", {{"count_padding", {2}}}), "must be 0 or 1"));
  CHECK(has(refused("max_pool2d", {{"count_padding", {1}}}), "no attribute count_padding"));
  CHECK(has(refused("max_pool2d", {{"size", {1, 2, 3}}}), "one or two numbers"));
  const Attributes huge = {{"size", {0x1p26}}, {"padding", {0x1p25}}, {"stride", {0x1p26}}};
  CHECK(has(refused("max_pool2d", huge), "too many elements"));
  CHECK(has(refused("resize_bilinear", {}), "needs the size"));
  CHECK(has(refused("resize_bilinear", {{"size", {0, 4}}}), "size 0 is below 1"));
  CHECK(has(refused("resize_bilinear", {{"size", {67108864}}}), "more than 2^36 numbers"));
  CHECK(has(refused("pixel_shuffle", {{"factor", {3}}}), "does not divide the channels"));
  CHECK(has(refused("pixel_shuffle", {{"factor", {67108864}}}), "does not divide the channels"));
  CHECK(has(refused("pixel_unshuffle", {}), "does not divide height and width"));
  CHECK(has(refused("pad_zeros", {}), "needs margins"));
  CHECK(has(refused("pad_zeros", {{"margins", {1, 2, -1, 0}}}), "margin -1 is below 0"));
  CHECK(has(refused("pad_reflect", {{"margins", {5, 5, 5, 0}}}), "a reflection of 5"));
  NetBuilder flat({8});
  CHECK(has(error_of([&] { flat.max_pool(0); }), "needs [channels, height, width], got [8]"));
}
