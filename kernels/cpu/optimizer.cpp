// Optimiser updates in one pass over parameter, gradient and moments, in PyTorch's order of
// operations. Bytes moved per element: Adam and RMSprop with momentum 4 reads + 3 writes, SGD with
// momentum 3 + 2, average 2 + 1.
#include <cmath>

#include "kernels/control.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/loops.h"
#include "kernels/reduce_plan.h"

namespace basin::cpu {
namespace {

template <class T>
void adam_piece(const AdamStep& s, const double* control, T* __restrict p, const T* __restrict g,
                T* __restrict m, T* __restrict v, int64_t n) {
  const double rate = control[control_rate];
  const T step_size = static_cast<T>(rate / control[control_correction1]);
  const T root_correction = static_cast<T>(std::sqrt(control[control_correction2]));
  const T one_minus_beta1 = static_cast<T>(1.0 - control[control_momentum]),
          beta2 = static_cast<T>(s.beta2);
  const T one_minus_beta2 = static_cast<T>(1.0 - s.beta2), epsilon = static_cast<T>(s.epsilon);
  const T l2 = static_cast<T>(s.decoupled ? 0.0 : s.weight_decay),
          scale = static_cast<T>(control[control_scale]);
  const T shrink = static_cast<T>(s.decoupled ? 1.0 - rate * s.weight_decay : 1.0);
  for (int64_t i = 0; i < n; ++i) {
    const T parameter = p[i] * shrink;
    const T gradient = g[i] * scale + parameter * l2;
    const T first = m[i] + (gradient - m[i]) * one_minus_beta1;
    const T second = v[i] * beta2 + gradient * gradient * one_minus_beta2;
    m[i] = first;
    v[i] = second;
    p[i] = parameter - step_size * (first / (std::sqrt(second) / root_correction + epsilon));
  }
}

template <class T>
void sgd_piece(const SgdStep& s, const double* control, T* __restrict p, const T* __restrict g,
               T* __restrict v, int64_t n) {
  const T rate = static_cast<T>(control[control_rate]),
          momentum = static_cast<T>(control[control_momentum]);
  const T l2 = static_cast<T>(s.weight_decay), scale = static_cast<T>(control[control_scale]);
  for (int64_t i = 0; i < n; ++i) {
    T step = g[i] * scale + p[i] * l2;
    if (v) {
      const T velocity = v[i] * momentum + step;
      v[i] = velocity;
      step = s.nesterov ? step + velocity * momentum : velocity;
    }
    p[i] -= rate * step;
  }
}

template <class T>
void rmsprop_piece(const RmspropStep& s, const double* control, T* __restrict p,
                   const T* __restrict g, T* __restrict m, T* __restrict v, int64_t n) {
  const T rate = static_cast<T>(control[control_rate]),
          momentum = static_cast<T>(control[control_momentum]);
  const T alpha = static_cast<T>(s.alpha), one_minus_alpha = static_cast<T>(1.0 - s.alpha);
  const T epsilon = static_cast<T>(s.epsilon), l2 = static_cast<T>(s.weight_decay),
          scale = static_cast<T>(control[control_scale]);
  for (int64_t i = 0; i < n; ++i) {
    const T gradient = g[i] * scale + p[i] * l2;
    const T second = v[i] * alpha + gradient * gradient * one_minus_alpha;
    T step = gradient / (std::sqrt(second) + epsilon);
    v[i] = second;
    if (m) {
      step = m[i] * momentum + step;
      m[i] = step;
    }
    p[i] -= rate * step;
  }
}

/// update(zero of T, parameter, offset, count) over all parameters, unless the control block says
/// stop.
template <class F>
void for_parameters(const View& control, std::span<const UpdateViews> parameters, F&& update) {
  if (control.as<double>()[control_active] == 0) return;
  for (const UpdateViews& u : parameters)
    with_float(u.p.dtype, [&](auto zero) {
      for_pieces<1>({&u.p},
                    [&](const auto& at, const auto&, int64_t n) { update(zero, u, at[0], n); });
    });
}

}  // namespace

void CpuBackend::adam(const AdamStep& step, const View& control,
                      std::span<const UpdateViews> parameters) {
  for_parameters(control, parameters, [&](auto zero, const UpdateViews& u, int64_t at, int64_t n) {
    using T = decltype(zero);
    adam_piece<T>(step, control.as<double>(), u.p.as<T>() + at, u.g.as<T>() + at, u.m.as<T>() + at,
                  u.v.as<T>() + at, n);
  });
}

void CpuBackend::sgd(const SgdStep& step, const View& control,
                     std::span<const UpdateViews> parameters) {
  for_parameters(control, parameters, [&](auto zero, const UpdateViews& u, int64_t at, int64_t n) {
    using T = decltype(zero);
    sgd_piece<T>(step, control.as<double>(), u.p.as<T>() + at, u.g.as<T>() + at,
                 u.m.data ? u.m.as<T>() + at : nullptr, n);
  });
}

void CpuBackend::rmsprop(const RmspropStep& step, const View& control,
                         std::span<const UpdateViews> parameters) {
  for_parameters(control, parameters, [&](auto zero, const UpdateViews& u, int64_t at, int64_t n) {
    using T = decltype(zero);
    rmsprop_piece<T>(step, control.as<double>(), u.p.as<T>() + at, u.g.as<T>() + at,
                     u.m.data ? u.m.as<T>() + at : nullptr, u.v.as<T>() + at, n);
  });
}

void CpuBackend::average(double decay, const View& control,
                         std::span<const UpdateViews> parameters) {
  for_parameters(control, parameters, [&](auto zero, const UpdateViews& u, int64_t at, int64_t n) {
    using T = decltype(zero);
    const T share = static_cast<T>(1.0 - decay);
    const T* p = u.p.as<T>() + at;
    T* m = u.m.as<T>() + at;
    for (int64_t i = 0; i < n; ++i) m[i] = m[i] + (p[i] - m[i]) * share;
  });
}

void CpuBackend::clip(const View& control, std::span<const View> gradients, double max_norm) {
  const double norm = length_of([&](auto factor) {
    double total = 0;
    for (const View& g : gradients)
      with_float(g.dtype, [&](auto zero) {
        const auto* x = g.as<decltype(zero)>();
        total += reduce_long<JoinSum>(g.size(), [&](int64_t i) {
          const double value = static_cast<double>(x[i]) * factor;
          return value * value;
        });
      });
    return total;
  });
  control.as<double>()[control_scale] = std::min(1.0, max_norm / (norm + 1e-6));
  if (!std::isfinite(norm)) control.as<double>()[control_active] = 0;
}

void CpuBackend::advance(const View& control, const View& rates, const View& losses,
                         const View& loss, const AdvanceStep& step) {
  with_float(loss.dtype, [&](auto zero) {
    advance_control(control.as<double>(), rates.as<double>(), losses.as<double>(),
                    static_cast<double>(*loss.as<decltype(zero)>()), losses.size(), step);
  });
}

void CpuBackend::keep_best(const View& control, std::span<const UpdateViews> parameters) {
  if (control.as<double>()[control_improved] == 0) return;
  for (const UpdateViews& u : parameters) copy(u.m, u.p);
}

}  // namespace basin::cpu
