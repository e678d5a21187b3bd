// What the rules of the operations of a node are written with. Internal to models/nets.
#pragma once
#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "models/nets/net_ops.h"

namespace basin {

struct Reader;
using Values = std::vector<ValueShape>;
using Shapes = std::vector<Shape>;

struct Count {
  size_t least, most;
};

struct NodeRule {
  const char* name;
  Count inputs, parameters;
  Shape (*shape)(const Reader&, const Values&, const Shapes&);
  Tensor (*value)(const Net::Node&, Inputs, Inputs);
  std::vector<const char*> attributes;
  bool activates = false;  // its value has the activation already
  size_t buffers = 0;      // its first parameters, which no gradient changes
};

// Of a number of an attribute, and of the numbers of one example: products of the two stay exact.
constexpr double largest_attribute = 0x1p26;
constexpr int64_t most_numbers = int64_t{1} << 36;

/// Checks the attributes of a node for its rule; errors name the node.
struct Reader {
  const Net::Node& node;
  const std::string& where;

  std::vector<int64_t> whole(const char* name) const {
    std::vector<int64_t> result;
    for (const double x : node.numbers(name)) {
      require(x == std::floor(x) && std::abs(x) <= largest_attribute, where, ": ", name, " ", x,
              " must be a whole number of at most 2^26");
      result.push_back(static_cast<int64_t>(x));
    }
    return result;
  }
  int64_t one(const char* name, int64_t otherwise, int64_t least) const {
    const std::vector<int64_t> numbers = whole(name);
    require(numbers.size() <= 1, where, ": ", name, " must be one number, not ", numbers.size());
    const int64_t x = numbers.empty() ? otherwise : numbers[0];
    require(x >= least, where, ": ", name, " ", x, " is below ", least);
    return x;
  }
  std::array<int64_t, 2> pair(const char* name, int64_t otherwise, int64_t least) const {
    const std::vector<int64_t> numbers = whole(name);
    require(numbers.size() <= 2, where, ": ", name, " must be one or two numbers, not ",
            numbers.size());
    for (const int64_t x : numbers)
      require(x >= least, where, ": ", name, " ", x, " is below ", least);
    return node.pair(name, otherwise);
  }
  /// An axis of one example; negative ones count from the end.
  int axis(int64_t a, const Shape& shape) const {
    require(a >= -shape.rank && a < shape.rank, where, ": there is no axis ", a, " in ", shape,
            " (the batch is left out)");
    return static_cast<int>(a < 0 ? a + shape.rank : a);
  }
  Window window() const {
    pair("stride", 1, 1);
    pair("padding", 0, 0);
    pair("dilation", 1, 1);
    one("groups", 1, 1);
    return node.window();
  }
};

/// An axis of one example as one of x, which has the batch in front.
inline int with_batch(int64_t axis, const Tensor& x) {
  return static_cast<int>(axis < 0 ? axis + x.rank() : axis + 1);
}

inline Axes axes_with_batch(const Net::Node& node, const Tensor& x) {
  Axes axes;
  for (const double a : node.numbers("axes"))
    axes.push_back(with_batch(static_cast<int64_t>(a), x));
  return axes;
}

inline Tensor optional(Inputs parameters, size_t i) {
  return i < parameters.size() ? parameters[i] : Tensor();
}

/// Those of net_convs.cpp, net_norms.cpp and net_spatial.cpp.
std::vector<NodeRule> conv_rules();
std::vector<NodeRule> norm_rules();
std::vector<NodeRule> spatial_rules();

}  // namespace basin
