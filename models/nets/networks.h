// Networks of papers, each a page that calls NetBuilder. Parameters have the names that their
// published files use. Each function adds nodes from an image on and returns the last value.
#pragma once
#include <string>
#include <vector>

#include "models/nets/net_builder.h"

namespace basin {

/// The residual network of nine layers for CIFAR-10 (DAWNBench, after D. Page): logits [classes].
/// `width`: channels of the first layer. Sides of the image are multiples of 8.
int64_t resnet9(NetBuilder& net, int64_t image, int64_t classes, int64_t width = 64);

/// ResNet-34 without its head: [8 width, H / 32, W / 32]. (He et al. 2016, table 1; names of
/// torchvision)
int64_t resnet34(NetBuilder& net, int64_t image, int64_t width = 64);

/// resnet34, a dense code named "code", and the mirrored decoder: norm and ReLU come before each
/// convolution, transposed ones double the sides; a sigmoid at the end. (Balestriero & LeCun 2024,
/// figures 5 and 6) Sides of the image are multiples of 32.
int64_t resnet34_autoencoder(NetBuilder& net, int64_t image, int64_t code, int64_t width = 64);

/// The autoencoder of Stable Diffusion; names of diffusers. "moments" is the mean and the log
/// variance of the code, "code" the mean. (Rombach et al. 2022) Sides of the image are multiples of
/// 2^(levels - 1).
struct AutoencoderKL {
  std::vector<int64_t> channels = {128, 256, 512, 512};  // of each level
  int64_t blocks = 2, latent = 4, groups = 32;
  int64_t add(NetBuilder& net, int64_t image) const;
};

/// The masked autoencoder on patches, nothing masked: "code" is the tokens after the last norm; the
/// parameter "decoder.mask_token" is for a patch that is not there. Names of transformers.
/// (He et al. 2022; ViT-MAE base)
struct VitMae {
  int64_t patch = 16;
  struct Part {
    int64_t width, layers, heads, hidden;
  };
  Part encoder = {768, 12, 12, 3072}, decoder = {512, 8, 16, 2048};
  double eps = 1e-12;
  int64_t add(NetBuilder& net, int64_t image) const;
};

}  // namespace basin
