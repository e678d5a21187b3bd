// ResNet9, ResNet-34 and its autoencoder.
#include "models/nets/networks.h"

namespace basin {
namespace {

const Activation rectified{Unary::relu};

ConvOptions plain(int64_t kernel, int64_t stride = 1) {
  return {.kernel = kernel, .stride = stride, .bias = false};
}

/// "layer1.0" gives "layer1.0.conv2".
std::string part(const std::string& block, const char* layer, int number) {
  return block + "." + layer + std::to_string(number);
}

/// Two convolutions, and the input around them; the first convolution may halve the sides.
int64_t basic_block(NetBuilder& net, int64_t x, const std::string& name, int64_t channels,
                    int64_t stride) {
  int64_t h = net.conv(x, part(name, "conv", 1), channels, plain(3, stride));
  h = net.conv(net.batch_norm(h, part(name, "bn", 1), rectified), part(name, "conv", 2), channels,
               plain(3));
  h = net.batch_norm(h, part(name, "bn", 2));
  int64_t around = x;
  if (stride != 1 || net.shape(x)[0] != channels) {
    around = net.conv(x, name + ".downsample.0", channels, plain(1, stride));
    around = net.batch_norm(around, name + ".downsample.1");
  }
  return net.add(h, around, rectified);
}

/// The same mirrored: norm and ReLU before each convolution, the second of which may double the
/// sides.
int64_t mirrored_block(NetBuilder& net, int64_t x, const std::string& name, int64_t channels,
                       int64_t stride) {
  const ConvOptions up{.kernel = 3, .stride = 2, .output_padding = 1, .bias = false},
      up_around{.kernel = 1, .stride = 2, .output_padding = 1, .bias = false};
  int64_t h = net.batch_norm(x, part(name, "bn", 1), rectified);
  h = net.conv(h, part(name, "conv", 1), net.shape(x)[0], plain(3));
  h = net.batch_norm(h, part(name, "bn", 2), rectified);
  if (stride == 1) return net.add(net.conv(h, part(name, "conv", 2), channels, plain(3)), x);
  h = net.conv_transpose(h, part(name, "conv", 2), channels, up);
  return net.add(h, net.conv_transpose(x, name + ".upsample", channels, up_around));
}

constexpr int64_t depths[] = {3, 4, 6, 3};

}  // namespace

int64_t resnet9(NetBuilder& net, int64_t image, int64_t classes, int64_t width) {
  const auto unit = [&](int64_t x, const std::string& name, int64_t channels) {
    return net.batch_norm(net.conv(x, name + ".conv", channels, plain(3)), name + ".norm",
                          rectified);
  };
  const auto residual = [&](int64_t x, const std::string& name) {
    const int64_t channels = net.shape(x)[0];
    return net.add(x, unit(unit(x, name + ".0", channels), name + ".1", channels));
  };
  int64_t h = unit(image, "prep", width);
  h = residual(net.max_pool(unit(h, "layer1", 2 * width)), "residual1");
  h = net.max_pool(unit(h, "layer2", 4 * width));
  h = residual(net.max_pool(unit(h, "layer3", 8 * width)), "residual3");
  const int64_t height = net.shape(h)[1], breadth = net.shape(h)[2];
  h = net.max_pool(h, {.size = {height, breadth}});
  return net.dense(net.flatten(h), "head", classes);
}

int64_t resnet34(NetBuilder& net, int64_t image, int64_t width) {
  int64_t h = net.batch_norm(net.conv(image, "conv1", width, plain(7, 2)), "bn1", rectified);
  h = net.max_pool(h, {.size = {3, 3}, .stride = {2, 2}, .padding = {1, 1}});
  for (int64_t stage = 0; stage < 4; ++stage)
    for (int64_t block = 0; block < depths[stage]; ++block) {
      const int64_t stride = stage > 0 && block == 0 ? 2 : 1;
      h = basic_block(net, h, text("layer", stage + 1, ".", block), width << stage, stride);
    }
  return h;
}

int64_t resnet34_autoencoder(NetBuilder& net, int64_t image, int64_t code, int64_t width) {
  int64_t h = resnet34(net, image, width);
  const Shape last = net.shape(h);
  h = net.dense(net.flatten(h), "encoder.head", code);
  net.name("code", h);
  h = net.reshape(net.dense(h, "decoder.head", last.size()), last);
  for (int64_t stage = 3; stage >= 0; --stage)
    for (int64_t block = depths[stage] - 1; block >= 0; --block) {
      const int64_t stride = stage > 0 && block == 0 ? 2 : 1;
      const int64_t channels = stride == 2 ? width << (stage - 1) : width << stage;
      h = mirrored_block(net, h, text("decoder.layer", stage + 1, ".", block), channels, stride);
    }
  // the mirrored stem: one transposed convolution for the pool, one for the first convolution
  ConvOptions up{.kernel = 3, .stride = 2, .output_padding = 1, .bias = false};
  h = net.batch_norm(net.conv_transpose(h, "decoder.up", width, up), "decoder.bn1", rectified);
  up.kernel = 7;
  up.bias = true;
  up.activation = {Unary::sigmoid};
  return net.conv_transpose(h, "decoder.conv1", net.shape(image)[0], up);
}

}  // namespace basin
