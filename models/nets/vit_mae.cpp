// The masked autoencoder on patches.
#include "models/nets/networks.h"
#include "models/nets/tokens.h"

namespace basin {
namespace {

/// Layers of attention and of two dense layers, each behind a norm and with the input around it.
int64_t transformer(NetBuilder& net, int64_t x, const std::string& name, const VitMae::Part& part,
                    double eps) {
  const auto norm = [&](int64_t v, const std::string& layer) {
    return net.layer_norm(v, layer, 1, {}, eps);
  };
  for (int64_t i = 0; i < part.layers; ++i) {
    const std::string layer = text(name, ".", i, "."), inner = layer + "attention.attention.";
    int64_t h = norm(x, layer + "layernorm_before");
    const int64_t q = net.dense(h, inner + "query", part.width),
                  k = net.dense(h, inner + "key", part.width),
                  v = net.dense(h, inner + "value", part.width);
    h = attention(net, q, k, v, part.heads);
    x = net.add(net.dense(h, layer + "attention.output.dense", part.width), x);
    h = norm(x, layer + "layernorm_after");
    h = net.dense(h, layer + "intermediate.dense", part.hidden, {Unary::gelu});
    x = net.add(net.dense(h, layer + "output.dense", part.width), x);
  }
  return x;
}

}  // namespace

int64_t VitMae::add(NetBuilder& net, int64_t image) const {
  const Shape shape = net.shape(image);
  require(shape.rank == 3 && patch >= 1 && shape[1] % patch == 0 && shape[2] % patch == 0,
          "vit mae: patches of ", patch, " do not divide ", shape);
  const int64_t rows = shape[1] / patch, columns = shape[2] / patch;
  // a class token stands first, at no position
  const auto positions = [&](const std::string& name, int64_t width) {
    const Array table = zeros({rows * columns + 1, width}, DType::f64);
    assign(slice(table, 0, 1, rows * columns + 1), position_table(rows, columns, width));
    return net.fixed(name, table);
  };
  int64_t h =
      patches(net, image, "vit.embeddings.patch_embeddings.projection", encoder.width, patch);
  const int64_t token =
      net.constant("vit.embeddings.cls_token", zeros({1, encoder.width}, DType::f64));
  h = net.concat({token, h});
  h = net.add(h, positions("vit.embeddings.position_embeddings", encoder.width));
  h = transformer(net, h, "vit.encoder.layer", encoder, eps);
  h = net.layer_norm(h, "vit.layernorm", 1, {}, eps);
  net.name("code", h);
  net.constant("decoder.mask_token", zeros({1, decoder.width}, DType::f64));  // nothing is masked
  h = net.dense(h, "decoder.decoder_embed", decoder.width);
  h = net.add(h, positions("decoder.decoder_pos_embed", decoder.width));
  h = transformer(net, h, "decoder.decoder_layers", decoder, eps);
  h = net.layer_norm(h, "decoder.decoder_norm", 1, {}, eps);
  h = net.dense(h, "decoder.decoder_pred", patch * patch * shape[0]);
  h = net.slice(h, 0, 1, rows * columns + 1);
  h = net.reshape(h, {rows, columns, patch, patch, shape[0]});
  return net.reshape(net.permute(h, {4, 0, 2, 1, 3}), shape);
}

}  // namespace basin
