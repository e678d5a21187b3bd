#include "experiments/online_sgd/theory/integrate.h"

#include <arkode/arkode_erkstep.h>
#include <cvode/cvode.h>
#include <nvector/nvector_serial.h>
#include <sunlinsol/sunlinsol_dense.h>
#include <sunlinsol/sunlinsol_spgmr.h>
#include <sunmatrix/sunmatrix_dense.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <memory>

#include "engine/error.h"
#include "experiments/harness/run.h"

namespace basin::online {
namespace {

constexpr int64_t largest_dense =
    400;  // unknowns up to which a dense Jacobian is cheaper than Krylov iterations

/// What the C callbacks see.
struct Problem {
  const VelocityField& f;
  const IntegrateOptions& options;
  double origin;   // the solver's clock counts from here
  double largest;  // component so far; 0 for a start at zero, which has no scale
  Vector y;
  Vector dy;
  void* cvode = nullptr;
  std::exception_ptr thrown;
  std::string message;
  int64_t evaluations = 0;
};

double* values(N_Vector v) {
  return N_VGetArrayPointer(v);
}

int evaluate(sunrealtype t, N_Vector y, N_Vector dy, void* user) {
  auto& p = *static_cast<Problem*>(user);
  p.y = Eigen::Map<const Vector>(values(y), p.y.size());
  ++p.evaluations;
  if (!p.y.allFinite()) return 1;  // no place to ask f about: a smaller step
  try {
    if (p.evaluations % 64 == 0) check_interrupt();  // two output times can be minutes apart
    p.f(p.origin + t, p.y, p.dy);
    require(p.dy.size() == p.y.size(), "integrate: f gave ", p.dy.size(), " derivatives of ",
            p.y.size(), " unknowns");
  } catch (...) {  // an exception must not pass through C code
    p.thrown = std::current_exception();
    return -1;
  }
  Eigen::Map<Vector>(values(dy), p.y.size()) = p.dy;
  return p.dy.allFinite() ? 0 : 1;  // 1: try a smaller step
}

template <class V>
double length(const V& v) {
  const double plain = v.norm();
  return plain > 1e-140 && plain < 1e140 ? plain : v.stableNorm();
}

/// Differences, with an increment on the scale of the whole solution. CVODE's own shrink with a
/// component and with dy: at a fixed point where some components have died away it would divide
/// rounding errors by next to nothing.
int jacobian(sunrealtype t, N_Vector y, N_Vector dy, SUNMatrix j, void* user, N_Vector, N_Vector,
             N_Vector) {
  const auto& p = *static_cast<Problem*>(user);
  const int64_t n = p.y.size();
  const double root = std::sqrt(static_cast<double>(n));
  double scale = length(Eigen::Map<const Vector>(values(y), n)) / root;
  const Vector at = Eigen::Map<const Vector>(values(dy), n);
  if (scale == 0) {  // where the next step goes
    CVodeGetCurrentStep(p.cvode, &scale);
    scale = std::abs(scale) * length(at) / root;
  }
  for (int64_t i = 0; i < n; ++i) {
    double& component = values(y)[i];
    const double before = component;
    component += 1e-8 * (std::max(std::abs(before), scale) + 1e-300);
    const int status = evaluate(t, y, dy, user);  // dy is overwritten, and put back below
    Eigen::Map<Vector>(SUNDenseMatrix_Column(j, i), n) =
        (Eigen::Map<const Vector>(values(dy), n) - at) / (component - before);
    component = before;
    Eigen::Map<Vector>(values(dy), n) = at;
    if (status != 0) return status;
  }
  return 0;
}

/// Weights 1 / (relative |y| + absolute), but the absolute error is never above the relative one of
/// the largest component so far: a solution of another scale is followed as well as one of scale 1.
int weights(N_Vector y, N_Vector weight, void* user) {
  auto& p = *static_cast<Problem*>(user);
  const Eigen::Map<const Vector> at(values(y), p.y.size());
  double absolute = p.options.absolute;
  if (p.largest > 0 && p.options.relative > 0) {
    p.largest = std::max(p.largest, at.cwiseAbs().maxCoeff());
    absolute = std::min(absolute, std::max(p.options.relative * p.largest, 1e-290));
  }
  for (int64_t i = 0; i < at.size(); ++i)
    values(weight)[i] = 1 / (p.options.relative * std::abs(at[i]) + absolute);
  return absolute > 0 || at.cwiseAbs().minCoeff() > 0 ? 0 : -1;
}

void keep_message(int, const char*, const char*, char* message, void* user) {
  static_cast<Problem*>(user)->message = message;
}

/// What SUNDIALS gives where it found no memory is nothing.
template <class T>
T had(T made, const char* what, int64_t unknowns) {
  if (made) return made;
  throw Error(text("integrate: out of memory for ", what, " of ", unknowns, " unknowns"),
              Fault::internal);
}

// SUNDIALS makes copies, and uses what it gets without a look. So these throw: the one exception
// that passes through C code, which 64-bit systems compile for it.
N_Vector copy_of(N_Vector v) {
  return had(N_VClone_Serial(v), "a state", N_VGetLength(v));
}
SUNMatrix copy_of(SUNMatrix m) {
  return had(SUNMatClone_Dense(m), "a matrix", SUNDenseMatrix_Rows(m));
}

template <class T, void (*Free)(T)>
struct Freed {
  using pointer = T;
  void operator()(T t) const { Free(t); }
};
void free_vector(N_Vector v) {
  N_VDestroy(v);
}
void free_matrix(SUNMatrix m) {
  SUNMatDestroy(m);
}
void free_solver(SUNLinearSolver s) {
  SUNLinSolFree(s);
}
using VectorHandle = std::unique_ptr<N_Vector, Freed<N_Vector, free_vector>>;
using MatrixHandle = std::unique_ptr<SUNMatrix, Freed<SUNMatrix, free_matrix>>;
using SolverHandle = std::unique_ptr<SUNLinearSolver, Freed<SUNLinearSolver, free_solver>>;

struct Context {
  SUNContext handle = nullptr;
  Context() {
    require(SUNContext_Create(nullptr, &handle) == 0, "integrate: SUNDIALS gives no context");
  }
  ~Context() { SUNContext_Free(&handle); }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
};

void check(int status, const char* call, const Problem& p) {
  if (status < 0)
    throw Error(text("integrate: ", call, " failed with ", status, ": ", p.message),
                Fault::internal);
}

/// Advances to a time; both methods look the same from outside.
class Method {
 public:
  virtual ~Method() = default;
  virtual int advance(double to, N_Vector y, double* reached) = 0;
  virtual int64_t steps() = 0;
};

class Bdf : public Method {
 public:
  Bdf(Problem& p, N_Vector y, double t, const IntegrateOptions& o, SUNContext context) {
    const auto n = static_cast<sunindextype>(p.y.size());
    memory_ = had(CVodeCreate(CV_BDF, context), "CVODE", n);
    p.cvode = memory_;
    check(CVodeSetErrHandlerFn(memory_, keep_message, &p), "CVodeSetErrHandlerFn", p);
    check(CVodeInit(memory_, evaluate, t, y), "CVodeInit", p);
    check(CVodeSetUserData(memory_, &p), "CVodeSetUserData", p);
    check(CVodeWFtolerances(memory_, weights), "CVodeWFtolerances", p);
    check(CVodeSetMaxNumSteps(memory_, o.max_steps), "CVodeSetMaxNumSteps", p);
    if (n <= largest_dense) {
      matrix_.reset(had(SUNDenseMatrix(n, n, context), "a matrix", n));
      matrix_->ops->clone = copy_of;
      solver_.reset(had(SUNLinSol_Dense(y, matrix_.get(), context), "a solver", n));
    } else {
      solver_.reset(had(SUNLinSol_SPGMR(y, SUN_PREC_NONE, 30, context), "a solver", n));
    }
    check(CVodeSetLinearSolver(memory_, solver_.get(), matrix_.get()), "CVodeSetLinearSolver", p);
    if (matrix_) check(CVodeSetJacFn(memory_, jacobian), "CVodeSetJacFn", p);
  }
  ~Bdf() override { CVodeFree(&memory_); }
  int advance(double to, N_Vector y, double* reached) override {
    // Interpolates beyond it: stopping there would cut steps to slivers, whose error test is lost
    // in rounding.
    return CVode(memory_, to, y, reached, CV_NORMAL);
  }
  int64_t steps() override {
    long count = 0;
    CVodeGetNumSteps(memory_, &count);
    return count;
  }

