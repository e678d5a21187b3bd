// Sequences of tokens, values [tokens, width]: patches of an image, positions, attention.
#pragma once
#include <string>

#include "models/nets/net_builder.h"

namespace basin {

/// An image [C, H, W] as tokens [H W / patch^2, width], row after row: a convolution of kernel and
/// stride `patch` with parameters name + ".weight" and ".bias". (Dosovitskiy et al. 2021)
int64_t patches(NetBuilder& net, int64_t image, const std::string& name, int64_t width,
                int64_t patch);

/// softmax(q k^T / sqrt(width / heads)) v for each head, the heads side by side: q [m, width], k
/// and v [n, width]. (Vaswani et al. 2017, equation 1) Errors: a width that the heads do not
/// divide.
int64_t attention(NetBuilder& net, int64_t q, int64_t k, int64_t v, int64_t heads);

/// Sines and cosines of the column and the row of each patch, f64 [rows columns, width]: sine and
/// cosine of the column, sine and cosine of the row, a quarter each, with frequencies
/// 10000^(-4 i / width). (He et al. 2022) Errors: a width that is no multiple of 4.
Array position_table(int64_t rows, int64_t columns, int64_t width);

}  // namespace basin
