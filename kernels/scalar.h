// The scalar formulas of ops.def as functions and functors, for g++, clang and nvcc alike.
#pragma once
#include <cmath>
#include <cstdint>
#include <type_traits>

#include "kernels/fast_math.h"

namespace basin {

/// Elementwise operations of one argument (and two parameters), in the order of ops.def.
enum class Unary : uint8_t {
#define UNARY(name, ...) name,
#define FLAT(name, ...) name,
#include "kernels/ops.def"
};

/// Elementwise operations of two arguments.
enum class Binary : uint8_t {
#define BINARY(name, ...) name,
#define COMPARISON(name, ...) name,
#include "kernels/ops.def"
};

/// What the derivative of an operation reads.
enum class Reads : uint8_t { NONE = 0, X = 1, Y = 2, XY = 3 };

template <Unary>
struct UnaryOp;
template <Binary>
struct BinaryOp;

namespace scalar {

#define BASIN_FORMULA(name, formula)                            \
  template <class T>                                            \
  BASIN_HD inline T name(T x, std::type_identity_t<T> a = T(0), \
                         std::type_identity_t<T> b = T(0)) {    \
    (void)a, (void)b;                                           \
    return formula;                                             \
  }
#define UNARY(name, takes, reads, formula, ...) BASIN_FORMULA(name, (formula))
#define FLAT(name, takes, formula, ...) BASIN_FORMULA(name, (formula))
#include "kernels/ops.def"
#undef BASIN_FORMULA

#define BASIN_FORMULA2(name, formula) \
  template <class T>                  \
  BASIN_HD inline T name(T x, T y) {  \
    return formula;                   \
  }
#define BINARY(name, formula, ...) BASIN_FORMULA2(name, (formula))
#define COMPARISON(name, symbol) BASIN_FORMULA2(name, x symbol y ? T(1) : T(0))
#include "kernels/ops.def"
#undef BASIN_FORMULA2

template <class T>
BASIN_HD inline T where(T condition, T x, T y) {
  return condition != T(0) ? x : y;
}

/// d name / dx as a function of x, y = name(x), a, b.
#define UNARY(name, takes, reads, formula, derivative, ...) \
  template <class T>                                        \
  BASIN_HD inline T name##_slope(T x, T y, T a, T b) {      \
    (void)x, (void)y, (void)a, (void)b;                     \
    return derivative;                                      \
  }
#include "kernels/ops.def"

/// The slope as a function of y alone, where the table has one.
template <Unary op>
struct OutputSlope {
  static constexpr bool known = false;
  template <class T>
  BASIN_HD static T at(T y, T a, T b) {
    return UnaryOp<op>::slope(y, y, a, b);
  }
};
#define BY_OUTPUT(name, derivative)       \
  template <>                             \
  struct OutputSlope<Unary::name> {       \
    static constexpr bool known = true;   \
    template <class T>                    \
    BASIN_HD static T at(T y, T a, T b) { \
      (void)y, (void)a, (void)b;          \
      return derivative;                  \
    }                                     \
  };
#include "kernels/ops.def"

}  // namespace scalar

/// The functors: UnaryOp<op>::value(x, a, b) and ::slope(x, y, a, b); BinaryOp<op>::value(x, y).
/// Where ::fuses, ::slope_by_output(y, a, b) is the slope for kernels that keep the output alone.

#define UNARY(name, takes, reads, ...)                                                     \
  template <>                                                                              \
  struct UnaryOp<Unary::name> {                                                            \
    static constexpr bool fuses = scalar::OutputSlope<Unary::name>::known ||               \
                                  Reads::reads == Reads::Y || Reads::reads == Reads::NONE; \
    template <class T>                                                                     \
    BASIN_HD static T value(T x, T a, T b) {                                               \
      return scalar::name(x, a, b);                                                        \
    }                                                                                      \
    template <class T>                                                                     \
    BASIN_HD static T slope(T x, T y, T a, T b) {                                          \
      return scalar::name##_slope(x, y, a, b);                                             \
    }                                                                                      \
    template <class T>                                                                     \
    BASIN_HD static T slope_by_output(T y, T a, T b) {                                     \
      return scalar::OutputSlope<Unary::name>::at(y, a, b);                                \
    }                                                                                      \
  };
#define FLAT(name, ...)                          \
  template <>                                    \
  struct UnaryOp<Unary::name> {                  \
    static constexpr bool fuses = false;         \
    template <class T>                           \
    BASIN_HD static T value(T x, T a, T b) {     \
      return scalar::name(x, a, b);              \
    }                                            \
    template <class T>                           \
    BASIN_HD static T slope(T, T, T, T) {        \
      return T(0);                               \
    }                                            \
    template <class T>                           \
    BASIN_HD static T slope_by_output(T, T, T) { \
      return T(0);                               \
    }                                            \
  };
#define BINARY(name, ...)               \
  template <>                           \
  struct BinaryOp<Binary::name> {       \
    template <class T>                  \
    BASIN_HD static T value(T x, T y) { \
      return scalar::name(x, y);        \
    }                                   \
  };
#define COMPARISON(name, ...) BINARY(name)
#include "kernels/ops.def"

/// Calls f with the functor type's instance of an operation known at run time.
template <class F>
void with_unary(Unary op, F&& f) {
  switch (op) {
#define UNARY(name, ...) \
  case Unary::name:      \
    return f(UnaryOp<Unary::name>{});
#define FLAT(name, ...) UNARY(name)
#include "kernels/ops.def"
  }
}
template <class F>
void with_binary(Binary op, F&& f) {
  switch (op) {
#define BINARY(name, ...) \
  case Binary::name:      \
    return f(BinaryOp<Binary::name>{});
#define COMPARISON(name, ...) BINARY(name)
#include "kernels/ops.def"
  }
}
}  // namespace basin
