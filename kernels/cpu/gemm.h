// Matrix products on the CPU.
#pragma once
#include <cstdint>

namespace basin::cpu {

/// One strided operand: element (r, c) is data[r * row_stride + c * col_stride] (strides in
/// elements, any values).
template <class T>
struct Matrix {
  T* data;
  int64_t row_stride, col_stride;
};

/// Called on finished row segments while they are hot: row index, first column, count, pointer to
/// the first value.
template <class T>
using Epilogue = void (*)(const void* context, T* row, int64_t row_index, int64_t col,
                          int64_t count);

/// C[m, n] = A[m, k] B[k, n] (+ C if accumulate); rows of C are ldc apart and contiguous. C must
/// not overlap A or B. The bits of the result depend on shapes and strides only, never on the
/// number of threads. Defined for float, double.
template <class T>
void gemm(int64_t m, int64_t n, int64_t k, Matrix<const T> a, Matrix<const T> b, T* c, int64_t ldc,
          bool accumulate = false, Epilogue<T> epilogue = nullptr, const void* context = nullptr);

}  // namespace basin::cpu
