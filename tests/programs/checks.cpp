// What must hold for every program. Tolerances are measured, not chosen: a program is evaluated
// again with every intermediate value disturbed relatively by +-J; rounding disturbs by about
// epsilon in the same places, so that its effect is that difference times epsilon / J, up to a
// factor for the few roundings inside one operation and for luck.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "engine/allocator.h"
#include "kernels/threads.h"
#include "tests/programs/program.h"

namespace basin::programs {
namespace {

/// Sums of up to a few hundred terms inside an operation, a few hundred operations, and two draws
/// that may both be lucky.
constexpr double safety = 1024;
constexpr double jitter_of(DType dtype) {
  return dtype == DType::f64 ? 0x1p-30 : 0x1p-14;
}
constexpr double epsilon_of(DType dtype) {
  return dtype == DType::f64 ? 0x1p-52 : 0x1p-23;
}

double dot(const Tensor& x, const Tensor& y) {
  return sum(x * y).item();
}
double dot(const Tensors& x, const Tensors& y) {
  double total = 0;
  for (size_t i = 0; i < x.size(); ++i) total += dot(x[i], y[i]);
  return total;
}
Tensor dot_of(const Tensors& x, const Tensors& y) {
  Tensor total = sum(x[0] * y[0]);
  for (size_t i = 1; i < x.size(); ++i) total = total + sum(x[i] * y[i]);
  return total;
}

bool same_bits(const Tensors& x, const Tensors& y) {
  for (size_t i = 0; i < x.size(); ++i) {
    const Array a = contiguous(copy_to(x[i].array(), Device())),
                b = contiguous(copy_to(y[i].array(), Device()));
    const bool same = a.shape() == b.shape() && a.dtype() == b.dtype();
    const size_t bytes = static_cast<size_t>(a.size()) * size_of(a.dtype());
    const auto at = [](const Array& c) { return static_cast<const char*>(c.view().data); };
    if (!same || (bytes > 0 && std::memcmp(at(a), at(b), bytes) != 0)) return false;
  }
  return true;
}

std::vector<double> numbers(const Tensor& x) {
  return cast(copy_to(x.array(), Device()), DType::f64).to_vector<double>();
}
std::vector<double> numbers(const Tensors& x) {
  std::vector<double> all;
  for (const Tensor& t : x)
    for (const double v : numbers(t)) all.push_back(v);
  return all;
}

class Checker {
 public:
  Checker(const Program& program, uint64_t seed, Counts& counts)
      : p_(program), dice_(seed ^ 0xC0FFEE), counts_(counts) {
    for (const Array& value : p_.arguments) {
      x_.emplace_back(value);
      v_.emplace_back(draw(dice_, value.shape(), -1, 1));
      u_.emplace_back(draw(dice_, value.shape(), -1, 1));
      w_.emplace_back(draw(dice_, value.shape(), -1, 1));
    }
  }

  std::string on_cpu(bool third) {
    base_sides_ = sides_at({}, x_, &frozen_);
    values_and_order();
    first_order();
    identities();
    if (p_.order <= 1) second_order();
    if (p_.order == 0 && third) third_order();
    single();
    return failure_;
  }

  std::string on_threads() {
    Context plain;
    const Tensors one = all_of(plain);
    for (const int threads : {2, 4, 7}) {
      set_cpu_threads(threads);
      if (!same_bits(one, all_of(plain))) fail("other bits with several threads", threads, 1, 0);
    }
    set_cpu_threads(1);
    ++counts_.checks;
    close(
        "forward against reverse", [&](Context& c) { return forward(c, x_, v_); },
        [&](Context& c) { return reverse(c, x_, v_); });
    return failure_;
  }

