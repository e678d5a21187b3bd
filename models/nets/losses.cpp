#include "models/nets/losses.h"

#include "models/nets/observe.h"

namespace basin {
namespace {

Tensor squared_difference(const char* name, const Tensor& prediction, const Tensor& target,
                          double scale, double divisor) {
  require(prediction.shape() == target.shape(), name, ": shapes differ: prediction ",
          prediction.array(), ", target ", target.array());
  return observe(name, squared_error(prediction, target, scale, divisor));
}

}  // namespace

Tensor mse(const Tensor& prediction, const Tensor& target) {
  require(prediction.size() > 0, "mse: no elements in ", prediction.array());
  return squared_difference("mse", prediction, target, 1, static_cast<double>(prediction.size()));
}

Tensor half_sum_squares(const Tensor& prediction, const Tensor& target) {
  return squared_difference("half_sum_squares", prediction, target, 0.5, 1);
}

}  // namespace basin
