// The part of cuDNN's graph API that convolutions need, as values that own their descriptors. A
// problem is a graph of operations on tensors; heuristics propose engines for it; an engine that
// suits becomes a plan, which is executed with pointers. The library is loaded at run time: only
// its headers are needed to build.
#pragma once
#include <cudnn_backend.h>

#include <initializer_list>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/cuda/conv_cudnn.h"

namespace basin::cuda {

/// The functions used, found in the library.
struct Cudnn {
#define BASIN_CUDNN_FUNCTIONS(F)   \
  F(cudnnGetVersion)               \
  F(cudnnGetErrorString)           \
  F(cudnnGetLastErrorString)       \
  F(cudnnCreate)                   \
  F(cudnnDestroy)                  \
  F(cudnnSetStream)                \
  F(cudnnBackendCreateDescriptor)  \
  F(cudnnBackendDestroyDescriptor) \
  F(cudnnBackendSetAttribute)      \
  F(cudnnBackendGetAttribute)      \
  F(cudnnBackendFinalize)          \
  F(cudnnBackendExecute)
#define BASIN_MEMBER(name) decltype(&::name) name = nullptr;
  BASIN_CUDNN_FUNCTIONS(BASIN_MEMBER)
#undef BASIN_MEMBER
  std::string path;

  /// From the folder BASIN_CUDNN_PATH of the environment if it is set, else from where its headers
  /// were found, else by the loader's own search. nullptr with the reason when it cannot be had.
  /// Loaded once, never unloaded.
  static const Cudnn* load(std::string& reason);
  std::string version() const;
  /// Throws CudnnError with the library's message unless the call succeeded.
  void check(cudnnStatus_t status, const char* what) const;
};

struct CudnnError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class Descriptor {
 public:
  Descriptor(const Cudnn& cudnn, cudnnBackendDescriptorType_t type, const char* what);

  template <class T>
  Descriptor& set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                  const T* values, int64_t count) {
    cudnn_->check(cudnn_->cudnnBackendSetAttribute(get(), name, type, count, values), what_);
    return *this;
  }
  template <class T>
  Descriptor& set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                  const T& value) {
    return set(name, type, &value, 1);
  }
  Descriptor& set(cudnnBackendAttributeName_t name, const Descriptor& value) {
    keep(value);
    return set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, value.get());
  }
  /// Lets `other` live as long as this: whether the library copies what it refers to is not
  /// documented.
  void keep(const Descriptor& other) { owned_->kept.push_back(other.owned_); }
  Descriptor& finalize() {
    cudnn_->check(cudnn_->cudnnBackendFinalize(get()), what_);
    return *this;
  }
  /// How many values came; at most `count` are asked for.
  template <class T>
  int64_t read(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, T* values,
               int64_t count) const {
    int64_t found = 0;
    cudnn_->check(cudnn_->cudnnBackendGetAttribute(get(), name, type, count, &found, values),
                  what_);
    return found;
  }
  cudnnBackendDescriptor_t get() const { return owned_->raw; }

 private:
  struct Owned {
    explicit Owned(const Cudnn& library) : cudnn(library) {}
    Owned(const Owned&) = delete;
    ~Owned() {
      if (raw) cudnn.cudnnBackendDestroyDescriptor(raw);
    }
    const Cudnn& cudnn;
    cudnnBackendDescriptor_t raw = nullptr;
    std::vector<std::shared_ptr<Owned>> kept;
  };
  const Cudnn* cudnn_;
  const char* what_;
  std::shared_ptr<Owned> owned_;
};

/// A tensor of a graph. Virtual ones exist between two operations only; every other has a pointer
/// when executed.
Descriptor tensor_descriptor(const Cudnn& cudnn, int64_t id, const Shape& shape, int64_t alignment,
                             bool is_virtual);
/// Two spatial dimensions, cross-correlation, sums in f32. The library reads the number of groups
/// from the channels of the tensors.
Descriptor convolution_descriptor(const Cudnn& cudnn, const Window& window);
/// y = mode(x) or mode(x, b); slope is that of a relu on the negative side.
Descriptor pointwise_operation(const Cudnn& cudnn, cudnnPointwiseMode_t mode, const Descriptor& x,
                               const Descriptor* b, const Descriptor& y, double slope = 0);

/// The convolution of a kind as operations on the tensors 1 (result), 2 and 3 (operands), 4 (bias,
/// if there is one). Activations: identity, relu, leaky_relu. All pointers shall be multiples of
/// the alignment.
std::vector<Descriptor> convolution_graph(const Cudnn& cudnn, ConvKind kind, const Shape& out,
                                          const Shape& a, const Shape& b, bool bias,
                                          Activation activation, const Window& window,
                                          int64_t alignment);
/// What an engine must not do: reduce precision below the mode, or give other bits the next time.
std::vector<cudnnBackendNumericalNote_t> refused_notes(MathMode math, bool nondeterministic);

/// Where a graph shall run: a handle, or (for plans that are not
/// executed) the properties of a device that need not be there.
struct CudnnTarget {
  const Cudnn& cudnn;
  cudnnHandle_t handle = nullptr;
  const Descriptor* properties = nullptr;
};

struct CudnnPlan {
  Descriptor plan;
  int64_t workspace;
};

/// Plans for a graph in the order of the heuristics, at most `count`: none of an engine with one of
/// the refused notes, none that needs more workspace than allowed.
std::vector<CudnnPlan> find_plans(const CudnnTarget& target,
                                  const std::vector<Descriptor>& operations,
                                  const std::vector<cudnnBackendNumericalNote_t>& refused,
                                  int64_t workspace, size_t count);

/// pointers[i] belongs to the tensor with id i + 1.
void execute(const CudnnTarget& target, const CudnnPlan& plan, const std::vector<void*>& pointers,
             void* workspace);

}  // namespace basin::cuda
