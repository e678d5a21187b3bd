// Differentiation as functions of functions. Each transform boxes its inputs at a
// fresh level, so any nesting is correct. `P` is a Tensor, a std::vector of parameters
// or a parameter struct (tree.h); extra arguments are passed on as constants.
#pragma once
#include <functional>
#include <utility>

#include "autograd/ops.h"
#include "autograd/tree.h"

namespace basin {

using Function = std::function<Tensor(const Tensors&)>;
/// From a cotangent of the output to cotangents of all inputs
/// (zeros where there is no dependence). Any number of calls.
using Pullback = std::function<Tensors(const Tensor&)>;

// ---- the transforms on flat lists ----
/// f(x) and its pullback.
std::pair<Tensor, Pullback> vjp_flat(const Function& f, const Tensors& x);
/// f(x) and the directional derivative along dx (undefined entries of dx are zero).
std::pair<Tensor, Tensor> jvp_flat(const Function& f, const Tensors& x, const Tensors& dx);
/// The same for several outputs; directional derivatives that vanish are returned as zeros.
std::pair<Tensors, Tensors> jvp_many(const std::function<Tensors(const Tensors&)>& f,
                                     const Tensors& x, const Tensors& dx);
/// f(x) (one element) and its gradient; the graph is freed while it is walked.
std::pair<Tensor, Tensors> value_and_grad_flat(const Function& f, const Tensors& x);

// ---- the same on parameter structs ----
template <class F, class P, class... Rest>
Function as_function(const F& f, const P& like, const Rest&... rest) {
  return [&](const Tensors& flat) { return f(unflatten(like, flat), rest...); };
}

/// {f(params, rest...), gradient with the type of params}; f returns one element.
template <class F, class P, class... Rest>
std::pair<Tensor, P> value_and_grad(const F& f, const P& params, const Rest&... rest) {
  auto [value, flat] = value_and_grad_flat(as_function(f, params, rest...), flatten(params));
  return {value, unflatten(params, flat)};
}

template <class F, class P, class... Rest>
P grad(const F& f, const P& params, const Rest&... rest) {
  return value_and_grad(f, params, rest...).second;
}

/// {f(x), pullback}: pullback(ct) has the type of x.
template <class F, class P>
auto vjp(const F& f, const P& x) {
  auto [y, pullback] = vjp_flat(as_function(f, x), flatten(x));
  auto typed = [x, pullback = std::move(pullback)](const Tensor& ct) {
    return unflatten(x, pullback(ct));
  };
  return std::pair<Tensor, std::function<P(const Tensor&)>>(y, std::move(typed));
}

/// {f(x), df along dx}
template <class F, class P>
std::pair<Tensor, Tensor> jvp(const F& f, const P& x, const std::type_identity_t<P>& dx) {
  return jvp_flat(as_function(f, x), flatten(x), flatten<P>(dx));
}

/// Hessian of the scalar function f times v, forward over reverse.
template <class F, class P, class... Rest>
P hvp(const F& f, const P& params, const std::type_identity_t<P>& v, const Rest&... rest) {
  const auto gradient = [&](const Tensors& flat) {
    return flatten(grad(f, unflatten(params, flat), rest...));
  };
  return unflatten(params, jvp_many(gradient, flatten(params), flatten<P>(v)).second);
}

/// {f(x), push}: push(v) = J v as the transpose of the pullback, so f runs once for any number of
/// pushes.
std::pair<Tensor, std::function<Tensor(const Tensor&)>> linearize(
    const std::function<Tensor(const Tensor&)>& f, const Tensor& x);

/// Jacobians of a row-wise map f: [B, d] -> [B, m] at every row of x, as [B, m, d]. `chunk` basis
/// vectors at a time ride on the batch dimension, so memory beyond the result is that of one
/// evaluation with B * chunk rows.
Tensor jacobian(const std::function<Tensor(const Tensor&)>& f, const Tensor& x,
                int64_t chunk = 128);

}  // namespace basin
