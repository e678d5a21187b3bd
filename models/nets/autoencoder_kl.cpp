// The autoencoder of Stable Diffusion.
#include "models/nets/networks.h"
#include "models/nets/tokens.h"

namespace basin {
namespace {

/// The layers that its two halves share.
struct Layers {
  NetBuilder& net;
  int64_t groups;
  Activation silu{Unary::silu};

  int64_t norm(int64_t x, const std::string& name, const Activation& f = {}) const {
    return net.group_norm(x, name, groups, f, 1e-6);
  }
  int64_t residual(int64_t x, const std::string& name, int64_t channels) const {
    int64_t h = net.conv(norm(x, name + ".norm1", silu), name + ".conv1", channels);
    h = net.conv(norm(h, name + ".norm2", silu), name + ".conv2", channels);
    if (net.shape(x)[0] == channels) return net.add(h, x);
    return net.add(h, net.conv(x, name + ".conv_shortcut", channels, {.kernel = 1}));
  }
  /// One head over all places, as wide as there are channels.
  int64_t self_attention(int64_t x, const std::string& name) const {
    const Shape image = net.shape(x);
    int64_t h = net.reshape(norm(x, name + ".group_norm"), {image[0], -1});
    h = net.permute(h, {1, 0});
    const auto to = [&](const char* which) { return net.dense(h, name + which, image[0]); };
    const int64_t q = to(".to_q"), k = to(".to_k"), v = to(".to_v");
    h = net.dense(attention(net, q, k, v, 1), name + ".to_out.0", image[0]);
    return net.add(net.reshape(net.permute(h, {1, 0}), image), x);
  }
  int64_t middle(int64_t x, const std::string& name) const {
    const int64_t channels = net.shape(x)[0];
    x = self_attention(residual(x, name + ".resnets.0", channels), name + ".attentions.0");
    return residual(x, name + ".resnets.1", channels);
  }
};

}  // namespace

int64_t AutoencoderKL::add(NetBuilder& net, int64_t image) const {
  require(!channels.empty() && blocks >= 1 && latent >= 1, "autoencoder KL: needs levels, blocks ",
          "and channels of the code");
  const Layers layers{net, groups};
  const auto levels = static_cast<int64_t>(channels.size());
  const int64_t widest = channels.back();
  int64_t h = net.conv(image, "encoder.conv_in", channels[0]);
  for (int64_t i = 0; i < levels; ++i) {
    const std::string level = text("encoder.down_blocks.", i);
    for (int64_t j = 0; j < blocks; ++j)
      h = layers.residual(h, text(level, ".resnets.", j), channels[static_cast<size_t>(i)]);
    if (i + 1 == levels) break;
    h = net.conv(net.pad(h, {.bottom = 1, .right = 1}), level + ".downsamplers.0.conv",
                 net.shape(h)[0], {.stride = 2, .padding = 0});
  }
  h = layers.norm(layers.middle(h, "encoder.mid_block"), "encoder.conv_norm_out", layers.silu);
  h = net.conv(h, "encoder.conv_out", 2 * latent);
  h = net.conv(h, "quant_conv", 2 * latent, {.kernel = 1});
  net.name("moments", h);
  h = net.slice(h, 0, 0, latent);
  net.name("code", h);
  h = net.conv(h, "post_quant_conv", latent, {.kernel = 1});
  h = layers.middle(net.conv(h, "decoder.conv_in", widest), "decoder.mid_block");
  for (int64_t i = 0; i < levels; ++i) {
    const std::string level = text("decoder.up_blocks.", i);
    for (int64_t j = 0; j <= blocks; ++j)
      h = layers.residual(h, text(level, ".resnets.", j),
                          channels[static_cast<size_t>(levels - 1 - i)]);
    if (i + 1 < levels)
      h = net.conv(net.upsample(h, 2), level + ".upsamplers.0.conv", net.shape(h)[0]);
  }
  h = layers.norm(h, "decoder.conv_norm_out", layers.silu);
  return net.conv(h, "decoder.conv_out", net.shape(image)[0]);
}

}  // namespace basin