  std::string on_device(const Device& device) {
    base_sides_ = sides_at({}, x_, nullptr);
    for (const DType dtype : {DType::f64, DType::f32}) {
      Context here;
      Context there;
      here.dtype = there.dtype = dtype;
      there.device = device;
      // a program of f32 may lie on the other side of a kink
      if (sides_at(here, x_, nullptr) != base_sides_ ||
          sides_at(there, x_, nullptr) != base_sides_) {
        ++counts_.undecided;
        continue;
      }
      compare(dtype == DType::f64 ? "device against CPU, f64" : "device against CPU, f32", here,
              there);
    }
    return failure_;
  }

 private:
  // ---- evaluations ----
  Tensors moved_into(const Context& c, const Tensors& x) const {
    Tensors moved;
    for (const Tensor& t : x) moved.push_back(c.constant(t.array()));
    return moved;
  }
  Function function(Context& c, int which, bool lazily = false) const {
    c.noise = Dice(c.draw);
    c.replayed = 0;
    return [this, &c, which, lazily](const Tensors& x) { return run(p_, c, x, which, lazily); };
  }
  double value(Context& c, const Tensors& x) const {
    return function(c, p_.result)(moved_into(c, x)).item();
  }
  double forward(Context& c, const Tensors& x, const Tensors& v) const {
    return jvp_flat(function(c, p_.result), moved_into(c, x), moved_into(c, v)).second.item();
  }
  double reverse(Context& c, const Tensors& x, const Tensors& v, bool lazily = false) const {
    const Tensors g = value_and_grad_flat(function(c, p_.result, lazily), moved_into(c, x)).second;
    return dot(g, moved_into(c, v));
  }
  /// Value, gradient, a derivative along v and, where the program has no more than one inside, a
  /// second derivative.
  Tensors all_of(Context& c) const {
    const auto [y, g] = value_and_grad_flat(function(c, p_.result), moved_into(c, x_));
    Tensors all{y};
    all.insert(all.end(), g.begin(), g.end());
    const Tensors x = moved_into(c, x_), v = moved_into(c, v_), u = moved_into(c, u_);
    all.push_back(jvp_flat(function(c, p_.result), x, v).second);
    const Function slope = [&](const Tensors& z) {
      return dot_of(value_and_grad_flat(function(c, p_.result), z).second, u);
    };
    if (p_.order <= 1) all.push_back(jvp_flat(slope, x, v).second);
    return all;
  }
  uint64_t sides_at(Context c, const Tensors& x, std::vector<Array>* frozen) const {
    uint64_t sides = 1;
    c.sides = &sides;
    c.record = frozen;
    value(c, x);
    return sides;
  }
  Tensors moved(const Tensors& x, const Tensors& v, double h) const {
    Tensors result;
    for (size_t i = 0; i < x.size(); ++i) result.push_back(x[i] + v[i] * h);
    return result;
  }

  // ---- comparing ----
  using Number = std::function<double(Context&)>;

  void fail(const std::string& what, double a, double b, double tolerance) {
    if (failure_.empty()) {
      std::ostringstream out;
      out.precision(17);
      out << what << ": " << a << " and " << b << ", allowed difference " << tolerance;
      failure_ = out.str();
    }
  }

  /// A context with disturbed values; false when the program then lies on the other side of a kink.
  bool disturb(Context& c, uint64_t draw) {
    c.jitter = jitter_of(c.dtype);
    c.draw = draw;
    int& known = steady_[c.dtype == DType::f32][draw];
    if (known == 0) known = sides_at(c, x_, nullptr) == base_sides_ ? 1 : -1;
    return known > 0;
  }

  /// What rounding may do to this number. Negative: not known.
  double rounding(const Number& f, double undisturbed, DType dtype = DType::f64) {
    double largest = 0;
    for (const uint64_t draw : {0, 1}) {
      Context c;
      c.dtype = dtype;
      if (!disturb(c, draw)) return -1;
      largest = std::max(largest, std::abs(f(c) - undisturbed));
    }
    return safety * epsilon_of(dtype) * (largest / jitter_of(dtype) + std::abs(undisturbed) + 1);
  }

