// Matrix products by cuBLAS, and by our own kernel where they are small. cuBLAS
// knows column-major matrices: a row-major product out = x y is its out^T = y^T x^T,
// so y comes first and every row-major operand is passed as it lies.
#include <algorithm>
#include <array>
#include <limits>
#include <optional>

#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/plan_cache.h"
#include "kernels/cuda/small_gemm.h"

namespace basin::cuda {
namespace {

/// Products with few results and many terms are cut into pieces of so many terms, where the library
/// could sum them all in one chain of f32. With more results pieces were 24 % slower on an H100
/// (512 x 512 of 100,000 terms); what the library does there is its own.
constexpr int64_t longest_chain = 4096;
constexpr int64_t few_results = 64 * 64;
bool is_cut(DType dtype, int64_t m, int64_t n, int64_t k) {
  return dtype == DType::f32 && k > 2 * longest_chain && m * n <= few_results;
}
/// Bytes for the results of pieces.
constexpr int64_t largest_parts = int64_t{64} << 20;

constexpr int64_t int_limit = std::numeric_limits<int>::max();

int narrow(int64_t size) {
  if (size > int_limit)
    throw std::runtime_error("CUDA: a matrix product with a size of " + std::to_string(size) +
                             "; cuBLAS takes up to 2147483647: split the batch");
  return static_cast<int>(size);
}

/// A matrix in cuBLAS's terms.
struct Operand {
  const void* data;
  cublasOperation_t op;
  int ld;
  int64_t batch_stride;
};

/// None when the last two axes have strides that cuBLAS cannot take. Strides of axes of size 1 mean
/// nothing.
std::optional<Operand> operand(const View& v) {
  const int axis = v.shape.rank - 2;
  const int64_t rows = v.shape[axis], columns = v.shape[axis + 1];
  const int64_t row_stride = v.strides[axis], column_stride = v.strides[axis + 1];
  const int64_t batch = axis == 1 && v.shape[0] > 1 ? v.strides[0] : 0;
  const auto with_unit = [&](int64_t outer, int64_t stride, int64_t inner, int64_t unit,
                             cublasOperation_t op) {
    if (outer <= 1) stride = inner;
    if ((unit != 1 && inner > 1) || stride < inner || stride > int_limit || batch < 0)
      return std::optional<Operand>();
    return std::optional<Operand>({v.data, op, static_cast<int>(stride), batch});
  };
  const auto as_rows = with_unit(rows, row_stride, columns, column_stride, CUBLAS_OP_N);
  return as_rows ? as_rows : with_unit(columns, column_stride, rows, row_stride, CUBLAS_OP_T);
}

struct Numbers {
  cudaDataType_t type;
  cublasComputeType_t compute;
  // one and zero as the library reads them: of the type of the sums
  const void *one, *zero;
};

Numbers numbers(DType dtype, MathMode mode) {
  static constexpr double one = 1, zero = 0;
  static constexpr float one_f32 = 1, zero_f32 = 0;
  if (dtype == DType::f64) return {CUDA_R_64F, CUBLAS_COMPUTE_64F, &one, &zero};
  const auto compute = mode == MathMode::tf32   ? CUBLAS_COMPUTE_32F_FAST_TF32
                       : mode == MathMode::bf16 ? CUBLAS_COMPUTE_32F_FAST_16BF
                                                : CUBLAS_COMPUTE_32F;
  return {CUDA_R_32F, compute, &one_f32, &zero_f32};
}

/// A product of cuBLASLt that adds a bias along the rows of its column-major output, which are our
/// columns.
struct BiasProduct {
  Handle<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy> product;
  Handle<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy> a, b, out;
  cublasLtMatmulAlgo_t algorithm;
};

/// Sets an attribute of a description.
void set(cublasLtMatmulDesc_t to, cublasLtMatmulDescAttributes_t attribute, const auto& value) {
  BASIN_CHECK(cublasLtMatmulDescSetAttribute(to, attribute, &value, sizeof(value)));
}
void set(cublasLtMatmulPreference_t to, cublasLtMatmulPreferenceAttributes_t attribute,
         const auto& value) {
  BASIN_CHECK(cublasLtMatmulPreferenceSetAttribute(to, attribute, &value, sizeof(value)));
}

/// Bytes, at most 256: what cuBLASLt assumes when told nothing.
uint32_t alignment_of(const void* pointer) {
  const auto address = reinterpret_cast<uintptr_t>(pointer);
  return static_cast<uint32_t>(std::min<uintptr_t>(address & (~address + 1), 256));
}

}  // namespace

/// By types, sizes, operations, leading dimensions and alignments.
struct BiasProducts : PlanCache<std::array<int64_t, 12>, BiasProduct> {};

bool CudaBackend::set_math(MathMode mode) {
  math_ = mode;
  return true;
}

void CudaBackend::matmul(const View& out, const View& x, const View& y, bool accumulate) {
  if (out.size() == 0) return;
  const int axis = out.shape.rank - 2;
  const int64_t m = out.shape[axis], n = out.shape[axis + 1], k = x.shape[axis + 1];
  const int64_t batch = axis == 1 ? out.shape[0] : 1;
  if (k == 0) {
    if (!accumulate) fill(out, 0);
    return;
  }
  const bool exact = math_ == MathMode::f32 || out.dtype == DType::f64;
  if (exact && axis == 0 && small_product(m, n, k, stream_.processors))
    return run_small_product(stream_, out, x, y, {}, {}, accumulate);

  if (is_cut(out.dtype, m, n, k)) return long_product(out, x, y, accumulate);

  std::optional<Operand> a = operand(y), b = operand(x);
  if (!a || !b) {
    const auto bytes = [](const View& v) {
      return (static_cast<size_t>(v.size()) * size_of(v.dtype) + 255) / 256 * 256;
    };
    auto* memory = static_cast<char*>(scratch((a ? 0 : bytes(y)) + (b ? 0 : bytes(x))));
    const auto replace = [&](std::optional<Operand>& which, const View& v) {
      if (which) return;
      const View dense{memory, v.dtype, v.shape, contiguous_strides(v.shape)};
      copy(dense, v);
      which = operand(dense);
      if (!which) narrow(int_limit + 1);
      memory += bytes(v);
    };
    replace(a, y);
    replace(b, x);
  }
  const Numbers t = numbers(out.dtype, math_);
  BASIN_CHECK(cudaSetDevice(stream_.device));
  BASIN_CHECK(cublasGemmStridedBatchedEx(
      blas_.get(), a->op, b->op, narrow(n), narrow(m), narrow(k), t.one, a->data, t.type, a->ld,
      a->batch_stride, b->data, t.type, b->ld, b->batch_stride, accumulate ? t.one : t.zero,
      out.data, t.type, narrow(n), m * n, narrow(batch), t.compute, CUBLAS_GEMM_DEFAULT));
  if (stream_.synchronous) BASIN_CHECK(cudaStreamSynchronize(stream_.stream));
}

void CudaBackend::long_product(const View& out, const View& x, const View& y, bool accumulate) {
  const int axis = out.shape.rank - 2;
  const int64_t k = x.shape[axis + 1];
  const int64_t most =
      std::max<int64_t>(1, largest_parts / (out.size() * static_cast<int64_t>(sizeof(float))));
  // `length` of the terms, from `first` on
  const auto piece = [](View v, int along, int64_t first, int64_t length) {
    v.data = v.as<float>() + first * v.strides[along];
    v.shape[along] = length;
    return v;
  };
  // pieces that lie one after another as a batch
  const auto pieces = [](const View& v, int64_t count, int64_t step) {
    return View{
        v.data, v.dtype, {count, v.shape[0], v.shape[1]}, {step, v.strides[0], v.strides[1]}};
  };
  for (int64_t first = 0; first < k;) {
    const int64_t whole = std::min(most, (k - first) / longest_chain);
    const int64_t count = std::max<int64_t>(whole, 1);
    const int64_t length = whole > 0 ? longest_chain : k - first;
    auto* const memory =
        static_cast<float*>(scratch(static_cast<size_t>(count * out.size()) * sizeof(float), 1));
    const auto part = [&](int64_t i) {
      return View{memory + i * out.size(), DType::f32, out.shape, contiguous_strides(out.shape)};
    };
    if (axis == 0) {
      const View a = piece(x, 1, first, length);
      const View b = piece(y, 0, first, length);
      matmul(pieces(part(0), count, out.size()), pieces(a, count, length * x.strides[1]),
             pieces(b, count, length * y.strides[0]), false);
    } else {
      for (int64_t i = 0; i < count; ++i)
        matmul(part(i), piece(x, 2, first + i * length, length),
               piece(y, 1, first + i * length, length), false);
    }
    join_parts(stream_, out.as<float>(), memory, out.size(), count, accumulate || first > 0);
    first += count * length;
  }
}

bool CudaBackend::product_with_bias(const View& out, const View& x, const View& y,
                                    const View& bias) {
  const std::optional<Operand> a = operand(y), b = operand(x);
  if (!a || !b || alignment_of(bias.data) < 16) return false;
  const int64_t m = out.shape[0], n = out.shape[1], k = x.shape[1];
  const Numbers t = numbers(out.dtype, math_);
  const uint32_t align_a = alignment_of(a->data), align_b = alignment_of(b->data),
                 align_out = alignment_of(out.data);
  if (!bias_products_) bias_products_ = std::make_shared<BiasProducts>();
  BASIN_CHECK(cudaSetDevice(stream_.device));
  const BiasProduct* plan = bias_products_->get(
      {t.type, t.compute, m, n, k, a->op, b->op, a->ld, b->ld, align_a, align_b, align_out},
      [&]() -> std::unique_ptr<BiasProduct> {
        auto p = std::make_unique<BiasProduct>();
        BASIN_CHECK(cublasLtMatmulDescCreate(p->product.out(), t.compute, t.type));
        set(p->product.get(), CUBLASLT_MATMUL_DESC_TRANSA, a->op);
        set(p->product.get(), CUBLASLT_MATMUL_DESC_TRANSB, b->op);
        set(p->product.get(), CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
        set(p->product.get(), CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias.data);
        const auto layout = [&](cublasLtMatrixLayout_t* to, cublasOperation_t op, int64_t rows,
                                int64_t columns, int64_t ld) {
          if (op == CUBLAS_OP_T) std::swap(rows, columns);
          BASIN_CHECK(cublasLtMatrixLayoutCreate(to, t.type, static_cast<uint64_t>(rows),
                                                 static_cast<uint64_t>(columns), ld));
        };
        layout(p->a.out(), a->op, n, k, a->ld);
        layout(p->b.out(), b->op, k, m, b->ld);
        layout(p->out.out(), CUBLAS_OP_N, n, m, n);
        Handle<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy> wanted;
        BASIN_CHECK(cublasLtMatmulPreferenceCreate(wanted.out()));
        set(wanted.get(), CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, workspace_bytes);
        set(wanted.get(), CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, align_a);
        set(wanted.get(), CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, align_b);
        set(wanted.get(), CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, align_out);
        set(wanted.get(), CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, align_out);
        // parts of a split k are joined through the workspace, in f32 and in a fixed order, or not
        // made at all
        set(wanted.get(), CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
            uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
        cublasLtMatmulHeuristicResult_t best{};
        int found = 0;
        const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
            blas_lt_.get(), p->product.get(), p->a.get(), p->b.get(), p->out.get(), p->out.get(),
            wanted.get(), 1, &best, &found);
        if (status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE ||
            (status == CUBLAS_STATUS_SUCCESS && found == 0))
          return nullptr;
        BASIN_CHECK(status);
        p->algorithm = best.algo;
        return p;
      });
  if (!plan) return false;
  set(plan->product.get(), CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias.data);
  BASIN_CHECK(cublasLtMatmul(blas_lt_.get(), plan->product.get(), t.one, a->data, plan->a.get(),
                             b->data, plan->b.get(), t.zero, out.data, plan->out.get(), out.data,
                             plan->out.get(), &plan->algorithm, workspace_, workspace_bytes,
                             stream_.stream));
  if (stream_.synchronous) BASIN_CHECK(cudaStreamSynchronize(stream_.stream));
  return true;
}

void CudaBackend::linear(const View& out, const View& x, const View& w, const View& bias,
                         Activation activation) {
  if (out.size() == 0) return;
  const int64_t k = x.shape[1];
  View y = w;
  std::swap(y.shape[0], y.shape[1]);
  std::swap(y.strides[0], y.strides[1]);
  const bool exact = math_ == MathMode::f32 || out.dtype == DType::f64;
  if (exact && small_product(out.shape[0], out.shape[1], k, stream_.processors))
    return run_small_product(stream_, out, x, y, bias, activation, false);
  if (k > 0 && !is_cut(out.dtype, out.shape[0], out.shape[1], k) && bias.data &&
      activation.op == Unary::identity && product_with_bias(out, x, y, bias))
    return;
  matmul(out, x, y, false);
  add_bias(out, bias, activation);
}

}  // namespace basin::cuda
