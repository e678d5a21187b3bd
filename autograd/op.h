// What an operation has to say about itself. Each family asks only for what it cannot work out; all
// of it is pure virtual, so an operation with a missing rule does not compile, and one without
// samples does not link (ops/list.def).
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "autograd/ops.h"

namespace basin {

constexpr int max_inputs = 3;

/// A case for the checks: a call, the shapes of its operands and
/// the interval to draw them from; or a call that must fail.
struct Sample {
  std::string label;
  std::function<Tensor(const Tensors&)> call;
  std::vector<Shape> shapes;
  double low = -2, high = 2;
  std::string error = {};  // not empty: the call throws an Error whose message contains this
};

class Op : public Counted {
 public:
  virtual ~Op() = default;
  virtual const char* name() const = 0;
  virtual Ref<const Op> clone() const = 0;
  /// The value, from level-0 inputs. An absent optional input is undefined.
  virtual Array evaluate(Inputs in) const = 0;
  /// What the derivative rules read, and so what a node keeps. The other entries of `in` are
  /// undefined in vjp.
  virtual bool reads_input(int) const { return false; }
  virtual bool reads_output() const { return false; }
  /// Inputs that a rule reads only to differentiate once more: kept where another transform is
  /// active outside.
  virtual bool reads_history(int) const { return false; }
  /// Directional derivative; undefined tangents are zero, and so may be the result.
  virtual Tensor jvp(Inputs tangents, Inputs in, const Tensor& out) const = 0;
  /// grads[i] = cotangent of input i for each i with bit i of `wanted`; may stay undefined (zero).
  virtual void vjp(const Tensor& ct, Inputs in, const Tensor& out, unsigned wanted,
                   std::span<Tensor> grads) const = 0;
};

/// f(a x + b y) = a f(x) + b f(y) for one input: the transpose is all there is to write.
class LinearOp : public Op {
 public:
  virtual Tensor transpose(const Tensor& ct) const = 0;
  Tensor jvp(Inputs tangents, Inputs in, const Tensor& out) const final;
  void vjp(const Tensor& ct, Inputs, const Tensor&, unsigned, std::span<Tensor> grads) const final {
    grads[0] = transpose(ct);
  }
};

/// Linear in each of two inputs.
class BilinearOp : public Op {
 public:
  virtual Tensor call(const Tensor& x, const Tensor& y) const = 0;
  virtual Tensor transpose_x(const Tensor& ct, const Tensor& y) const = 0;
  virtual Tensor transpose_y(const Tensor& ct, const Tensor& x) const = 0;
  bool reads_input(int) const final { return true; }
  Tensor jvp(Inputs tangents, Inputs in, const Tensor&) const final {
    Tensor sum;
    if (tangents[0].defined()) sum = call(tangents[0], in[1]);
    if (!tangents[1].defined()) return sum;
    const Tensor second = call(in[0], tangents[1]);
    return sum.defined() ? sum + second : second;
  }
  void vjp(const Tensor& ct, Inputs in, const Tensor&, unsigned wanted,
           std::span<Tensor> grads) const final {
    if (wanted & 1) grads[0] = transpose_x(ct, in[1]);
    if (wanted & 2) grads[1] = transpose_y(ct, in[0]);
  }
};

/// Runs an operation on values of any level: evaluates it, or
/// unwraps the innermost level, runs it there and records it.
Tensor perform(const Op& op, Inputs in);
inline Tensor perform(const Op& op, std::initializer_list<Tensor> in) {
  return perform(op, Inputs(in.begin(), in.size()));
}

inline Tensor LinearOp::jvp(Inputs tangents, Inputs, const Tensor&) const {
  return perform(*this, tangents);
}

/// True when none of the tensors is inside a transform, so that a fused kernel may be used in a
/// derivative rule.
bool concrete(std::initializer_list<const Tensor*> tensors);

/// The slope of an elementwise operation as a tensor expression (the derivative column of ops.def).
Tensor slope_of(const Activation& f, const Tensor& x, const Tensor& y);
/// Whether a layer applies the activation in its own kernel, and the slope that it has then, from
/// the output alone.
bool fuses(Unary op);
Tensor slope_by_output(const Activation& f, const Tensor& y);

/// dz = ct * slope at the output of activation(z + bias) [B, C] or [B, C, H, W] and, when asked
/// for, the gradient of the bias: in one pass over ct where no transform is active.
Tensor layer_pullback(const Activation& f, const Tensor& ct, const Tensor& out, Tensor* dbias);

/// Checks shared by operations: floating dtype; one dtype and device.
void check_floating(const char* name, const Array& x);
void check_same(const char* name, const Array& x, const Array& y);

/// Every operation with its samples: elementwise ones from ops.def, the others from ops/list.def.
struct OpEntry {
  std::string name;
  std::vector<Sample> samples;
};
std::vector<OpEntry> op_table();

}  // namespace basin
