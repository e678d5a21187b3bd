// Random programs over the whole table of operations. A program is a list of steps, each with a
// line of text and a call on the values before it; nested transforms hold a program of their own.
// All of it follows from a seed.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "autograd/transforms.h"

namespace basin::programs {

/// A small generator of ours (splitmix64): the same numbers from every compiler.
class Dice {
 public:
  explicit Dice(uint64_t seed) : state_(seed) {}
  uint64_t next();
  /// 0 .. n-1; n must be positive.
  int64_t below(int64_t n) { return static_cast<int64_t>(next() % static_cast<uint64_t>(n)); }
  /// low .. high, both included.
  int64_t between(int64_t low, int64_t high) { return low + below(high - low + 1); }
  bool chance(double p) { return real(0, 1) < p; }
  double real(double low, double high) {
    return low + (high - low) * static_cast<double>(next() >> 11) * 0x1p-53;
  }

 private:
  uint64_t state_;
};

/// f64 numbers of U[low, high) on the CPU.
Array draw(Dice& dice, const Shape& shape, double low, double high);

/// How one evaluation is done and what it notes.
struct Context {
  DType dtype = DType::f64;
  Device device;
  /// Every value is disturbed relatively by +-jitter: what rounding does, only larger, so that it
  /// can be measured.
  double jitter = 0;
  uint64_t draw = 0;  // which disturbance
  Dice noise{0};
  /// Values of stop_gradient: recorded once, then given again, so that differences treat them as
  /// the constants they are.
  std::vector<Array>* record = nullptr;
  const std::vector<Array>* replay = nullptr;
  size_t replayed = 0;
  /// A hash of the sides of all kinks on which this evaluation lies; 0 when not wanted.
  uint64_t* sides = nullptr;

  /// A f64 array of the CPU in this evaluation's dtype, on its device.
  Tensor constant(const Array& value) const;
  /// Notes on which side of the kink each element lies.
  void note(const Tensor& x, double kink = 0);
  void note_number(uint64_t number);
  Tensor stopped(const Tensor& x);
  Tensor disturbed(const Tensor& x);
};

using Call = std::function<Tensor(Context&, const Tensors&)>;

struct Program;

struct Step {
  std::string op;                       // a name of the table, or of a transform
  std::string line;                     // what it does, as text
  std::vector<int> in;                  // steps it reads
  Call call;                            // unset for an argument
  int argument = -1;                    // which argument of the program it is
  std::shared_ptr<const Program> body;  // of a nested transform
  Array value;                          // at the point of the program
};

struct Program {
  std::vector<Step> steps;
  std::vector<Array> arguments;  // the point, f64 on the CPU
  int result = -1;               // a step with one element, or any when the program is a body
  int vector = -1;               // a step that depends on the arguments, of any shape
  int order = 0;                 // of the derivatives inside
};

/// The value of step `which` for these arguments. With `lazily` in the order of need instead of
/// that of the list.
Tensor run(const Program& program, Context& context, const Tensors& arguments, int which,
           bool lazily = false);
/// As text, bodies indented.
std::string describe(const Program& program, const std::string& indent = "  ");
/// The steps that `result` needs.
std::vector<bool> needed(const Program& program);

struct Settings {
  bool large = false;  // arrays that several threads share; fewer operations
};

Program generate(uint64_t seed, const Settings& settings);

/// What generating and checking has counted.
struct Counts {
  int64_t programs = 0, steps = 0, checks = 0, undecided = 0, refused = 0;
  std::vector<std::pair<std::string, int64_t>> ops;  // how often each operation came up
  void add_op(const std::string& name);
};

/// Empty, or what is wrong with the program.
std::string check(const Program& program, uint64_t seed, const Device& device,
                  const Settings& settings, Counts& counts);
/// A smaller program that fails too: steps become constants as long as it still does.
Program shrink(const Program& program, const std::function<bool(const Program&)>& fails);

}  // namespace basin::programs
