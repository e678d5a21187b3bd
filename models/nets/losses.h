// Losses: one number from a prediction and a target. Shapes are equal, never broadcast: that hides
// mistakes. "An example" is a row along axis 0.
#pragma once
#include <functional>

#include "autograd/ops.h"
#include "engine/step.h"

namespace basin {

/// Mean over examples and coordinates of the squared difference.
Tensor mse(const Tensor& prediction, const Tensor& target);
/// 1/2 of the sum of squared differences.
Tensor half_sum_squares(const Tensor& prediction, const Tensor& target);
/// Mean of the absolute differences; the derivative of one that is 0 is 0.
Tensor l1(const Tensor& prediction, const Tensor& target);

// ---- some of the numbers ----
// A mask is 0 where a number is left out, whatever it is, and anything else where it is kept. It
// has the shape of the values or of their first axes: [B, P] keeps or leaves out whole patches of
// [B, P, d]. Errors: nothing is kept; while a step is recorded nobody can look, and the mean is
// NaN.
/// Mean of what is kept.
Tensor masked_mean(const Tensor& values, const Tensor& mask);
/// Mean of the squared differences of what is kept.
Tensor masked_mse(const Tensor& prediction, const Tensor& target, const Tensor& mask);

// ---- classes ----
/// 1 at the label and 0 at the other classes, [..., classes], of labels [...] of an integer dtype.
/// Errors: a label outside (named with its place); while a step is recorded its row is NaN.
Tensor one_hot(const Array& labels, int64_t classes, DType dtype);
/// Mean over examples of -sum_c t_c log softmax(logits)_c for logits [..., C]. The targets are
/// labels [...] of an integer dtype (then t is one_hot) or probabilities t [..., C]. Smoothing s
/// makes (1 - s) t + s / C of them, as in torch.nn.CrossEntropyLoss. A class with t = 0 counts as
/// 0, also where its logit is -infinity. Errors: no examples, shapes that do not fit, s outside
/// [0, 1], and those of one_hot.
Tensor cross_entropy(const Tensor& logits, const Tensor& targets, double smoothing = 0);
/// Share of the examples whose largest logit (the first at a tie) is that of the label. Waits for
/// the device. Errors: as cross_entropy.
double accuracy(const Tensor& logits, const Array& labels);
/// Mean over examples and coordinates of -t log p - (1 - t) log(1 - p) with p = sigmoid(logits), to
/// all digits where p is near 0 or 1; targets t in [0, 1].
Tensor binary_cross_entropy(const Tensor& logits, const Tensor& targets);

// ---- codes [B, ...] ----
/// Mean over examples of KL(N(mu, exp(log_variance)) || N(0, 1)), summed over coordinates: the sum
/// of (mu^2 + exp(v) - 1 - v) / 2 (Kingma & Welling 2014).
Tensor gaussian_kl(const Tensor& mu, const Tensor& log_variance);
/// Sum over units of KL(rho || r) between Bernoulli variables, r the mean over examples of an
/// activation in [0, 1] (Ng 2011). Infinite where r is 0 or 1. Errors: rho outside (0, 1).
Tensor sparse_kl(const Tensor& activations, double rho);

using RowMap = std::function<Tensor(const Tensor&)>;
/// Mean over examples of the squared Frobenius norm of the Jacobian of an encoder [B, ...] -> [B,
/// ...] that maps each example by itself (Rifai et al. 2011): a pullback for each coordinate of the
/// code. Differentiable as any other loss: that takes second derivatives of the encoder.
Tensor contractive(const RowMap& encoder, const Tensor& x);
/// The same estimated without bias (Hutchinson 1990), a pullback for each probe: probes [P, ...]
/// are codes with independent coordinates of mean 0 and variance 1.
Tensor contractive(const RowMap& encoder, const Tensor& x, const Tensor& probes);
/// With so many probes of signs drawn from the key, the least variance there is: 2 sum_(i != j)
/// (J J^T)_ij^2 for each example and probe.
Tensor contractive(const RowMap& encoder, const Tensor& x, const Key& key, int64_t probes);
/// The same with other signs at each step: the estimate is unbiased over the steps of a training.
Tensor contractive(const RowMap& encoder, const Tensor& x, const Key& key, const Step& step,
                   int64_t probes);

}  // namespace basin