  void close(const char* what, const Number& f, const Number& g) {
    Context plain;
    const double a = f(plain), b = g(plain);
    ++counts_.checks;
    if (std::abs(a - b) <= 0x1p-48 * std::abs(a)) return;  // closer than any tolerance
    if (!std::isfinite(a) || !std::isfinite(b)) return fail(what, a, b, 0);
    const double tolerance = std::min(rounding(f, a), rounding(g, b));
    if (tolerance < 0) {
      ++counts_.undecided;
      return;
    }
    const double allowed = std::max(rounding(f, a), rounding(g, b));
    if (!(std::abs(a - b) <= allowed)) fail(what, a, b, allowed);
  }

  /// The derivative of g along v, by central differences with three extrapolations, against what we
  /// have. `noise`: rounding of g itself. Of two extrapolations, one in 360,000 programs agreed by
  /// chance where neither was near.
  void differences(const char* what, const std::function<double(Context&, const Tensors&)>& g,
                   double slope) {
    Context c;
    c.replay = &frozen_;
    const double near_enough = 1e-8 * std::abs(slope);
    const double noise = rounding([&](Context& disturbed) { return g(disturbed, x_); }, g(c, x_));
    const double steps[] = {0x1p-8, 0x1p-10, 0x1p-12, 0x1p-14};
    double central[4];
    for (int k = 0; k < 4; ++k) {
      const Tensors above = moved(x_, v_, steps[k]), below = moved(x_, v_, -steps[k]);
      for (const Tensors* x : {&above, &below}) {
        Context side;
        side.replay = &frozen_;
        if (noise < 0 || sides_at(side, *x, nullptr) != base_sides_) {
          ++counts_.undecided;
          return;
        }
      }
      central[k] = (g(c, above) - g(c, below)) / (2 * steps[k]);
    }
    double limit[3];
    for (int k = 0; k < 3; ++k) limit[k] = (16 * central[k + 1] - central[k]) / 15;
    const double fine = limit[2];
    // the error of each is about 1/256 of that before it; noise / h is what rounding does to the
    // quotient
    const double tolerance = std::abs(fine - limit[1]) + std::abs(limit[1] - limit[0]) / 256 +
                             2 * noise / steps[3] + near_enough;
    ++counts_.checks;
    if (tolerance > 1e-3 * (std::abs(slope) + std::abs(g(c, x_)) + 1))
      ++counts_.undecided;
    else if (!(std::abs(slope - fine) <= tolerance))
      fail(what, slope, fine, tolerance);
  }

  void compare(const char* what, Context& here, Context& there) {
    const std::vector<double> a = numbers(all_of(here)), b = numbers(all_of(there));
    std::vector<double> spread(a.size());
    for (const uint64_t draw : {0, 1}) {
      Context c = here;
      if (!disturb(c, draw)) {
        ++counts_.undecided;
        return;
      }
      const std::vector<double> d = numbers(all_of(c));
      for (size_t i = 0; i < a.size(); ++i) spread[i] = std::max(spread[i], std::abs(d[i] - a[i]));
    }
    const double size = *std::max_element(spread.begin(), spread.end());
    ++counts_.checks;
    for (size_t i = 0; i < a.size(); ++i) {
      const double tolerance =
          safety * epsilon_of(here.dtype) * (size / jitter_of(here.dtype) + std::abs(a[i]) + 1);
      if (!(std::abs(a[i] - b[i]) <= tolerance)) fail(what, a[i], b[i], tolerance);
    }
  }

  // ---- what must hold ----
  void values_and_order() {
    Context plain;
    const Tensors x = moved_into(plain, x_);
    const Tensor in_list = function(plain, p_.result)(x),
                 in_need = function(plain, p_.result, true)(x);
    ++counts_.checks;
    if (!same_bits({in_list}, {in_need}))
      fail("other bits in another order", in_list.item(), in_need.item(), 0);
  }

