#include "kernels/cuda/cudnn_graph.h"

#include <dlfcn.h>

#include <cstdlib>

#ifndef BASIN_CUDNN_FOLDER
#define BASIN_CUDNN_FOLDER ""
#endif

namespace basin::cuda {

const Cudnn* Cudnn::load(std::string& reason) {
  static Cudnn cudnn;
  static const std::string failure = [] {
    const char* asked = std::getenv("BASIN_CUDNN_PATH");
    const std::string name = "libcudnn.so.9", folder = BASIN_CUDNN_FOLDER;
    std::vector<std::string> places;
    if (asked) places.push_back(std::string(asked) + "/" + name);
    if (!asked && !folder.empty()) places.push_back(folder + "/" + name);
    if (!asked) places.push_back(name);
    std::string why;
    void* library = nullptr;
    for (size_t i = 0; i < places.size() && !library; ++i) {
      library = dlopen(places[i].c_str(), RTLD_NOW | RTLD_LOCAL);
      cudnn.path = places[i];
      if (!library) why += (why.empty() ? "" : "; ") + std::string(dlerror());
    }
    if (!library) return why;
#define BASIN_FIND(name)                                                      \
  cudnn.name = reinterpret_cast<decltype(cudnn.name)>(dlsym(library, #name)); \
  if (!cudnn.name) return cudnn.path + " has no " #name;
    BASIN_CUDNN_FUNCTIONS(BASIN_FIND)
#undef BASIN_FIND
    return cudnn.cudnnGetVersion() / 10000 == 9
               ? ""
               : cudnn.path + " is version " + cudnn.version() + ", not 9";
  }();
  reason = failure;
  return failure.empty() ? &cudnn : nullptr;
}

std::string Cudnn::version() const {
  const size_t v = cudnnGetVersion();
  return std::to_string(v / 10000) + "." + std::to_string(v / 100 % 100) + "." +
         std::to_string(v % 100);
}

void Cudnn::check(cudnnStatus_t status, const char* what) const {
  if (status == CUDNN_STATUS_SUCCESS) return;
  char message[512] = "";
  cudnnGetLastErrorString(message, sizeof message);
  throw CudnnError(std::string("cuDNN: ") + cudnnGetErrorString(status) + " at " + what +
                   (message[0] ? std::string(": ") + message : ""));
}

Descriptor::Descriptor(const Cudnn& cudnn, cudnnBackendDescriptorType_t type, const char* what)
    : cudnn_(&cudnn), what_(what), owned_(std::make_shared<Owned>(cudnn)) {
  cudnn.check(cudnn.cudnnBackendCreateDescriptor(type, &owned_->raw), what);
}

Descriptor tensor_descriptor(const Cudnn& cudnn, int64_t id, const Shape& shape, int64_t alignment,
                             bool is_virtual) {
  const Shape strides = contiguous_strides(shape);
  return Descriptor(cudnn, CUDNN_BACKEND_TENSOR_DESCRIPTOR, "a tensor")
      .set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT)
      .set(CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, shape.begin(), shape.rank)
      .set(CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, strides.begin(), strides.rank)
      .set(CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, id)
      .set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, alignment)
      .set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, is_virtual)
      .finalize();
}

Descriptor convolution_descriptor(const Cudnn& cudnn, const Window& window) {
  const int64_t dimensions = 2;
  return Descriptor(cudnn, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, "a convolution")
      .set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT)
      .set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, CUDNN_CROSS_CORRELATION)
      .set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, dimensions)
      .set(CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, window.dilation, 2)
      .set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, window.stride, 2)
      .set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, window.padding, 2)
      .set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, window.padding, 2)
      .finalize();
}

