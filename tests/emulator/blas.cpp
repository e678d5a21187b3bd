// cuBLAS and cuBLASLt in plain loops: column-major products with sums in f64.
#include <cublasLt.h>

#include "emulator.h"

struct EmulatedBlas {};
struct EmulatedLt {};
struct EmulatedLtPreference {};
struct EmulatedLtMatmul {
  cublasOperation_t trans_a = CUBLAS_OP_N, trans_b = CUBLAS_OP_N;
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  const void* bias = nullptr;
};
struct EmulatedLtLayout {
  cudaDataType type;
  uint64_t rows, columns;
  int64_t ld, stride = 0;
  int batch = 1;
};

namespace {

struct Operand {
  const void* data;
  int64_t ld, stride;
  bool transposed;

  template <class T>
  double at(int64_t row, int64_t column, int64_t batch) const {
    const auto* p = static_cast<const T*>(data) + batch * stride;
    return static_cast<double>(transposed ? p[row * ld + column] : p[column * ld + row]);
  }
};

template <class T>
void product(int64_t m, int64_t n, int64_t k, double alpha, Operand a, Operand b, double beta, T* c, int64_t ldc,
             int64_t stride_c, const T* bias, int64_t batches) {
  const emulated::MemoryAccess access;
  for (int64_t batch = 0; batch < batches; ++batch)
    for (int64_t j = 0; j < n; ++j)
      for (int64_t i = 0; i < m; ++i) {
        double sum = 0;
        for (int64_t p = 0; p < k; ++p) sum += a.at<T>(i, p, batch) * b.at<T>(p, j, batch);
        T& to = c[batch * stride_c + j * ldc + i];
        // beta = 0 must not read what is there
        const double before = beta == 0 ? 0 : beta * static_cast<double>(to);
        to = static_cast<T>(alpha * sum + before + (bias ? static_cast<double>(bias[i]) : 0));
      }
}

cublasStatus_t start(bool f64, int64_t m, int64_t n, int64_t k, double alpha, const Operand& a, const Operand& b,
                     double beta, void* c, int64_t ldc, int64_t stride_c, const void* bias, int64_t batches) {
  const int64_t rows_a = a.transposed ? k : m, rows_b = b.transposed ? n : k;
  if (m < 0 || n < 0 || k < 0 || a.ld < std::max<int64_t>(1, rows_a) || b.ld < std::max<int64_t>(1, rows_b) ||
      ldc < std::max<int64_t>(1, m))
    return CUBLAS_STATUS_INVALID_VALUE;
  const cudaError_t status = emulated::enqueue([=] {
    if (f64)
      product<double>(m, n, k, alpha, a, b, beta, static_cast<double*>(c), ldc, stride_c,
                      static_cast<const double*>(bias), batches);
    else
      product<float>(m, n, k, alpha, a, b, beta, static_cast<float*>(c), ldc, stride_c, static_cast<const float*>(bias),
                     batches);
    return cudaSuccess;
  });
  return status == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

double scalar(bool f64, const void* p) {
  return f64 ? *static_cast<const double*>(p) : static_cast<double>(*static_cast<const float*>(p));
}

}  // namespace

const char* cublasGetStatusName(cublasStatus_t status) {
  return status == CUBLAS_STATUS_INVALID_VALUE ? "CUBLAS_STATUS_INVALID_VALUE" : "CUBLAS_STATUS";
}
const char* cublasGetStatusString(cublasStatus_t) {
  return "as the emulator sees it";
}
cublasStatus_t cublasCreate(cublasHandle_t* handle) {
  *handle = new EmulatedBlas;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasDestroy(cublasHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t, cublasOperation_t transa, cublasOperation_t transb, int m,
                                          int n, int k, const void* alpha, const void* a, cudaDataType type_a, int lda,
                                          long long stride_a, const void* b, cudaDataType type_b, int ldb,
                                          long long stride_b, const void* beta, void* c, cudaDataType type_c, int ldc,
                                          long long stride_c, int batch, cublasComputeType_t compute,
                                          cublasGemmAlgo_t) {
  const bool f64 = type_a == CUDA_R_64F;
  if (type_a != type_b || type_a != type_c || (!f64 && type_a != CUDA_R_32F) ||
      f64 != (compute == CUBLAS_COMPUTE_64F || compute == CUBLAS_COMPUTE_64F_PEDANTIC))
    return CUBLAS_STATUS_NOT_SUPPORTED;
  return start(f64, m, n, k, scalar(f64, alpha), {a, lda, stride_a, transa != CUBLAS_OP_N},
               {b, ldb, stride_b, transb != CUBLAS_OP_N}, scalar(f64, beta), c, ldc, stride_c, nullptr, batch);
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  *handle = new EmulatedLt;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* d, cublasComputeType_t, cudaDataType_t) {
  *d = new EmulatedLtMatmul;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t d) {
  delete d;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t d, cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, size_t) {
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
      d->trans_a = *static_cast<const cublasOperation_t*>(value);
      break;
    case CUBLASLT_MATMUL_DESC_TRANSB:
      d->trans_b = *static_cast<const cublasOperation_t*>(value);
      break;
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      d->epilogue = *static_cast<const cublasLtEpilogue_t*>(value);
      break;
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      d->bias = *static_cast<const void* const*>(value);
      break;
  }
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* l, cudaDataType type, uint64_t rows, uint64_t columns,
                                          int64_t ld) {
  *l = new EmulatedLtLayout{type, rows, columns, ld};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t l) {
  delete l;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t l, cublasLtMatrixLayoutAttribute_t attribute,
                                                const void* value, size_t) {
  if (attribute == CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT) l->batch = *static_cast<const int*>(value);
  if (attribute == CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET) l->stride = *static_cast<const int64_t*>(value);
  return attribute == CUBLASLT_MATRIX_LAYOUT_ORDER ? CUBLAS_STATUS_NOT_SUPPORTED : CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* p) {
  *p = new EmulatedLtPreference;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t p) {
  delete p;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t, cublasLtMatmulPreferenceAttributes_t,
                                                    const void*, size_t) {
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t, cublasLtMatrixLayout_t,
                                              cublasLtMatrixLayout_t, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                              cublasLtMatmulPreference_t, int wanted,
                                              cublasLtMatmulHeuristicResult_t* results, int* found) {
  *found = wanted > 0 ? 1 : 0;
  if (wanted > 0) *results = {};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t d, const void* alpha, const void* a,
                              cublasLtMatrixLayout_t la, const void* b, cublasLtMatrixLayout_t lb, const void* beta,
                              const void* c, cublasLtMatrixLayout_t, void* out, cublasLtMatrixLayout_t lo,
                              const cublasLtMatmulAlgo_t*, void*, size_t, cudaStream_t) {
  const bool f64 = la->type == CUDA_R_64F;
  if (scalar(f64, beta) != 0 && c != out) return CUBLAS_STATUS_NOT_SUPPORTED;
  const uint64_t k = d->trans_a == CUBLAS_OP_N ? la->columns : la->rows;
  if (k != (d->trans_b == CUBLAS_OP_N ? lb->rows : lb->columns)) return CUBLAS_STATUS_INVALID_VALUE;
  return start(f64, static_cast<int64_t>(lo->rows), static_cast<int64_t>(lo->columns), static_cast<int64_t>(k),
               scalar(f64, alpha), {a, la->ld, la->stride, d->trans_a != CUBLAS_OP_N},
               {b, lb->ld, lb->stride, d->trans_b != CUBLAS_OP_N}, scalar(f64, beta), out, lo->ld, lo->stride,
               d->epilogue == CUBLASLT_EPILOGUE_BIAS ? d->bias : nullptr, lo->batch);
}
