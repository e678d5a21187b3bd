// Linear networks as dense matrices acting on rows of pixels (appendix E of Radhakrishnan et al.,
// Memorization in Overparameterized Autoencoders). Images are flattened with channels outermost,
// then rows, then columns; the zero border of a padded convolution is no part of them.
#pragma once
#include "models/dynamics/dynamics.h"
#include "models/nets/net.h"

namespace basin {

/// Bytes that a dense matrix and what it is made of may take.
constexpr int64_t default_memory_limit = int64_t{4} << 30;

/// y = M x for y = conv2d(x, weight) without bias: f64 [O * H' * W', C * H * W]. Its transpose is
/// conv_transpose2d.
Array conv_matrix(const Array& weight, const Shape& image, const Window& window);
/// y = M x for nearest upsampling: f64 [C * H * factor * W * factor, C * H * W].
Array upsample_matrix(const Shape& image, int64_t factor);

/// The linear part (biases are left out) of a network without activations, as the product of its
/// layers' matrices: f64 [outputs, inputs]. Errors: a node that is not linear, or has no matrix
/// here; more bytes than the limit.
Array linear_matrix(const Net& net, int64_t memory_limit = default_memory_limit);

/// The same of any map that is linear up to a constant, from jvps along the unit vectors: the dtype
/// of `like`, whose device it uses, [outputs, d]. Errors: more bytes than the limit.
Array linear_matrix(const Map& map, const Tensor& like,
                    int64_t memory_limit = default_memory_limit);

}  // namespace basin