Descriptor pointwise_operation(const Cudnn& cudnn, cudnnPointwiseMode_t mode, const Descriptor& x,
                               const Descriptor* b, const Descriptor& y, double slope) {
  Descriptor pointwise(cudnn, CUDNN_BACKEND_POINTWISE_DESCRIPTOR, "a pointwise operation");
  pointwise.set(CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, mode)
      .set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT);
  if (slope != 0)
    pointwise.set(CUDNN_ATTR_POINTWISE_RELU_LOWER_CLIP_SLOPE, CUDNN_TYPE_DOUBLE, slope);
  if (mode == CUDNN_POINTWISE_RELU_FWD)  // a NaN stays one
    pointwise.set(CUDNN_ATTR_POINTWISE_NAN_PROPAGATION, CUDNN_TYPE_NAN_PROPOGATION,
                  CUDNN_PROPAGATE_NAN);
  pointwise.finalize();
  Descriptor operation(cudnn, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR,
                       "a pointwise operation of a graph");
  operation.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, pointwise)
      .set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x)
      .set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
  if (b) operation.set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, *b);
  return operation.finalize();
}

std::vector<Descriptor> convolution_graph(const Cudnn& cudnn, ConvKind kind, const Shape& out,
                                          const Shape& a, const Shape& b, bool bias,
                                          Activation activation, const Window& window,
                                          int64_t alignment) {
  static constexpr struct {
    cudnnBackendDescriptorType_t type;
    cudnnBackendAttributeName_t alpha, beta, convolution, x, w, y;
  } kinds[] = {
      {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
       CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
       CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA,
       CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
       CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
       CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y},
      {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA,
       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY},
      {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA,
       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY}};
  const auto& names = kinds[static_cast<int>(kind)];
  const bool active = activation.op != Unary::identity;
  const auto tensor =
      [&](int64_t id,
          const Shape& shape) {  // those above 4 only pass from one operation to the next
        return tensor_descriptor(cudnn, id, shape, alignment, id > 4);
      };
  const Descriptor first = tensor(2, a), second = tensor(3, b),
                   sum = tensor(bias || active ? 5 : 1, out);
  Descriptor convolution(cudnn, names.type, "a convolution of a graph");
  convolution.set(names.alpha, CUDNN_TYPE_FLOAT, 1.0f)
      .set(names.beta, CUDNN_TYPE_FLOAT, 0.0f)
      .set(names.convolution, convolution_descriptor(cudnn, window))
      .set(names.x, kind == ConvKind::input_grad ? sum : first)
      .set(names.w, kind == ConvKind::weight_grad ? sum : second)
      .set(names.y, kind == ConvKind::forward      ? sum
                    : kind == ConvKind::input_grad ? first
                                                   : second)
      .finalize();
  std::vector<Descriptor> graph = {convolution};
  const Descriptor shifted = bias && active ? tensor(6, out) : bias ? tensor(1, out) : sum;
  if (bias) {
    const Descriptor values = tensor(4, {1, out[1], 1, 1});
    graph.push_back(pointwise_operation(cudnn, CUDNN_POINTWISE_ADD, sum, &values, shifted));
  }
  if (active) {
    const double slope = activation.op == Unary::leaky_relu ? activation.a : 0;
    graph.push_back(pointwise_operation(cudnn, CUDNN_POINTWISE_RELU_FWD, shifted, nullptr,
                                        tensor(1, out), slope));
  }
  return graph;
}

std::vector<cudnnBackendNumericalNote_t> refused_notes(MathMode math, bool nondeterministic) {
  std::vector<cudnnBackendNumericalNote_t> notes = {
      CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS, CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION,
      CUDNN_NUMERICAL_NOTE_FFT, CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13};
  if (math == MathMode::f32)  // tensor cores stand for TF32, which the BF16 mode takes too
    for (const auto note : {CUDNN_NUMERICAL_NOTE_TENSOR_CORE, CUDNN_NUMERICAL_NOTE_WINOGRAD})
      notes.push_back(note);
  if (!nondeterministic) notes.push_back(CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC);
  return notes;
}

