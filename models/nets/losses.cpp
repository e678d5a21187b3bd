#include "models/nets/losses.h"

#include <algorithm>

#include "autograd/transforms.h"
#include "engine/allocator.h"
#include "models/nets/observe.h"

namespace basin {
namespace {

/// Errors: other shapes, or nothing in them.
void check_pair(const char* name, const Tensor& prediction, const Tensor& target) {
  require(prediction.shape() == target.shape(), name, ": shapes differ: prediction ",
          prediction.array(), ", target ", target.array());
  require(prediction.size() > 0, name, ": no elements in ", prediction.array());
}

/// The mask with axes of length 1 in place of those that it leaves to the values.
Tensor aligned_mask(const char* name, const Tensor& values, const Tensor& mask) {
  const auto& shape = mask.shape();
  require(mask.rank() <= values.rank() &&
              std::equal(shape.begin(), shape.end(), values.shape().begin()),
          name, ": mask ", mask.array(), " does not have the first axes of ", values.array());
  Shape wide = shape;
  while (wide.rank < values.rank()) wide.push_back(1);
  return reshape(mask, wide);
}

/// Sum of values, 0 where left out, over how many are kept.
Tensor mean_of_kept(const char* name, const Tensor& values, const Tensor& mask) {
  const double each = mask.size() > 0 ? static_cast<double>(values.size() / mask.size()) : 0;
  const Tensor kept = sum(not_equal(mask, zeros_like(mask))) * each;
  require(recording() || kept.item() > 0, name, ": the mask ", mask.array(), " keeps nothing of ",
          values.array(), "; at least one element must be other than 0");
  return observe(name, sum(values) / kept);
}

/// Labels on the host where they can be looked at.
void check_labels(const char* name, const Array& labels, int64_t classes) {
  require(labels.defined() && !is_floating(labels.dtype()), name,
          ": labels are integers (i32, u8, u32), got ", labels);
  if (recording()) return;
  const std::vector<double> all =
      cast(copy_to(contiguous(labels), Device()), DType::f64).to_vector<double>();
  for (size_t i = 0; i < all.size(); ++i)
    require(all[i] >= 0 && all[i] < static_cast<double>(classes), name, ": label ", all[i],
            " at place ", i, " of ", labels, " is none of ", classes, " classes, 0 to ",
            classes - 1);
}

/// 0, 1, ..., classes - 1, made on the device: a recorded step may copy nothing from the host.
Array class_row(int64_t classes, DType dtype, const Device& device) {
  int64_t bits = 0;
  while (int64_t{1} << bits < classes) ++bits;
  const Array row = zeros({int64_t{1} << bits}, dtype, device);
  for (int64_t bit = 1; bit < row.size(); bit *= 2) {
    const View odd = slice(reshape(row, {-1, 2, bit}), 1, 1, 2).view();
    device.backend().unary(Unary::add_scalar, static_cast<double>(bit), 0, odd, odd);
  }
  return slice(row, 0, 0, classes);
}

/// 1 at the label and 0 at the other classes, after checks that begin with `name`.
Tensor is_class(const char* name, const Array& labels, int64_t classes, DType dtype) {
  require(classes >= 1 && classes <= int64_t{1} << 24, name, ": ", classes,
          " classes; 1 to 2^24 are possible");
  check_labels(name, labels, classes);
  Shape column = labels.shape();
  column.push_back(1);
  const Tensor label = cast(reshape(labels, column), dtype);
  return equal(label, Tensor(class_row(classes, dtype, labels.device())));
}

/// The axes of logits but for the classes.
Shape examples_of(const char* name, const Tensor& logits) {
  require(logits.rank() >= 1 && logits.size() > 0, name, ": needs logits [..., classes], got ",
          logits.array());
  Shape shape;
  for (int i = 0; i + 1 < logits.rank(); ++i) shape.push_back(logits.dim(i));
  return shape;
}

/// Mean over examples of the sum over `count` pullbacks of squares; ct(i, code) is the i-th
/// cotangent.
Tensor squared_pullbacks(const RowMap& encoder, const Tensor& x, int64_t count, double divisor,
                         const std::function<Tensor(int64_t, const Tensor&)>& ct) {
  const auto [code, pullback] =
      vjp_flat([&](const Tensors& in) { return encoder(in[0]); }, Tensors{x});
  require(code.rank() >= 1 && x.rank() >= 1 && code.dim(0) == x.dim(0) && code.size() > 0,
          "contractive: the code ", code.array(), " of ", x.array(), " has not a row per example");
  if (count == 0) count = code.size() / code.dim(0);
  Tensor total;
  for (int64_t i = 0; i < count; ++i) {
    const Tensor square_sum = sum(square(pullback(ct(i, code))[0]));
    total = total.defined() ? total + square_sum : square_sum;
  }
  return observe("contractive", total / (static_cast<double>(x.dim(0)) * divisor));
}

}  // namespace

Tensor mse(const Tensor& prediction, const Tensor& target) {
  check_pair("mse", prediction, target);
  return observe("mse",
                 squared_error(prediction, target, 1, static_cast<double>(prediction.size())));
}

Tensor half_sum_squares(const Tensor& prediction, const Tensor& target) {
  require(prediction.shape() == target.shape(), "half_sum_squares: shapes differ: prediction ",
          prediction.array(), ", target ", target.array());
  return observe("half_sum_squares", squared_error(prediction, target, 0.5, 1));
}

Tensor l1(const Tensor& prediction, const Tensor& target) {
  check_pair("l1", prediction, target);
  return observe("l1", mean(abs(prediction - target)));
}

Tensor masked_mean(const Tensor& values, const Tensor& mask) {
  const Tensor kept = aligned_mask("masked_mean", values, mask);
  return mean_of_kept("masked_mean", where(kept, values, zeros_like(values)), kept);
}

Tensor masked_mse(const Tensor& prediction, const Tensor& target, const Tensor& mask) {
  check_pair("masked_mse", prediction, target);
  const Tensor kept = aligned_mask("masked_mse", prediction, mask);
  const Tensor difference = where(kept, prediction - target, zeros_like(prediction));
  return mean_of_kept("masked_mse", square(difference), kept);
}

Tensor one_hot(const Array& labels, int64_t classes, DType dtype) {
  const Tensor row = is_class("one_hot", labels, classes, dtype);
  return row / sum(row, {-1}, true);  // 0 / 0 for a label outside, which nobody has looked for
}

Tensor cross_entropy(const Tensor& logits, const Tensor& targets, double smoothing) {
  const Shape examples = examples_of("cross_entropy", logits);
  const int64_t classes = logits.dim(-1);
  require(smoothing >= 0 && smoothing <= 1, "cross_entropy: smoothing ", smoothing,
          " lies outside [0, 1]");
  const bool labelled = targets.defined() && !is_floating(targets.dtype());
  require(targets.defined() && targets.shape() == (labelled ? examples : logits.shape()),
          "cross_entropy: targets ", targets.array(), " fit logits ", logits.array(),
          " neither as labels ", examples, " nor as probabilities ", logits.shape());
  const Tensor chance = log_softmax(logits, -1), none = number_like(chance, 0);
  const auto count = static_cast<double>(examples.size());
  if (labelled) {
    const Tensor own = is_class("cross_entropy", targets, classes, logits.dtype());
    const Tensor all_known = sum(own) == count;  // 0 / 0 where one is not, and nobody has looked
    Tensor total = sum(where(own, chance, none)) * (1 - smoothing);
    if (smoothing > 0) total = total + sum(chance) * (smoothing / static_cast<double>(classes));
    return observe("cross_entropy", (total * all_known) / (all_known * -count));
  }
  const Tensor t = smoothing > 0
                       ? targets * (1 - smoothing) + smoothing / static_cast<double>(classes)
                       : targets;
  const Tensor each = t * where(maximum(t != 0, is_finite(chance)), chance, none);
  return observe("cross_entropy", sum(each) / -count);
}

double accuracy(const Tensor& logits, const Array& labels) {
  const Shape examples = examples_of("accuracy", logits);
  require(labels.defined() && labels.shape() == examples, "accuracy: labels ", labels,
          " do not fit logits ", logits.array());
  check_labels("accuracy", labels, logits.dim(-1));
  const Array found = argmax(stop_gradient(logits), -1);
  return mean(Tensor(cast(found, DType::f64)) == Tensor(cast(labels, DType::f64))).item();
}

Tensor binary_cross_entropy(const Tensor& logits, const Tensor& targets) {
  check_pair("binary_cross_entropy", logits, targets);
  // softplus(x) - t x, on the side where softplus is small: x > 0 has softplus(-x) + (1 - t) x
  const Tensor positive = unit_step(logits);
  const Tensor each = softplus((1 - 2 * positive) * logits) + (positive - targets) * logits;
  return observe("binary_cross_entropy", mean(each));
}

Tensor gaussian_kl(const Tensor& mu, const Tensor& log_variance) {
  check_pair("gaussian_kl", mu, log_variance);
  require(mu.rank() >= 1, "gaussian_kl: needs codes [B, ...], got ", mu.array());
  const Tensor each = square(mu) + exp_above_tangent(log_variance);
  return observe("gaussian_kl", sum(each) * 0.5 / static_cast<double>(mu.dim(0)));
}

Tensor sparse_kl(const Tensor& activations, double rho) {
  require(rho > 0 && rho < 1, "sparse_kl: rho ", rho, " lies outside (0, 1)");
  require(activations.rank() >= 1 && activations.size() > 0, "sparse_kl: no elements in ",
          activations.array());
  // With d = r - rho: rho log(rho / r) = -rho log(1 + d / rho), and so for 1 - rho.
  const Tensor off = mean(activations, {0}) - rho;
  const Tensor each = log1p(off / rho) * -rho + log1p(off / (rho - 1)) * (rho - 1);
  return observe("sparse_kl", sum(each));
}

Tensor contractive(const RowMap& encoder, const Tensor& x) {
  return squared_pullbacks(encoder, x, 0, 1, [](int64_t i, const Tensor& code) {
    const Array one = full({code.dim(0), 1}, 1, code.dtype(), code.device());
    return reshape(pad(one, 1, i, code.size() / code.dim(0)), code.shape());
  });
}

Tensor contractive(const RowMap& encoder, const Tensor& x, const Tensor& probes) {
  require(probes.rank() >= 1 && probes.dim(0) >= 1, "contractive: no probes in ", probes.array());
  const auto count = probes.dim(0);
  return squared_pullbacks(encoder, x, count, static_cast<double>(count),
                           [&](int64_t i, const Tensor& code) {
                             require(probes.size() == count * code.size(), "contractive: probes ",
                                     probes.array(), " are not [P, ...] of codes ", code.array());
                             return reshape(slice(probes, 0, i, i + 1), code.shape());
                           });
}

namespace {

/// Probes of signs, with a step those of that step.
Tensor by_signs(const RowMap& encoder, const Tensor& x, const Key& key, int64_t probes,
                const Step* step) {
  require(probes >= 1, "contractive: ", probes, " probes; at least 1");
  return squared_pullbacks(
      encoder, x, probes, static_cast<double>(probes), [&](int64_t i, const Tensor& code) {
        const Key each = key.at(static_cast<uint64_t>(i));
        const Shape& shape = code.shape();
        const Tensor u = step ? uniform(each, *step, shape, code.dtype(), 0, 1, code.device())
                              : uniform(each, shape, code.dtype(), 0, 1, code.device());
        return 2 * (u < 0.5) - 1;
      });
}

}  // namespace

Tensor contractive(const RowMap& encoder, const Tensor& x, const Key& key, int64_t probes) {
  return by_signs(encoder, x, key, probes, nullptr);
}

Tensor contractive(const RowMap& encoder, const Tensor& x, const Key& key, const Step& step,
                   int64_t probes) {
  return by_signs(encoder, x, key, probes, &step);
}

}  // namespace basin