 private:
  void* memory_ = nullptr;
  MatrixHandle matrix_;
  SolverHandle solver_;
};

class RungeKutta : public Method {
 public:
  RungeKutta(Problem& p, N_Vector y, double t, const IntegrateOptions& o, SUNContext context) {
    memory_ = had(ERKStepCreate(evaluate, t, y, context), "ARKODE", p.y.size());
    check(ERKStepSetErrHandlerFn(memory_, keep_message, &p), "ERKStepSetErrHandlerFn", p);
    check(ERKStepSetUserData(memory_, &p), "ERKStepSetUserData", p);
    check(ERKStepSetTableNum(memory_, ARKODE_FEHLBERG_13_7_8), "ERKStepSetTableNum", p);
    check(ERKStepWFtolerances(memory_, weights), "ERKStepWFtolerances", p);
    check(ERKStepSetMaxErrTestFails(memory_, 40), "ERKStepSetMaxErrTestFails",
          p);  // at the edge of stability
    check(ERKStepSetMaxNumSteps(memory_, o.max_steps), "ERKStepSetMaxNumSteps", p);
  }
  ~RungeKutta() override { ERKStepFree(&memory_); }
  int advance(double to, N_Vector y, double* reached) override {
    ERKStepSetStopTime(memory_, to);
    return ERKStepEvolve(memory_, to, y, reached, ARK_NORMAL);
  }
  int64_t steps() override {
    long count = 0;
    ERKStepGetNumSteps(memory_, &count);
    return count;
  }