namespace {

/// The plan of one engine, if it suits and the library can make it.
std::optional<CudnnPlan> plan_of(const CudnnTarget& target, const Descriptor& config,
                                 const std::vector<cudnnBackendNumericalNote_t>& refused,
                                 int64_t workspace) {
  const Cudnn& cudnn = target.cudnn;
  const Descriptor engine(cudnn, CUDNN_BACKEND_ENGINE_DESCRIPTOR, "an engine");
  cudnnBackendDescriptor_t raw = engine.get();
  config.read(CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, &raw, 1);
  cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
  const int64_t noted = engine.read(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                                    notes, CUDNN_NUMERICAL_NOTE_TYPE_COUNT);
  for (int64_t i = 0; i < noted; ++i)
    for (const auto note : refused)
      if (notes[i] == note) return {};
  try {
    CudnnPlan found{Descriptor(cudnn, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, "a plan"), 0};
    if (target.handle)
      found.plan.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, target.handle);
#if CUDNN_VERSION >= 90800
    if (target.properties) found.plan.set(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, *target.properties);
#endif
    found.plan.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config).finalize();
    found.plan.read(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, &found.workspace,
                    1);
    if (found.workspace <= workspace) return found;
  } catch (const CudnnError&) {  // proposed, but not possible here: the next one may be
  }
  return {};
}

}  // namespace

std::vector<CudnnPlan> find_plans(const CudnnTarget& target,
                                  const std::vector<Descriptor>& operations,
                                  const std::vector<cudnnBackendNumericalNote_t>& refused,
                                  int64_t workspace, size_t count) {
  const Cudnn& cudnn = target.cudnn;
  std::vector<cudnnBackendDescriptor_t> raw;
  for (const Descriptor& operation : operations) raw.push_back(operation.get());
  Descriptor graph(cudnn, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, "a graph");
  if (target.handle) graph.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, target.handle);
  graph.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, raw.data(),
            static_cast<int64_t>(raw.size()));
  graph.finalize();
  for (const Descriptor& operation : operations) graph.keep(operation);

  std::vector<CudnnPlan> plans;
  for (const cudnnBackendHeurMode_t mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK}) {
    if (plans.size() >= count) break;
    try {
      Descriptor heuristics(cudnn, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, "heuristics");
      heuristics.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph)
          .set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, mode);
#if CUDNN_VERSION >= 90800
      if (target.properties) heuristics.set(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, *target.properties);
#endif
      heuristics.finalize();
      const int64_t proposed = heuristics.read<cudnnBackendDescriptor_t>(
          CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, nullptr, 0);
      std::vector<Descriptor> configs;
      raw.clear();
      for (int64_t i = 0; i < proposed; ++i) {
        configs.emplace_back(cudnn, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, "an engine configuration");
        configs.back().keep(graph);
        raw.push_back(configs.back().get());
      }
      const int64_t given = heuristics.read(CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                            CUDNN_TYPE_BACKEND_DESCRIPTOR, raw.data(), proposed);
      for (int64_t i = 0; i < std::min(given, proposed) && plans.size() < count; ++i) try {
          if (auto plan = plan_of(target, configs[static_cast<size_t>(i)], refused, workspace))
            plans.push_back(std::move(*plan));
        } catch (const CudnnError&) {  // this engine refuses, the next may not
        }
    } catch (const CudnnError&) {
      if (mode == CUDNN_HEUR_MODE_FALLBACK && plans.empty()) throw;
    }
  }
  return plans;
}

void execute(const CudnnTarget& target, const CudnnPlan& plan, const std::vector<void*>& pointers,
             void* workspace) {
  std::vector<int64_t> ids;
  for (size_t i = 0; i < pointers.size(); ++i) ids.push_back(static_cast<int64_t>(i) + 1);
  Descriptor pack(target.cudnn, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, "the pointers of a plan");
  pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, ids.data(),
           static_cast<int64_t>(ids.size()))
      .set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, pointers.data(),
           static_cast<int64_t>(pointers.size()))
      .set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, workspace)
      .finalize();
  target.cudnn.check(target.cudnn.cudnnBackendExecute(target.handle, plan.plan.get(), pack.get()),
                     "running a plan");
}

}  // namespace basin::cuda
