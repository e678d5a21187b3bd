// The generator of random programs: every step is tried on numbers as soon as it is drawn, so that
// shapes are known, numbers stay of moderate size and kinks stay away from the point. Not for
// others than tests/programs.
#pragma once
#include <optional>

#include "autograd/op.h"
#include "tests/programs/program.h"

namespace basin::programs {

constexpr double largest_value = 30;  // of a step; with larger ones differences say nothing
constexpr double near = 0.02;  // no element lies closer to a kink than this, unless exactly on it

class Generator {
 public:
  /// A program of its own, or a body that takes `order` more derivatives at most.
  Generator(Dice& dice, const Settings& settings, int depth, int order_left)
      : dice_(dice), settings_(settings), depth_(depth), order_left_(order_left) {}

  Program whole();
  /// A function of `arguments` (the captured ones last) with `steps` steps, whose result is a
  /// scalar or anything.
  std::optional<Program> body(const std::vector<Array>& arguments, int steps, bool scalar);
  /// The same acting on rows: [B, d] -> [B, m] with arguments {x, captured vectors [d] ...}.
  std::optional<Program> rowwise(const std::vector<Array>& arguments, int steps);

 private:
  // ---- steps (generate.cpp) ----
  /// The new step's index, or -1 when the numbers do not suit.
  int add(const std::string& op, const std::string& line, const std::vector<int>& in, Call call,
          std::shared_ptr<const Program> body = nullptr);
  int argument(const Array& value);
  int constant(const Shape& shape, double low = -1, double high = 1);
  /// A value of this shape: an argument of its own in a whole program, else a constant.
  int fresh(const Shape& shape, double low = -1.5, double high = 1.5);
  /// A value of this shape that is there, or a fresh one.
  int of_shape(const Shape& shape);
  int pick();
  const Array& value(int i) const { return program_.steps[static_cast<size_t>(i)].value; }
  const Shape& shape(int i) const { return value(i).shape(); }
  int64_t dimension();
  Shape any_shape();
  /// Elements of a result, at most. What may be far beyond is not tried: the machine might not have
  /// the memory.
  int64_t largest() const { return settings_.large ? 400000 : 300; }
  int axis_of(int i) { return static_cast<int>(dice_.below(shape(i).rank)); }
  /// The value as a matrix, or with any shape of the same size.
  int reshaped(int i, const Shape& to);
  int as_rank(int i, int rank);
  bool stays_away(int i, double kink) const;
  bool within(int i, double low, double high) const;
  /// A value like i, but positive and away from 0.
  int positive(int i);
  void project(bool from_all);
  void one_step();

  // ---- kinds of steps (generate.cpp, generate_more.cpp) ----
  int unary();
  int apply(const OpEntry& entry, int x);
  int with_parameters(int x);
  int binary();
  int numbers();
  int choice();
  int movement();
  int cut();
  int join();
  int reduction();
  int along_axis();
  int product();
  int layer();
  int convolution();
  int spatial();
  int indexing();
  int conversion();
  int nested();
  int nested_jacobian();
  Activation activation(std::string& name);

  Dice& dice_;
  const Settings& settings_;
  int depth_, order_left_;
  bool own_arguments_ = false;
  Program program_;
  Context plain_;
};

}  // namespace basin::programs