  void first_order() {
    close(
        "forward against reverse", [&](Context& c) { return forward(c, x_, v_); },
        [&](Context& c) { return reverse(c, x_, v_); });
    close(
        "reverse in another order", [&](Context& c) { return reverse(c, x_, v_); },
        [&](Context& c) { return reverse(c, x_, v_, true); });
    Context plain;
    differences(
        "first derivative against differences",
        [&](Context& c, const Tensors& x) { return value(c, x); }, forward(plain, x_, v_));
  }

  /// Of the vector-valued step: <ct, J v> = <J^T ct, v>, linearity of push and pull, linearize =
  /// jvp, the same bits twice.
  void identities() {
    const Shape shape = p_.steps[static_cast<size_t>(p_.vector)].value.shape();
    const Array ct = draw(dice_, shape, -1, 1), ct2 = draw(dice_, shape, -1, 1);
    const auto push = [&](Context& c, const Tensors& v) {
      return jvp_flat(function(c, p_.vector), moved_into(c, x_), v).second;
    };
    const auto pull = [&](Context& c, const Tensor& cotangent, const Tensors& v) {
      return dot(vjp_flat(function(c, p_.vector), moved_into(c, x_)).second(cotangent), v);
    };
    close(
        "transposition", [&](Context& c) { return dot(c.constant(ct), push(c, v_)); },
        [&](Context& c) { return pull(c, c.constant(ct), v_); });
    close(
        "linearity of the forward mode",
        [&](Context& c) { return dot(ct, push(c, moved(v_, u_, 0.7))); },
        [&](Context& c) { return dot(ct, push(c, v_)) + 0.7 * dot(ct, push(c, u_)); });
    close(
        "linearity of the reverse mode",
        [&](Context& c) { return pull(c, Tensor(ct) + Tensor(ct2) * 0.7, v_); },
        [&](Context& c) { return pull(c, ct, v_) + 0.7 * pull(c, ct2, v_); });
    const auto along_first = [&](Context& c, bool linearized) {
      const auto f = [&](const Tensor& first) {
        Tensors x = x_;
        x[0] = first;
        return function(c, p_.vector)(x);
      };
      return dot(ct, linearized ? linearize(f, x_[0]).second(v_[0]) : jvp(f, x_[0], v_[0]).second);
    };
    close(
        "linearize against the forward mode", [&](Context& c) { return along_first(c, true); },
        [&](Context& c) { return along_first(c, false); });
    Context plain;
    const auto [y, pullback] = vjp_flat(function(plain, p_.vector), x_);
    ++counts_.checks;
    if (!same_bits(pullback(ct), pullback(ct))) fail("a pullback called twice", 0, 0, 0);
  }

  double forward_forward(Context& c, const Tensors& x) const {
    const Function slope = [&](const Tensors& y) {
      return jvp_flat(function(c, p_.result), y, u_).second;
    };
    return jvp_flat(slope, x, v_).second.item();
  }

  void second_order() {
    const auto by_forward = [&](Context& c) -> Function {
      return [&](const Tensors& y) { return jvp_flat(function(c, p_.result), y, u_).second; };
    };
    const auto by_reverse = [&](Context& c) -> Function {
      return [&](const Tensors& y) {
        return dot_of(value_and_grad_flat(function(c, p_.result), y).second, u_);
      };
    };
    const Number ff = [&](Context& c) { return forward_forward(c, x_); };
    close("forward over forward against forward over reverse", ff,
          [&](Context& c) { return jvp_flat(by_reverse(c), x_, v_).second.item(); });
    close("forward over forward against reverse over forward", ff,
          [&](Context& c) { return dot(value_and_grad_flat(by_forward(c), x_).second, v_); });
    close("forward over forward against reverse over reverse", ff,
          [&](Context& c) { return dot(value_and_grad_flat(by_reverse(c), x_).second, v_); });
    Context plain;
    differences(
        "second derivative against differences",
        [&](Context& c, const Tensors& x) { return forward(c, x, u_); }, ff(plain));
  }

