// The equations of motion of the order parameters, in the form that can be integrated on its own:
// those of the weights' components on the eigenmodes (the published ones, of the densities, are
// unstable without a simulation that feeds them; densities.h has them for comparison).
#pragma once
#include "experiments/online_sgd/theory/integrate.h"
#include "experiments/online_sgd/theory/model.h"

namespace basin::online {

/// d weights / dt with t = steps / D, in the limit of small steps. Untied:
///   d upsilon_k = v [m_k rt omega_k - sum_a I2_ka upsilon_a] - decay upsilon_k
///   d omega_k = w D rt [m_k upsilon_k + (R1_kk h_k - sum_a T0_ka S_ka) omega_k - sum_a T0_ka P_ka
///   omega_a] - decay omega_k
///   d b_k = b D [R1_kk E g''_k - sum_a T0_ka E g'_k g_a]
/// (sums up to unit k for the truncated rule). With w D = v = b D = eta it is the gradient flow of
/// the population error. Tied: decoder = c and encoder = sqrt(D) c move together.
Weights velocity(const Model& model, const Weights& w, const Spectrum& s);

/// The weights from `start` at times[0] to the last time that was reached.
struct Trajectory {
  std::vector<double> times;
  std::vector<Weights> weights;
  std::string failure;  // as in Path
  int64_t steps = 0;
  int64_t evaluations = 0;
};
Trajectory solve(const Model& model, const Weights& start, const Spectrum& s,
                 const std::vector<double>& times, const IntegrateOptions& options = {});

/// The largest rate at which a perturbation decays: max rt w D |T0 o P| and v |I2|. An explicit
/// method of SGD's own step 1 / D is stable while rate / D < 2.
double stiffest_rate(const Model& model, const Weights& w, const Spectrum& s);
/// The same for the error of one input |x|^2 = D trace in place of the mean: w D trace |T0 o P| + v
/// tr I2. A step on it makes it smaller while rate / D < 2.
double single_input_rate(const Model& model, const Weights& w, const Spectrum& s);

/// The same system with a flat bulk replaced by the span of the weights' bulk parts, exact at any
/// D: spikes + at most 2K modes. `spikes` modes are kept as they are. Errors: bulk modes that
/// differ, weights that are not finite.
struct Lumped {
  Spectrum spectrum;
  Weights weights;
};
Lumped lump(const Weights& w, const Spectrum& s, int64_t spikes);

/// One unit on one mode (K = M, units aligned with the modes; appendix C), with alpha_w = omega and
/// alpha_v = upsilon: the excess f over the PCA error, its downhill velocity (d alpha_w, d alpha_v)
/// for eta = 1, and the best decoder for alpha_w.
struct Aligned {
  double rt = 1;
  Transfer g{"erf"};
  double excess(double alpha_w, double alpha_v) const;
  std::pair<double, double> velocity(double alpha_w, double alpha_v) const;
  double best_decoder(double alpha_w) const;
  /// Long times, erf: alpha_w ~ (4 eta rt^3 t / pi)^(-1/6), f ~ (rt / 12) (4 eta t / pi)^(-2/3).
  double late_alpha_w(double eta, double t) const;
  double late_excess(double eta, double t) const;
};

/// Units on one mode of `s` each (K = M), all from alpha_w and alpha_v: their 2K equations. A row
/// for each of `times`: error, alpha_w and alpha_v of every unit. Errors: an integrator that stops
/// early.
Matrix solve_aligned(const Spectrum& s, const Transfer& g, double eta, double alpha_w,
                     double alpha_v, const std::vector<double>& times);

/// The minimum over c of the population error of one tied erf unit on a spike, without the other
/// modes' share: {c, error}. For D to infinity c = sqrt(2 rt / pi), error = rt / 2 (1 - 2 / pi).
std::pair<double, double> tied_minimum(double rt, int64_t dimension);

}  // namespace basin::online
