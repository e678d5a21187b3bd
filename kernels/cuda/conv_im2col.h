// The kernels of the im2col path, see conv_im2col.cu.
#pragma once
#include "kernels/conv_shape.h"
#include "kernels/cuda/stream.h"

namespace basin::cuda {

/// columns[taps, samples * points] of x[samples, in, H, W], f32 or f64.
void im2col(const Stream& stream, const ConvShape& shape, int64_t samples, DType dtype,
            const void* x, void* columns);
/// Its transpose.
void col2im(const Stream& stream, const ConvShape& shape, int64_t samples, DType dtype,
            const void* columns, void* x);

}  // namespace basin::cuda