  void third_order() {
    const auto reverse_forward = [&](Context& c) -> Function {
      return [&](const Tensors& z) {
        const Function slope = [&](const Tensors& y) {
          return jvp_flat(function(c, p_.result), y, u_).second;
        };
        return dot_of(value_and_grad_flat(slope, z).second, v_);
      };
    };
    const auto forward_forward_of = [&](Context& c) -> Function {
      return [&](const Tensors& z) {
        const Function slope = [&](const Tensors& y) {
          return jvp_flat(function(c, p_.result), y, u_).second;
        };
        return jvp_flat(slope, z, v_).second;
      };
    };
    const Number fff = [&](Context& c) {
      return jvp_flat(forward_forward_of(c), x_, w_).second.item();
    };
    close("third derivative, three forward against reverse over reverse over forward", fff,
          [&](Context& c) { return dot(value_and_grad_flat(reverse_forward(c), x_).second, w_); });
    close("third derivative, three forward against forward over reverse over forward", fff,
          [&](Context& c) { return jvp_flat(reverse_forward(c), x_, w_).second.item(); });
    Context plain;
    std::swap(v_, w_);  // the difference is taken along v
    const double slope = jvp_flat(
                             [&](const Tensors& z) {
                               const Function first = [&](const Tensors& y) {
                                 return jvp_flat(function(plain, p_.result), y, u_).second;
                               };
                               return jvp_flat(first, z, w_).second;
                             },
                             x_, v_)
                             .second.item();
    differences(
        "third derivative against differences",
        [&](Context& c, const Tensors& x) {
          const Function first = [&](const Tensors& y) {
            return jvp_flat(function(c, p_.result), y, u_).second;
          };
          return jvp_flat(first, x, w_).second.item();
        },
        slope);
    std::swap(v_, w_);
  }

  /// In f32 the same within what rounding to f32 does, whether a derivative is taken forward or in
  /// reverse.
  void single() {
    Context single;
    single.dtype = DType::f32;
    if (sides_at(single, x_, nullptr) != base_sides_) {
      ++counts_.undecided;
      return;
    }
    Context plain;
    const Number number[] = {[&](Context& c) { return value(c, x_); },
                             [&](Context& c) { return forward(c, x_, v_); },
                             [&](Context& c) { return reverse(c, x_, v_); }};
    constexpr const char* names[] = {"value in f32", "forward in f32", "reverse in f32"};
    for (int i = 0; i < 3; ++i) {
      const double exact = number[i](plain), rounded = number[i](single);
      const double tolerance = rounding(number[i], rounded, DType::f32);
      ++counts_.checks;
      if (tolerance < 0 || tolerance > 0.1 * (1 + std::abs(exact)))
        ++counts_.undecided;
      else if (!(std::abs(exact - rounded) <= tolerance))
        fail(names[i], exact, rounded, tolerance);
    }
  }

  const Program& p_;
  Dice dice_;
  Counts& counts_;
  Tensors x_, v_, u_, w_;
  std::vector<Array> frozen_;
  uint64_t base_sides_ = 0;
  // of a disturbed program, by dtype and draw: 0 not known, 1 on the same sides of all kinks
  int steady_[2][2] = {};
  std::string failure_;
};

}  // namespace

std::string check(const Program& program, uint64_t seed, const Device& device,
                  const Settings& settings, Counts& counts) {
  const size_t live = memory_stats().live, live_there = memory_stats(device).live;
  std::string failure;
  try {
    Checker checker(program, seed, counts);
    if (settings.large)
      failure = checker.on_threads();
    else
      failure = device.is_cpu() ? checker.on_cpu(seed % 4 == 0) : checker.on_device(device);
  } catch (const std::exception& error) {
    return text("an exception: ", error.what());
  }
  if (failure.empty() && (memory_stats().live != live || memory_stats(device).live != live_there))
    failure = text("memory left: ", memory_stats().live - live, " bytes on the CPU, ",
                   memory_stats(device).live - live_there, " on ", device.name());
  return failure;
}

}  // namespace basin::programs
