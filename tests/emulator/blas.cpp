// cuBLAS and cuBLASLt: one product in f64 behind all of their functions.
#include <vector>

#include "include/cublasLt.h"
#include "internal.h"

struct cublasContext {
  cudaStream_t stream = nullptr;
  cublasMath_t math = CUBLAS_DEFAULT_MATH;
};
struct cublasLtContext {};

namespace {

struct Matrix {
  const void* data;
  cudaDataType type;
  int64_t rows, columns, ld, stride;  // as stored
  bool transposed = false;

  size_t size() const { return type == CUDA_R_64F ? 8 : 4; }
  bool good(int64_t batch) const {
    if ((type != CUDA_R_32F && type != CUDA_R_64F) || rows < 0 || columns < 0 ||
        ld < std::max<int64_t>(1, rows))
      return false;
    if (rows == 0 || columns == 0 || batch == 0) return true;
    const int64_t last = (batch - 1) * stride + (columns - 1) * ld + rows;
    return reinterpret_cast<uintptr_t>(data) % size() == 0 && stride >= 0 &&
           emulator::on_device(data, static_cast<size_t>(last) * size());
  }
  double at(int64_t batch, int64_t row, int64_t column) const {
    const int64_t i = batch * stride + column * ld + row;
    return type == CUDA_R_64F ? static_cast<const double*>(data)[i]
                              : static_cast<double>(static_cast<const float*>(data)[i]);
  }
  void set(int64_t batch, int64_t row, int64_t column, double value) const {
    const int64_t i = batch * stride + column * ld + row;
    if (type == CUDA_R_64F)
      static_cast<double*>(const_cast<void*>(data))[i] = value;
    else
      static_cast<float*>(const_cast<void*>(data))[i] = static_cast<float>(value);
  }
};

struct Product {
  Matrix a, b, c, d;
  int64_t m, n, k, batch;
  double alpha, beta;
  int dropped;  // bits of the fraction of f32 that operands lose
  uint64_t epilogue;
  Matrix bias;
};

/// x with the last bits of its fraction rounded away, to even.
double rounded(double x, int dropped) {
  if (dropped == 0 || !std::isfinite(x)) return x;
  const auto bits = std::bit_cast<uint32_t>(static_cast<float>(x));
  const uint32_t half = (1u << (dropped - 1)) - 1 + (bits >> dropped & 1);
  return static_cast<double>(std::bit_cast<float>((bits + half) >> dropped << dropped));
}

int dropped_bits(cublasComputeType_t compute, cublasMath_t math, cudaDataType type) {
  if (type == CUDA_R_64F) return 0;
  if (compute == CUBLAS_COMPUTE_32F_FAST_16BF) return 16;
  if (compute == CUBLAS_COMPUTE_32F_FAST_TF32) return 13;
  return compute == CUBLAS_COMPUTE_32F && math == CUBLAS_TF32_TENSOR_OP_MATH ? 13 : 0;
}

void compute(const Product& p) {
  std::vector<double> left(static_cast<size_t>(p.m * p.k)), sums(static_cast<size_t>(p.m));
  for (int64_t z = 0; z < p.batch; ++z) {
    for (int64_t l = 0; l < p.k; ++l)
      for (int64_t i = 0; i < p.m; ++i)
        left[static_cast<size_t>(l * p.m + i)] =
            rounded(p.a.transposed ? p.a.at(z, l, i) : p.a.at(z, i, l), p.dropped);
    for (int64_t j = 0; j < p.n; ++j) {
      std::fill(sums.begin(), sums.end(), 0.0);
      for (int64_t l = 0; l < p.k; ++l) {
        const double right = rounded(p.b.transposed ? p.b.at(z, j, l) : p.b.at(z, l, j), p.dropped);
        const double* column = left.data() + l * p.m;
        for (int64_t i = 0; i < p.m; ++i) {
          double& sum = sums[static_cast<size_t>(i)];
          sum += column[i] * right;
          if (p.d.type == CUDA_R_32F)
            sum = static_cast<double>(static_cast<float>(sum));  // the worst it may do
        }
      }
      for (int64_t i = 0; i < p.m; ++i) {
        double value = p.alpha * sums[static_cast<size_t>(i)];
        if (p.beta != 0) value += p.beta * p.c.at(z, i, j);
        if (p.epilogue & CUBLASLT_EPILOGUE_BIAS) value += p.bias.at(0, i, 0);
        if (p.epilogue & CUBLASLT_EPILOGUE_RELU) value = value > 0 ? value : 0;
        p.d.set(z, i, j, value);
      }
    }
  }
}

cublasStatus_t submit(cudaStream_t stream, const Product& p) {
  if (p.m < 0 || p.n < 0 || p.k < 0 || p.batch < 0) return CUBLAS_STATUS_INVALID_VALUE;
  const bool with_bias = p.epilogue & CUBLASLT_EPILOGUE_BIAS, with_c = p.beta != 0;
  const auto good = [=] {
    return (p.k == 0 || (p.a.good(p.batch) && p.b.good(p.batch))) && p.d.good(p.batch) &&
           (!with_c || p.c.good(p.batch)) && (!with_bias || p.bias.good(1));
  };
  if (!good()) return CUBLAS_STATUS_INVALID_VALUE;
  const cudaError_t status = emulator::submit(stream, [=] {
    if (!good()) return cudaErrorIllegalAddress;  // freed since it was recorded
    compute(p);
    return cudaSuccess;
  });
  return status == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

cublasStatus_t set(cublasLtAttributes* attributes, int attribute, const void* value, size_t bytes) {
  if (!attributes || bytes > 8 || attribute < 0 || attribute > 31)
    return CUBLAS_STATUS_INVALID_VALUE;
  attributes->values[attribute] = 0;
  std::memcpy(&attributes->values[attribute], value, bytes);
  return CUBLAS_STATUS_SUCCESS;
}

template <class T>
cublasStatus_t destroy(T* p) {
  delete p;
  return CUBLAS_STATUS_SUCCESS;
}

Matrix matrix(const void* data, const cublasLtAttributes* layout) {
  const auto* v = layout->values;
  return {data,
          static_cast<cudaDataType>(v[CUBLASLT_MATRIX_LAYOUT_TYPE]),
          static_cast<int64_t>(v[CUBLASLT_MATRIX_LAYOUT_ROWS]),
          static_cast<int64_t>(v[CUBLASLT_MATRIX_LAYOUT_COLS]),
          static_cast<int64_t>(v[CUBLASLT_MATRIX_LAYOUT_LD]),
          static_cast<int64_t>(v[CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET])};
}

double scalar(const void* value, bool f64) {
  return f64 ? *static_cast<const double*>(value)
             : static_cast<double>(*static_cast<const float*>(value));
}

bool supported(const cublasLtAttributes* desc,
               std::initializer_list<const cublasLtAttributes*> layouts) {
  const uint64_t epilogue = desc->values[CUBLASLT_MATMUL_DESC_EPILOGUE];
  for (const auto* layout : layouts)
    if (layout->values[CUBLASLT_MATRIX_LAYOUT_ORDER] != CUBLASLT_ORDER_COL) return false;
  return epilogue == 0 || epilogue == 1 || epilogue == 2 || epilogue == 4 || epilogue == 6;
}

}  // namespace

const char* cublasGetStatusName(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "CUBLAS_STATUS_NOT_SUPPORTED";
    case CUBLAS_STATUS_EXECUTION_FAILED:
      return "CUBLAS_STATUS_EXECUTION_FAILED";
    default:
      return "CUBLAS_STATUS";
  }
}
const char* cublasGetStatusString(cublasStatus_t status) {
  return cublasGetStatusName(status);
}
cublasStatus_t cublasCreate(cublasHandle_t* handle) {
  *handle = new cublasContext;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasDestroy(cublasHandle_t handle) {
  return destroy(handle);
}
cublasStatus_t cublasSetStream(cublasHandle_t handle, cudaStream_t stream) {
  handle->stream = stream;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetWorkspace(cublasHandle_t, void* workspace, size_t bytes) {
  const bool good = bytes == 0 || (reinterpret_cast<uintptr_t>(workspace) % 256 == 0 &&
                                   emulator::on_device(workspace, bytes));
  return good ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}
cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode) {
  handle->math = static_cast<cublasMath_t>(mode & 15);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetPointerMode(cublasHandle_t, cublasPointerMode_t mode) {
  return mode == CUBLAS_POINTER_MODE_HOST ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

cublasStatus_t cublasGemmStridedBatchedEx_64(
    cublasHandle_t handle, cublasOperation_t transa, cublasOperation_t transb, int64_t m, int64_t n,
    int64_t k, const void* alpha, const void* a, cudaDataType a_type, int64_t lda,
    long long stride_a, const void* b, cudaDataType b_type, int64_t ldb, long long stride_b,
    const void* beta, void* c, cudaDataType c_type, int64_t ldc, long long stride_c, int64_t batch,
    cublasComputeType_t compute, cublasGemmAlgo_t) {
  const bool ta = transa != CUBLAS_OP_N, tb = transb != CUBLAS_OP_N;
  const bool f64 = compute == CUBLAS_COMPUTE_64F || compute == CUBLAS_COMPUTE_64F_PEDANTIC;
  const Matrix out{c, c_type, m, n, ldc, stride_c};
  return submit(handle->stream, {{a, a_type, ta ? k : m, ta ? m : k, lda, stride_a, ta},
                                 {b, b_type, tb ? n : k, tb ? k : n, ldb, stride_b, tb},
                                 out,
                                 out,
                                 m,
                                 n,
                                 k,
                                 batch,
                                 scalar(alpha, f64),
                                 scalar(beta, f64),
                                 dropped_bits(compute, handle->math, a_type),
                                 CUBLASLT_EPILOGUE_DEFAULT,
                                 {}});
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  *handle = new cublasLtContext;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  return destroy(handle);
}
size_t cublasLtGetVersion() {
  return CUBLAS_VERSION;
}
cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* desc, cublasComputeType_t compute,
                                        cudaDataType scale) {
  *desc = new cublasLtMatmulDescOpaque_t;
  (*desc)->values[CUBLASLT_MATMUL_DESC_COMPUTE_TYPE] = compute;
  (*desc)->values[CUBLASLT_MATMUL_DESC_SCALE_TYPE] = scale;
  (*desc)->values[CUBLASLT_MATMUL_DESC_EPILOGUE] = CUBLASLT_EPILOGUE_DEFAULT;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc) {
  return destroy(desc);
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc,
                                              cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, size_t bytes) {
  return set(desc, attribute, value, bytes);
}
cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType type,
                                          uint64_t rows, uint64_t columns, int64_t ld) {
  *layout = new cublasLtMatrixLayoutOpaque_t;
  uint64_t* v = (*layout)->values;
  v[CUBLASLT_MATRIX_LAYOUT_TYPE] = type;
  v[CUBLASLT_MATRIX_LAYOUT_ROWS] = rows;
  v[CUBLASLT_MATRIX_LAYOUT_COLS] = columns;
  v[CUBLASLT_MATRIX_LAYOUT_LD] = static_cast<uint64_t>(ld);
  v[CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT] = 1;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  return destroy(layout);
}
cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t attribute,
                                                const void* value, size_t bytes) {
  return set(layout, attribute, value, bytes);
}
cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  *preference = new cublasLtMatmulPreferenceOpaque_t;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  return destroy(preference);
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void* value, size_t bytes) {
  return set(preference, attribute, value, bytes);
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t desc,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t, int requested,
                                              cublasLtMatmulHeuristicResult_t results[],
                                              int* returned) {
  *returned = 0;
  if (requested < 1) return CUBLAS_STATUS_INVALID_VALUE;
  if (!supported(desc, {a, b, c, d})) return CUBLAS_STATUS_NOT_SUPPORTED;
  results[0] = {};
  results[0].state = CUBLAS_STATUS_SUCCESS;
  *returned = 1;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t desc, const void* alpha,
                              const void* a, cublasLtMatrixLayout_t a_layout, const void* b,
                              cublasLtMatrixLayout_t b_layout, const void* beta, const void* c,
                              cublasLtMatrixLayout_t c_layout, void* d,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t*,
                              void* workspace, size_t workspace_bytes, cudaStream_t stream) {
  if (!supported(desc, {a_layout, b_layout, c_layout, d_layout}))
    return CUBLAS_STATUS_NOT_SUPPORTED;
  if (workspace_bytes && !emulator::on_device(workspace, workspace_bytes))
    return CUBLAS_STATUS_INVALID_VALUE;
  const auto* v = desc->values;
  const auto compute = static_cast<cublasComputeType_t>(v[CUBLASLT_MATMUL_DESC_COMPUTE_TYPE]);
  const bool f64 = v[CUBLASLT_MATMUL_DESC_SCALE_TYPE] == CUDA_R_64F;
  Product p{matrix(a, a_layout),
            matrix(b, b_layout),
            matrix(c, c_layout),
            matrix(d, d_layout),
            0,
            0,
            0,
            0,
            scalar(alpha, f64),
            scalar(beta, f64),
            0,
            v[CUBLASLT_MATMUL_DESC_EPILOGUE],
            {}};
  p.a.transposed = v[CUBLASLT_MATMUL_DESC_TRANSA] != CUBLAS_OP_N;
  p.b.transposed = v[CUBLASLT_MATMUL_DESC_TRANSB] != CUBLAS_OP_N;
  p.m = p.d.rows;
  p.n = p.d.columns;
  p.k = p.a.transposed ? p.a.rows : p.a.columns;
  p.batch = static_cast<int64_t>(d_layout->values[CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT]);
  p.dropped = dropped_bits(compute, CUBLAS_DEFAULT_MATH, p.a.type);
  p.bias = {reinterpret_cast<const void*>(v[CUBLASLT_MATMUL_DESC_BIAS_POINTER]),
            p.d.type,
            p.m,
            1,
            std::max<int64_t>(1, p.m),
            0};
  if ((p.a.transposed ? p.a.columns : p.a.rows) != p.m ||
      (p.b.transposed ? p.b.rows : p.b.columns) != p.n ||
      (p.b.transposed ? p.b.columns : p.b.rows) != p.k || p.c.rows != p.m || p.c.columns != p.n)
    return CUBLAS_STATUS_INVALID_VALUE;
  return submit(stream, p);
}
