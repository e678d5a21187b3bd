// What cuDNN makes of each convolution: the plan is looked for once and then remembered.
#include "kernels/cuda/conv_cudnn.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <optional>

#include "kernels/cuda/cudnn_graph.h"
#include "kernels/cuda/engine_check.h"
#include "kernels/cuda/plan_cache.h"

namespace basin::cuda {
namespace {

constexpr int64_t largest_workspace = int64_t{256} << 20;
constexpr size_t plans_to_time = 8;

/// A problem: kind, shapes, window, activation, bias, math mode, alignment.
using Key = std::array<int64_t, 22>;

bool asked_for(const char* variable) {
  const char* value = std::getenv(variable);
  return value && std::string(value) == "1";
}

/// Products that one element of the result sums, at most.
int64_t terms_of(ConvKind kind, const View& out, const View& a, const View& b) {
  if (kind == ConvKind::weight_grad) return a.shape[0] * b.shape[2] * b.shape[3];
  return b.size() / out.shape[1];  // the weights that belong to one channel
}

/// f32 memory of its own on the current device, shaped like a view of it. Throws NoMemory.
class Buffer {
 public:
  explicit Buffer(const View& like) : view_(like), bytes_(static_cast<size_t>(like.size()) * 4) {
    if (bytes_ == 0) return;
    memory_ = Handle<void*, cudaFree>(view_.data = allocate(bytes_));
    if (!view_.data) throw NoMemory("no device memory left for the check");
  }
  const View& view() const { return view_; }
  void write(const std::vector<float>& values, cudaStream_t stream) {
    BASIN_CHECK(cudaMemcpyAsync(view_.data, values.data(), bytes_, cudaMemcpyHostToDevice, stream));
    BASIN_CHECK(cudaStreamSynchronize(stream));
  }
  std::vector<float> read(cudaStream_t stream) const {
    std::vector<float> values(bytes_ / 4);
    BASIN_CHECK(cudaMemcpyAsync(values.data(), view_.data, bytes_, cudaMemcpyDeviceToHost, stream));
    BASIN_CHECK(cudaStreamSynchronize(stream));
    return values;
  }

 private:
  View view_;
  size_t bytes_;
  Handle<void*, cudaFree> memory_;
};

std::string text_of(ConvKind kind, const View& out, const View& a, const View& b) {
  const char* names[] = {"conv2d", "conv2d_input_grad", "conv2d_weight_grad"};
  std::string text = names[static_cast<int>(kind)];
  for (const View* v : {&a, &b, &out}) {
    text += v == &out ? " to [" : " [";
    for (int i = 0; i < 4; ++i) text += std::to_string(v->shape[i]) + (i < 3 ? ", " : "]");
  }
  return text;
}

class Convolutions final : public CudnnConvolutions {
 public:
  Convolutions(const Stream& stream, const Cudnn& cudnn) : stream_(stream), cudnn_(cudnn) {
    BASIN_CHECK(cudaSetDevice(stream.device));
    cudnn_.check(cudnn_.cudnnCreate(&handle_), "opening the device");
    cudnn_.check(cudnn_.cudnnSetStream(handle_, stream.stream), "setting the stream");
  }
  ~Convolutions() override {
    for (void* block : blocks_) cudaFree(block);
    cudnn_.cudnnDestroy(handle_);
  }

  std::string description() const override {
    return "cuDNN " + cudnn_.version() + " (" + cudnn_.path + ")" +
           (autotune_ ? ", autotuned" : "") +
           (nondeterministic_ ? ", nondeterministic engines allowed" : "");
  }

  bool run(ConvKind kind, const View& out, const View& a, const View& b, const View& bias,
           Activation activation, const Window& window, MathMode math,
           const ConvReference& by_columns) override {
    const Unary f = activation.op;
    // for tanh and sigmoid cuDNN 9.19 has only its generic engine: better the good one, and our
    // kernel for the rest
    if (f != Unary::identity && f != Unary::relu && f != Unary::leaky_relu) return false;
    BASIN_CHECK(cudaSetDevice(stream_.device));
    std::vector<void*> pointers = {out.data, a.data, b.data};
    if (bias.data) pointers.push_back(bias.data);
    uintptr_t bits = 16;
    for (void* pointer : pointers) bits |= reinterpret_cast<uintptr_t>(pointer);
    const int64_t alignment = int64_t{1} << std::countr_zero(bits);

    Key key{static_cast<int64_t>(kind),           static_cast<int64_t>(f),
            std::bit_cast<int64_t>(activation.a), bias.data != nullptr,
            static_cast<int64_t>(math),           alignment};
    size_t n = 6;
    for (const View* v : {&out, &a, &b})
      for (const int64_t size : v->shape) key[n++] = size;
    for (int i = 0; i < 2; ++i) {
      key[n++] = window.stride[i] * (int64_t{1} << 32) + window.padding[i];
      key[n++] = window.dilation[i];
    }

    const CudnnPlan* plan = plans_.get(key, [&]() -> std::unique_ptr<CudnnPlan> {
      cudaStreamCaptureStatus status{};
      BASIN_CHECK(cudaStreamIsCapturing(stream_.stream, &status));
      if (status != cudaStreamCaptureStatusNone)
        throw std::runtime_error(
            "looks for a cuDNN plan for " + text_of(kind, out, a, b) +
            " while a step is being recorded; run the same step once before recording it");
      std::string why = "no engine that is deterministic and exact enough";
      const auto say = [&](const std::string& what) {
        std::fprintf(stderr, "basin: %s%s\n", text_of(kind, out, a, b).c_str(), what.c_str());
      };
      try {
        const auto graph = convolution_graph(cudnn_, kind, out.shape, a.shape, b.shape,
                                             bias.data != nullptr, activation, window, alignment);
        std::vector<CudnnPlan> found =
            find_plans({cudnn_, handle_}, graph, refused_notes(math, nondeterministic_),
                       largest_workspace, autotune_ ? plans_to_time : 1);
        const auto lost =
            std::erase_if(found, [&](const CudnnPlan& plan) { return !reserve(plan.workspace); });
        if (lost > 0)
          why = "no device memory left for the workspace of " + std::to_string(lost) + " engines";
        Choice choice{found.empty() ? std::nullopt : std::optional<size_t>(0), {}};
        if (autotune_ && choice.best)
          choice = fastest_accepted(
              [&] {
                return math == MathMode::f32 ? exact_plans(kind, found, out, a, b, bias, by_columns)
                                             : std::vector<bool>(found.size(), true);
              },
              [&](size_t i) { return milliseconds(found[i], pointers); });
        if (lost > 0) say(": " + why);
        if (!choice.note.empty()) say(": " + choice.note);
        if (choice.best) return std::make_unique<CudnnPlan>(std::move(found[*choice.best]));
      } catch (const CudnnError& error) {
        why = error.what();
      }
      if (!bias.data && f == Unary::identity)  // else the convolution alone is tried next
        say(" takes the im2col path: " + why);
      return nullptr;
    });
    if (!plan) return false;
    execute({cudnn_, handle_}, *plan, pointers, workspace());
    return true;
  }