 private:
  void* memory_ = nullptr;
};

/// Up to here from the start a state is its tangent: the error, the square of this, is below any
/// rounding, and the solvers compare products of two such times, which underflow.
constexpr double tangent_only = 1e-140;

void check_input(const Vector& y, const std::vector<double>& times, const IntegrateOptions& o) {
  require(!times.empty() && y.size() > 0, "integrate: needs a state and at least one time");
  require(y.allFinite(), "integrate: the state [", y.size(), "] at t = ", times[0],
          " has an entry that is not finite");
  for (size_t i = 0; i < times.size(); ++i) {
    require(std::isfinite(times[i]), "integrate: times[", i, "] is ", times[i],
            "; times are finite and rise");
    const double before = i > 0 ? times[i - 1] : -HUGE_VAL;
    require(times[i] > before, "integrate: times must rise, but ", times[i], " follows ", before);
  }
  require(o.relative >= 0 && o.absolute >= 0 && o.relative + o.absolute > 0 && o.max_steps > 0,
          "integrate: tolerances (", o.relative, ", ", o.absolute,
          ") are not negative, one is positive, and max_steps (", o.max_steps, ") is positive");
  require(o.fixed_step == 0 ||
              (o.fixed_step > 0 && std::isfinite(o.fixed_step) && (o.order == 1 || o.order == 4)),
          "integrate: fixed_step (", o.fixed_step, ") is positive and order (", o.order,
          ") is 1 or 4");
}

/// Takes y over `count` steps of fixed length from time t.
void take_fixed_steps(const VelocityField& f, double t, double step, int64_t count, int order,
                      Vector& y) {
  Vector k1(y.size());
  Vector k2(y.size());
  Vector k3(y.size());
  Vector k4(y.size());
  for (int64_t n = 0; n < count; ++n, t += step) {
    f(t, y, k1);
    if (order == 1) {
      y += step * k1;
      continue;
    }
    f(t, y + step / 2 * k1, k2);
    f(t, y + step / 2 * k2, k3);
    f(t, y + step * k3, k4);
    y += step / 6 * (k1 + 2 * k2 + 2 * k3 + k4);
  }
}

}  // namespace

Path integrate(const VelocityField& f, const Vector& y, const std::vector<double>& times,
               const IntegrateOptions& options) {
  check_input(y, times, options);
  Path path{times, {y}, "", 0, 0};
  Problem problem{f,       options, 0, y.cwiseAbs().maxCoeff(), y, Vector(y.size()), nullptr,
                  nullptr, "",      0};
  const auto keep = [&](const Vector& state) {
    const double t = times[path.states.size()];
    if (!state.allFinite()) {
      path.failure = text("the integrator stopped: the state at t = ", t, " is not finite");
      return false;
    }
    path.states.push_back(state);
    if (options.progress) options.progress(t);
    return true;
  };
  if (options.fixed_step > 0) {
    Vector now = y;
    while (path.states.size() < times.size()) {
      const double from = times[path.states.size() - 1];
      const int64_t count = std::llround((times[path.states.size()] - from) / options.fixed_step);
      take_fixed_steps(f, from, options.fixed_step, count, options.order, now);
      path.steps += count;
      if (!keep(now)) break;
    }
    path.evaluations = path.steps * options.order;
    return path;
  }
  while (path.states.size() < times.size() && times[path.states.size()] - times[0] < tangent_only) {
    f(times[0], y, problem.dy);
    if (!keep(y + (times[path.states.size()] - times[0]) * problem.dy)) return path;
  }
  if (path.states.size() == times.size()) return path;
  // A clock that shows times[0] would have no digits left for steps to a first output so near.
  const double next = times[path.states.size()];
  if (next - times[0] < 1e-6 * std::max(std::abs(next), std::abs(times[0])))
    problem.origin = times[0];
  const Context context;
  const VectorHandle state(
      had(N_VNew_Serial(static_cast<sunindextype>(y.size()), context.handle), "a state", y.size()));
  state->ops->nvclone = copy_of;
  Eigen::Map<Vector>(values(state.get()), y.size()) = y;
  std::unique_ptr<Method> method;
  double reached = times[0] - problem.origin;
  if (options.implicit)
    method = std::make_unique<Bdf>(problem, state.get(), reached, options, context.handle);
  else
    method = std::make_unique<RungeKutta>(problem, state.get(), reached, options, context.handle);
  while (path.states.size() < times.size()) {
    problem.message.clear();
    const int status =
        method->advance(times[path.states.size()] - problem.origin, state.get(), &reached);
    if (problem.thrown) std::rethrow_exception(problem.thrown);
    if (status == CV_MEM_FAIL) check(status, "a step", problem);  // as ARK_MEM_FAIL
    if (status < 0) {
      path.failure =
          text("the integrator stopped at t = ", problem.origin + reached, " (status ", status,
               problem.origin != 0 ? ", with times from the start on" : "", "): ", problem.message);
      break;
    }
    if (!keep(Eigen::Map<const Vector>(values(state.get()), y.size()))) break;
  }
  path.steps = method->steps();
  path.evaluations = problem.evaluations;
  return path;
}

}  // namespace basin::online
