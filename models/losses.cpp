#include "models/losses.h"

#include "models/observe.h"

namespace basin {
namespace {

Tensor squared_difference(const char* name, const Tensor& prediction, const Tensor& target) {
  require(prediction.shape() == target.shape(), name, ": shapes differ: prediction ", prediction.array(), ", target ",
          target.array());
  return square(prediction - target);
}

}  // namespace

Tensor mse(const Tensor& prediction, const Tensor& target) {
  return observe("mse", mean(squared_difference("mse", prediction, target)));
}

Tensor half_sum_squares(const Tensor& prediction, const Tensor& target) {
  return observe("half_sum_squares", 0.5 * sum(squared_difference("half_sum_squares", prediction, target)));
}

}  // namespace basin