 private:
  /// Memory for one plan at a time, enough for each that is kept. Outgrown blocks stay: recorded
  /// steps may use them.
  void* workspace() const { return blocks_.empty() ? nullptr : blocks_.back(); }
  /// False: there is no memory left for it.
  bool reserve(int64_t bytes) {
    if (bytes <= workspace_bytes_) return true;
    void* const block = allocate(static_cast<size_t>(bytes));
    if (!block) return false;
    blocks_.push_back(block);
    workspace_bytes_ = bytes;
    return true;
  }

  /// Which plans give the bits of the im2col path on the probes of engine_check.h (f32 only).
  std::vector<bool> exact_plans(ConvKind kind, const std::vector<CudnnPlan>& plans, const View& out,
                                const View& a, const View& b, const View& bias,
                                const ConvReference& by_columns) {
    Buffer result(out);
    Buffer first(a);
    Buffer second(b);
    std::vector<void*> pointers = {result.view().data, first.view().data, second.view().data};
    std::optional<Buffer> shift;
    if (bias.data) pointers.push_back(shift.emplace(bias).view().data);
    const int64_t terms = terms_of(kind, out, a, b);
    const std::vector<float> nothing(static_cast<size_t>(out.size()), std::nanf(""));
    std::vector<bool> exact(plans.size(), true);
    for (const Probe& probe : probes) {
      first.write(probe_operand(probe, 0, a.size(), terms), stream_.stream);
      second.write(probe_operand(probe, 1, b.size(), terms), stream_.stream);
      if (shift) shift->write(probe_operand(probe, 2, bias.size(), terms), stream_.stream);
      by_columns(result.view(), first.view(), second.view(), shift ? shift->view() : View{});
      const std::vector<float> expected = result.read(stream_.stream);
      for (size_t i = 0; i < plans.size(); ++i) {
        if (!exact[i]) continue;
        result.write(nothing, stream_.stream);
        execute({cudnn_, handle_}, plans[i], pointers, workspace());
        exact[i] = result.read(stream_.stream) == expected;
      }
    }
    return exact;
  }

  /// The fastest of three runs of a plan, after one to warm up.
  double milliseconds(const CudnnPlan& plan, const std::vector<void*>& pointers) {
    Handle<cudaEvent_t, cudaEventDestroy> begin, end;
    BASIN_CHECK(cudaEventCreate(begin.out()));
    BASIN_CHECK(cudaEventCreate(end.out()));
    float best = std::numeric_limits<float>::infinity();
    for (int repeat = 0; repeat < 4; ++repeat) {
      float ms = 0;
      BASIN_CHECK(cudaEventRecord(begin.get(), stream_.stream));
      execute({cudnn_, handle_}, plan, pointers, workspace());
      BASIN_CHECK(cudaEventRecord(end.get(), stream_.stream));
      BASIN_CHECK(cudaEventSynchronize(end.get()));
      BASIN_CHECK(cudaEventElapsedTime(&ms, begin.get(), end.get()));
      if (repeat > 0) best = std::min(best, ms);
    }
    return best;
  }

  Stream stream_;
  const Cudnn& cudnn_;
  cudnnHandle_t handle_ = nullptr;
  PlanCache<Key, CudnnPlan> plans_;
  std::vector<void*> blocks_;
  int64_t workspace_bytes_ = 0;
  const bool autotune_ = asked_for("BASIN_AUTOTUNE"),
             nondeterministic_ = asked_for("BASIN_NONDETERMINISTIC");
};

}  // namespace

std::unique_ptr<CudnnConvolutions> CudnnConvolutions::open(const Stream& stream) {
  std::string reason;
  if (const Cudnn* cudnn = Cudnn::load(reason)) try {
      return std::make_unique<Convolutions>(stream, *cudnn);
    } catch (const CudnnError& error) {
      reason = error.what();
    }
  std::fprintf(stderr, "basin: convolutions take the im2col path, cuDNN cannot be had: %s\n",
               reason.c_str());
  return nullptr;
}

std::string cudnn_description(const CudnnConvolutions* cudnn) {
  return cudnn ? cudnn->description() : "without cuDNN";
}

std::string cudnn_build_description() {
  return "cuDNN " + std::to_string(CUDNN_MAJOR) + "." + std::to_string(CUDNN_MINOR) + "." +
         std::to_string(CUDNN_PATCHLEVEL);
}

}  // namespace basin::cuda
