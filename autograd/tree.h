// Parameter structs. A model is a plain struct with one member template that names its fields:
//     template <class F> void each_parameter(F&& f) { f("weight", weight); f("bias", bias); }
// A field is a Tensor, a std::vector of fields, or such a struct again. Undefined tensors (an
// absent bias) are skipped.
#pragma once
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "autograd/tensor.h"

namespace basin {

template <class T>
struct is_vector : std::false_type {};
template <class T>
struct is_vector<std::vector<T>> : std::true_type {};

/// f(name, tensor) for every defined tensor in order; names are joined with dots
/// ("encoder.0.weight").
template <class P, class F>
void visit_parameters(P& p, F&& f, const std::string& name = "") {
  const auto join = [&](const std::string& child) {
    return name.empty() ? child : name + "." + child;
  };
  if constexpr (std::is_same_v<std::remove_const_t<P>, Tensor>) {
    if (p.defined()) f(name, p);
  } else if constexpr (is_vector<std::remove_const_t<P>>::value) {
    for (size_t i = 0; i < p.size(); ++i) visit_parameters(p[i], f, join(std::to_string(i)));
  } else {
    // each_parameter is written once, without const; reading a const struct does not change it.
    const_cast<std::remove_const_t<P>&>(p).each_parameter(
        [&](const char* child, auto& field) { visit_parameters(field, f, join(child)); });
  }
}

/// f(tensor) for the same ones, without the cost of their names.
template <class P, class F>
void visit_tensors(P& p, F&& f) {
  if constexpr (std::is_same_v<std::remove_const_t<P>, Tensor>) {
    if (p.defined()) f(p);
  } else if constexpr (is_vector<std::remove_const_t<P>>::value) {
    for (auto& field : p) visit_tensors(field, f);
  } else {
    const_cast<std::remove_const_t<P>&>(p).each_parameter(
        [&](const char*, auto& field) { visit_tensors(field, f); });
  }
}

template <class P>
Tensors flatten(const P& p) {
  Tensors flat;
  visit_tensors(p, [&](const Tensor& t) { flat.push_back(t); });
  return flat;
}

template <class P>
std::vector<std::string> parameter_names(const P& p) {
  std::vector<std::string> names;
  visit_parameters(p, [&](const std::string& name, const Tensor&) { names.push_back(name); });
  return names;
}

/// A struct like `shape` holding the given tensors, in flatten's order.
template <class P>
P unflatten(const P& shape, Inputs flat) {
  P result = shape;
  size_t i = 0;
  visit_tensors(result, [&](Tensor& t) { t = flat[i++]; });
  return result;
}

/// f(name, tensor) for the buffers of a model: what belongs to it and its files beside its
/// parameters, and no gradient changes. A struct that has some says which with `each_buffer`.
template <class P, class F>
void visit_buffers(P& p, F&& f, const std::string& name = "") {
  using Plain = std::remove_const_t<P>;
  const auto inside = [&](const std::string& child, auto& field) {
    const std::string path = name.empty() ? child : name + "." + child;
    if constexpr (std::is_same_v<decltype(field), Tensor&> &&
                  requires(Plain & q) { q.each_buffer(f); })
      f(path, field);
    else
      visit_buffers(field, f, path);
  };
  if constexpr (is_vector<Plain>::value) {
    for (size_t i = 0; i < p.size(); ++i) inside(std::to_string(i), p[i]);
  } else if constexpr (requires(Plain & q) { q.each_buffer(f); }) {
    const_cast<Plain&>(p).each_buffer(inside);
  } else if constexpr (!std::is_same_v<Plain, Tensor>) {
    const_cast<Plain&>(p).each_parameter(inside);
  }
}

/// Parameters and then buffers: all that a file of the model holds.
template <class P>
Tensors state_of(const P& p) {
  Tensors flat = flatten(p);
  visit_buffers(p, [&](const std::string&, Tensor& t) { flat.push_back(t); });
  return flat;
}

template <class P>
std::vector<std::string> state_names(const P& p) {
  std::vector<std::string> names = parameter_names(p);
  visit_buffers(p, [&](const std::string& name, Tensor&) { names.push_back(name); });
  return names;
}

/// A struct like `shape` with the tensors of state_of.
template <class P>
P with_state(const P& shape, Inputs state) {
  P result = unflatten(shape, state);
  size_t i = flatten(shape).size();
  visit_buffers(result, [&](const std::string&, Tensor& t) { t = state[i++]; });
  return result;
}

template <class P>
int64_t parameter_count(const P& p) {
  int64_t count = 0;
  visit_tensors(p, [&](const Tensor& t) { count += t.size(); });
  return count;
}

}  // namespace basin
