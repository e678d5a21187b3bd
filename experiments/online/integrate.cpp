#include "experiments/online/integrate.h"

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
#include "experiments/run.h"

namespace basin::online {
namespace {

constexpr int64_t largest_dense = 400;  // unknowns up to which a dense Jacobian is cheaper than Krylov iterations

/// What the C callbacks see.
struct Problem {
  const VelocityField& f;
  Vector y, dy;
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
    p.f(t, p.y, p.dy);
  } catch (...) {  // an exception must not pass through C code
    p.thrown = std::current_exception();
    return -1;
  }
  Eigen::Map<Vector>(values(dy), p.y.size()) = p.dy;
  return p.dy.allFinite() ? 0 : 1;  // 1: try a smaller step
}

/// Differences, with an increment on the scale of the whole solution. CVODE's own shrink with a component and with dy:
/// at a fixed point where some components have died away it would divide rounding errors by next to nothing.
int jacobian(sunrealtype t, N_Vector y, N_Vector dy, SUNMatrix j, void* user, N_Vector, N_Vector, N_Vector) {
  const auto& p = *static_cast<Problem*>(user);
  const int64_t n = p.y.size();
  const double scale = Eigen::Map<const Vector>(values(y), n).norm() / std::sqrt(static_cast<double>(n));
  const Vector at = Eigen::Map<const Vector>(values(dy), n);
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

void keep_message(int, const char*, const char*, char* message, void* user) {
  static_cast<Problem*>(user)->message = message;
}

/// What SUNDIALS gives where it found no memory is nothing.
template <class T>
T had(T made, const char* what, int64_t unknowns) {
  if (made) return made;
  throw Error(text("integrate: out of memory for ", what, " of ", unknowns, " unknowns"), Fault::internal);
}

// SUNDIALS makes copies, and uses what it gets without a look. So these throw: the one exception that passes through
// C code, which 64-bit systems compile for it.
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
  Context() { require(SUNContext_Create(nullptr, &handle) == 0, "integrate: SUNDIALS gives no context"); }
  ~Context() { SUNContext_Free(&handle); }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
};

void check(int status, const char* call, const Problem& p) {
  if (status < 0) throw Error(text("integrate: ", call, " failed with ", status, ": ", p.message), Fault::internal);
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
    check(CVodeSetErrHandlerFn(memory_, keep_message, &p), "CVodeSetErrHandlerFn", p);
    check(CVodeInit(memory_, evaluate, t, y), "CVodeInit", p);
    check(CVodeSetUserData(memory_, &p), "CVodeSetUserData", p);
    check(CVodeSStolerances(memory_, o.relative, o.absolute), "CVodeSStolerances", p);
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
    // Interpolates beyond it: stopping there would cut steps to slivers, whose error test is lost in rounding.
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
    check(ERKStepSStolerances(memory_, o.relative, o.absolute), "ERKStepSStolerances", p);
    check(ERKStepSetMaxErrTestFails(memory_, 40), "ERKStepSetMaxErrTestFails", p);  // at the edge of stability
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

}  // namespace

Path integrate(const VelocityField& f, const Vector& y, const std::vector<double>& times,
               const IntegrateOptions& options) {
  require(!times.empty() && y.size() > 0, "integrate: needs a state and at least one time");
  for (size_t i = 1; i < times.size(); ++i)
    require(times[i] > times[i - 1], "integrate: times must rise, but ", times[i], " follows ", times[i - 1]);
  Path path{times, {y}, "", 0, 0};
  if (times.size() == 1) return path;
  const Context context;
  Problem problem{f, y, Vector(y.size()), nullptr, "", 0};
  const VectorHandle state(
      had(N_VNew_Serial(static_cast<sunindextype>(y.size()), context.handle), "a state", y.size()));
  state->ops->nvclone = copy_of;
  Eigen::Map<Vector>(values(state.get()), y.size()) = y;
  std::unique_ptr<Method> method;
  if (options.implicit)
    method = std::make_unique<Bdf>(problem, state.get(), times[0], options, context.handle);
  else
    method = std::make_unique<RungeKutta>(problem, state.get(), times[0], options, context.handle);
  double reached = times[0];
  for (size_t i = 1; i < times.size(); ++i) {
    const int status = method->advance(times[i], state.get(), &reached);
    if (problem.thrown) std::rethrow_exception(problem.thrown);
    if (status == CV_MEM_FAIL) check(status, "a step", problem);  // as ARK_MEM_FAIL
    if (status < 0) {
      path.failure = text("the integrator stopped at t = ", reached, " (status ", status, "): ", problem.message);
      break;
    }
    path.states.emplace_back(Eigen::Map<const Vector>(values(state.get()), y.size()));
    if (options.progress) options.progress(times[i]);
  }
  path.steps = method->steps();
  path.evaluations = problem.evaluations;
  return path;
}

}  // namespace basin::online
