// Online SGD given what it cannot use: a clear error each time, and nothing lost of what was
// simulated before.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>

#include "engine/file.h"
#include "engine/npy.h"
#include "experiments/online_sgd/simulation/divergence.h"
#include "experiments/online_sgd/simulation/grey_images.h"
#include "experiments/online_sgd/simulation/hebbian.h"
#include "experiments/online_sgd/simulation/simulate_and_solve.h"
#include "experiments/online_sgd/theory/densities.h"
#include "tests/experiments/online_sgd/online_run.h"

using namespace basin;
using namespace basin::online;
using test::error_of;
using test::formula_start;
using test::has;
using test::model_of;
using test::run_in;

namespace {

/// A covariance with eigenvalues that are known: H diag(rho) H with a reflection H.
Matrix reflected(const Vector& rho) {
  const Vector v = Vector::LinSpaced(rho.size(), 1, 2).normalized();
  const Matrix h = Matrix::Identity(rho.size(), rho.size()) - 2 * v * v.transpose();
  const Matrix c = h * rho.asDiagonal() * h;
  return (c + c.transpose()) / 2;
}

std::vector<double> everything(const Weights& w) {
  std::vector<double> row(w.encoder.data(), w.encoder.data() + w.encoder.size());
  row.insert(row.end(), w.decoder.data(), w.decoder.data() + w.decoder.size());
  return row;
}

}  // namespace

TEST_CASE("online input: the eigenbasis of a covariance") {
  const int64_t d = 12;
  const Vector rho = Vector::LinSpaced(d, 3, 0.25);  // falling
  const Matrix c = reflected(rho);
  const Eigenbasis e = Eigenbasis::of(c);
  CHECK(e.spectrum.dimension == d);
  CHECK(e.spectrum.rest == 0);
  // A symmetric eigensolver is backward stable: errors of eigenvalues and of the decomposition are
  // D eps |C| at most.
  const double tolerance = static_cast<double>(d) * 2.3e-16 * 3;
  CHECK((e.spectrum.modes * static_cast<double>(d) - rho).cwiseAbs().maxCoeff() < tolerance);
  CHECK((e.vectors * rho.asDiagonal() * e.vectors.transpose() - c).cwiseAbs().maxCoeff() <
        4 * tolerance);
  CHECK((e.vectors.transpose() * e.vectors - Matrix::Identity(d, d)).cwiseAbs().maxCoeff() <
        tolerance);

  // Rounding is forgiven, in either way that it shows, and leaves no negative eigenvalue.
  Vector flat = rho;
  flat.tail(5).setZero();
  Matrix rounded = reflected(flat);
  rounded(3, 1) += 2.2e-16;
  CHECK(Eigenbasis::of(rounded).spectrum.modes.minCoeff() >= 0);
  flat[d - 1] = -1e-15;
  CHECK(Eigenbasis::of(reflected(flat)).spectrum.modes[d - 1] == 0);
}

TEST_CASE("online input: what is no covariance") {
  const Matrix good = reflected(Vector::LinSpaced(6, 3, 1));
  const auto error = [](const Matrix& c) { return error_of([&] { Eigenbasis::of(c); }); };
  CHECK(error(good) == "no error");
  CHECK(has(error(good.leftCols(4)), "a covariance is square, got [6, 4]"));
  CHECK(has(error(Matrix(0, 0)), "got [0, 0]"));
  Matrix bad = good;
  bad(4, 2) = 0.5, bad(2, 4) = 0.25;
  const std::string skew = error(bad);
  CHECK(has(skew, "[6, 6] is not symmetric: entry (4, 2) = 0.5, but (2, 4) = 0.25, apart by 0.25"));
  CHECK(has(skew, "(C + C^T) / 2"));
  bad(4, 2) = bad(2, 4) = std::nan("");
  CHECK(has(error(bad), "has the entry (2, 4) = nan"));
  const std::string negative = error(reflected((Vector(3) << 2, 1, -0.125).finished()));
  CHECK(has(negative, "is not positive: its smallest eigenvalue -0.125 "));
  CHECK(has(negative, "the largest is 2"));
  CHECK(has(error(reflected((Vector(3) << 2, 1, -1e-12).finished())),
            "is not positive"));  // 1,000 times rounding
}

TEST_CASE("online input: more units than dimensions") {
  const Spectrum s = Spectrum::canonical(4, 2);
  const Model m = model_of("erf", Rule::vanilla, 1, 4);
  const std::string both = "K = 5 hidden units for D = 4 dimensions";
  const Weights wide = formula_start(s, 5), fits = formula_start(s, 4);  // K = 4 > M = 2 is fine
  CHECK(has(error_of([&] { make_simulator(m, s, wide, Key(1)); }), both));
  CHECK(has(error_of([&] {
              make_dataset_simulator(m, s, zeros({3, 4}, DType::f64), wide, Key(1));
            }),
            both));
  CHECK(has(error_of([&] { make_gram_simulator(m, s, 2, wide, Key(1)); }), both));
  CHECK(has(error_of([&] { make_hebbian_simulator({}, s, wide.encoder, Key(1)); }), both));
  CHECK(has(error_of([&] { solve(m, wide, s, {0, 1}); }), both));
  CHECK(has(error_of([&] { velocity(m, densities(wide), s, Coefficients::stein); }), both));
  CHECK(error_of([&] { make_simulator(m, s, fits, Key(1))->advance(3); }) == "no error");
  CHECK(solve(m, fits, s, {0, 1}).failure.empty());
}

TEST_CASE("online input: singular order parameters, the limit and its name") {
  const Spectrum s = Spectrum::canonical(50, 3);
  for (const std::string g : {"erf", "linear", "relu"}) {
    CAPTURE(g);
    const Model m = model_of(g, Rule::vanilla, 1, 50);
    Weights copies = formula_start(s, 3);
    copies.encoder.row(2) = copies.encoder.row(0);
    // The equations of the weights and the form without determinants take the limit: the same
    // numbers, as for any weights (sums of 50 terms of order one).
    const Weights v = velocity(m, copies, s);
    const Densities d = velocity(m, densities(copies), s, Coefficients::stein);
    const auto at = [&](const Weights& w, const Weights& moved, int64_t i) -> Matrix {
      const Matrix half = moved.encoder.col(i) * w.encoder.col(i).transpose();
      return half + half.transpose();
    };
    for (int64_t i = 0; i < 50; ++i) {
      REQUIRE(d.q[static_cast<size_t>(i)].allFinite());
      CHECK((d.q[static_cast<size_t>(i)] - at(copies, v, i)).cwiseAbs().maxCoeff() < 1e-11);
    }
    // The published form has no value there, but nearly copies show that the limit is the right
    // one: off by 1e-4 of order one, relu by its root at most (1 - c^2 is a square).
    CHECK(has(error_of([&] { velocity(m, densities(copies), s, Coefficients::determinant); }),
              "of units 0 and 2 is singular"));
    Weights near = copies;
    near.encoder(2, 1) += 1e-4;
    const Densities published = velocity(m, densities(near), s, Coefficients::determinant);
    for (int64_t i = 0; i < 50; ++i)
      CHECK((published.q[static_cast<size_t>(i)] - at(copies, v, i)).cwiseAbs().maxCoeff() < 1e-3);
    // A unit whose encoder and decoder point the same way.
    Weights aligned = formula_start(s, 2);
    aligned.decoder.row(1) = 0.3 * aligned.encoder.row(1);
    CHECK(has(error_of([&] { velocity(m, densities(aligned), s, Coefficients::determinant); }),
              "of encoder and decoder of unit 1 is singular"));
    CHECK(velocity(m, densities(aligned), s, Coefficients::stein).q[0].allFinite());
  }
}

TEST_CASE("online input: which rates are stable") {
  // One linear unit that has learned its mode: the error's Hessian in (alpha_w, alpha_v) is 1
  // everywhere, its largest eigenvalue 2; so steps of 1 / D are stable for eta < D. Nothing else
  // varies: the same for a single input.
  const int64_t d = 50;
  const Spectrum s = Spectrum::spiked(d, Vector::Constant(1, 1.0), 0, 0);
  Weights w{Matrix::Constant(1, 1, 1), Matrix::Constant(1, 1, 1), Vector::Zero(1)};
  const Model m = model_of("linear", Rule::vanilla, 8, d);
  const StableFactors factors = stable_factors(m, w, s, 10);
  CHECK(factors.equations == doctest::Approx(50.0 / 8).epsilon(1e-12));
  CHECK(factors.input == doctest::Approx(50.0 / 8).epsilon(1e-12));
  for (const double part : {0.97, 1.03}) {
    const Model scaled = model_of("linear", Rule::vanilla, 8 * factors.equations * part, d);
    Weights at = w;
    at.encoder(0, 0) += 1e-6;
    for (int step = 0; step < 100; ++step) {
      const Weights v = velocity(scaled, at, s);
      at.encoder += v.encoder / static_cast<double>(d),
          at.decoder += v.decoder / static_cast<double>(d);
    }
    const double off =
        std::abs(at.encoder(0, 0) * at.decoder(0, 0) - 1);  // times (1 - 2 part)^100 = .0023 or 340
    CHECK((off < 1e-7) == (part < 1));
  }
  // Decay has no part in what the rates are multiplied with.
  Model decaying = m;
  decaying.rates.decay = 10;
  CHECK(stable_factors(decaying, w, s, 0).equations ==
        doctest::Approx((100.0 - 10) / 16).epsilon(1e-12));

  Weights moved = w;
  moved.decoder *= 1e9;
  CHECK(fastest_growth(w, moved, s).name == "T0_11");
  CHECK(fastest_growth(w, moved, s).before == 1);
  CHECK(fastest_growth(w, moved, s).after == doctest::Approx(1e18));
  moved.encoder(0, 0) = std::nan("");
  CHECK(fastest_growth(w, moved, s).name == "Q1_11");
}

TEST_CASE("online input: a simulation that diverges says when, what, and which rates are stable") {
  const int64_t d = 60;
  const Spectrum s = Spectrum::canonical(d, 2), lumped = Spectrum::canonical(d, 2, 4);
  const std::vector<double> times{0, 0.05, 0.1, 0.2, 0.5, 1, 50, 400};
  using Make = std::function<std::unique_ptr<Simulator>(double)>;
  const auto whole = [&](const std::string& g) {
    return [&, g](double eta) {
      return make_simulator(model_of(g, Rule::vanilla, eta, d), s, formula_start(s, 2), Key(1));
    };
  };
  const std::vector<std::pair<std::string, Make>> kinds{
      {"linear", whole("linear")},
      {"relu", whole("relu")},
      {"erf", whole("erf")},
      {"Gram", [&](double eta) {
         return make_gram_simulator(model_of("linear", Rule::vanilla, eta, d), lumped, 2,
                                    formula_start(lumped, 2), Key(1));
       }}};
  for (const auto& [title, maker] : kinds) {
    const std::string& kind = title;
    CAPTURE(kind);
    const test::TemporaryFolder folder;
    const Make& make = maker;
    const double eta = kind == "erf" ? 4000 : 400;
    const auto work = [&](Run& run) {
      simulate(
          run, "wild", 1, times, [&](int64_t) { return make(eta); }, everything);
    };
    const test::Outcome told = run_in(folder / "run", work);
    CHECK(told.code == 2);
    CHECK(has(told.err, "wild-seed0: diverged at t = "));
    CHECK((has(told.err, "): Q1_") || has(told.err, "): T0_")));
    CHECK(has(told.err, "it was "));
    CHECK(has(told.err, "times these (w = "));
    CHECK(has(told.err, "no longer finite at step "));
    CHECK(test::record_of(folder / "run")["status"] == "failed");
    CHECK(test::record_of(folder / "run")["error"] == told.err);
    // What was observed before is there, with the bits of a simulation that was not taken further.
    const std::string file = folder / "run" + "/checkpoints/wild-seed0.npy";
    CHECK(has(told.err, file));
    const std::vector<double> saved = load_npy(file).to_vector<double>();
    const auto rows = static_cast<size_t>(saved[1]), size = static_cast<size_t>(saved[2]);
    REQUIRE(rows >= 2);
    REQUIRE(rows < times.size());
    const auto again = make(eta);
    for (size_t i = 0; i < rows; ++i) {
      again->advance(std::llround(times[i] * d) - again->steps());
      const std::vector<double> seen = everything(again->weights());
      REQUIRE(seen.size() == size);
      CHECK(
          std::equal(seen.begin(), seen.end(), saved.begin() + 3 + static_cast<int64_t>(i * size)));
    }
    CHECK(run_in(folder / "run", work, true).err == told.err);
    // The advice holds: with the rates that are called safe it does not diverge.
    const Spectrum& own = again->spectrum();
    const StableFactors factors =
        stable_factors(*again->model(), make(eta)->weights(), own, times.back());
    const double safe = safe_factor(factors);
    CHECK(safe < 1);
    CHECK(safe * eta > 0.1);  // exploded weights would give 1e-24
    CHECK(has(told.err, describe(factors, again->model()->rates)));
    CHECK(error_of([&] { make(eta * safe)->advance(std::llround(times.back() * d)); }) ==
          "no error");
  }
}

TEST_CASE("online input: rules that no equations belong to diverge with the time, too") {
  const Spectrum s = Spectrum::canonical(40, 2);
  const test::TemporaryFolder folder;
  const test::Outcome told = run_in(folder / "run", [&](Run& run) {
    simulate(
        run, "hebb", 2, {0, 1, 5000},
        [&](int64_t) {
          return make_hebbian_simulator({HebbianRule::hebb, 1, 0}, s, formula_start(s, 1).encoder,
                                        Key(1));
        },
        everything);
  });
  CHECK(told.code == 2);
  CHECK(has(told.err, "hebb-seed0: diverged at t = "));
  CHECK(has(told.err, "lower the rates"));
}

TEST_CASE("online input: an integrator that stops early") {
  const auto decay = [](double, const Vector& y, Vector& dy) { dy = -1000 * y; };
  for (const bool implicit : {true, false}) {
    CAPTURE(implicit);
    IntegrateOptions options;
    options.implicit = implicit, options.max_steps = 40;
    const std::vector<double> times{0, 1e-6, 1e-5, 1e3};
    const Path path = integrate(decay, Vector::Ones(1), times, options);
    REQUIRE(path.states.size() >= 2);
    REQUIRE(path.states.size() < times.size());
    for (size_t i = 0; i < path.states.size(); ++i)  // 40 steps of 1e-9 each
      CHECK(std::abs(path.states[i][0] - std::exp(-1000 * times[i])) < 1e-7);
    CHECK(has(path.failure, "stopped at t = "));
    CHECK(has(path.failure, "mxstep steps taken before reaching tout"));  // the words of SUNDIALS
    // A right-hand side without a value from some point on: what was before stays.
    options.max_steps = 10000;
    const Path broken =
        integrate([](double t, const Vector&, Vector& dy) { dy.setConstant(t < 1 ? 1 : NAN); },
                  Vector::Ones(1), {0, 0.5, 0.9, 2}, options);
    CHECK(broken.states.size() == 3);
    CHECK(broken.states[2][0] == doctest::Approx(1.9).epsilon(1e-8));
    CHECK(!broken.failure.empty());
  }
}

TEST_CASE("online input: what experiments do with a shorter path") {
  const test::TemporaryFolder folder;
  const Spectrum s = Spectrum::canonical(30, 2);
  const std::vector<double> times = log_times(0.01, 1000, 12);
  const Model m = model_of("erf", Rule::vanilla, 1, 30);
  int observed = 0;
  const Observe observe = [&](const Weights& w) {
    ++observed;
    return std::vector<double>{population_error(w, s, m.g)};
  };
  Matrix whole, part;
  const auto work = [&](Run& run) {
    whole = solve(run, "whole", m, formula_start(s, 2), s, times, observe);
    IntegrateOptions few;
    few.max_steps = 40;
    part = solve(run, "few steps, seed 0", m, formula_start(s, 2), s, times, observe, few);
    require_reached("whole", whole, times.size());
    distances({{times, {whole}}, {times, {part}}});
  };
  const test::Outcome told = run_in(folder / "run", work);
  CHECK(whole.rows() == 13);
  REQUIRE(part.rows() > 1);
  REQUIRE(part.rows() < 13);
  CHECK((part - whole.topRows(part.rows())).cwiseAbs().maxCoeff() <
        1e-7);  // both good to 1e-9 a step
  CHECK(told.code == 2);
  CHECK(has(told.err, "equations of seed 0: the integrator reached "));
  CHECK(has(told.err, "of 13 times"));
  CHECK(has(told.out, "few steps, seed 0: the integrator stopped at t = "));
  const Json note = test::record_of(folder / "run")["results"]["stopped early: few steps, seed 0"];
  CHECK(note["times_reached"] == part.rows());
  CHECK(has(note["why"], "stopped at t = "));
  CHECK(!test::record_of(folder / "run")["results"].contains("stopped early: whole"));
  const Array kept = load_npy(folder / "run" + "/" + note["saved"].get<std::string>());
  REQUIRE(kept.shape() == Shape{part.rows(), 2});
  const std::vector<double> values = kept.to_vector<double>();
  for (int64_t i = 0; i < part.rows(); ++i) {
    CHECK(values[static_cast<size_t>(2 * i)] == times[static_cast<size_t>(i)]);
    CHECK(values[static_cast<size_t>(2 * i + 1)] == part(i, 0));
  }

  const Matrix before = part;  // what was integrated is read after a resume
  const int once = observed;
  const test::Outcome again = run_in(folder / "run", work, true);
  CHECK(has(again.out, "few steps, seed 0: the integrator stopped at t = "));
  CHECK(observed == once);
  CHECK(part == before);
}

TEST_CASE("online input: fewer images than asked for") {
  const test::TemporaryFolder folder;
  std::vector<uint8_t> row(3073, 0), batch, idx{0, 0, 8, 3, 0, 0, 0, 6, 0, 0, 0, 2, 0, 0, 0, 2};
  for (int i = 0; i < 5; ++i) {
    for (size_t j = 1; j < row.size(); ++j)
      row[j] = static_cast<uint8_t>(j * 7 + j * j % 11 * static_cast<size_t>(i));
    batch.insert(batch.end(), row.begin(), row.end());
  }
  for (uint8_t i = 0; i < 24; ++i) idx.push_back(static_cast<uint8_t>(i * i));
  write_atomically(folder / "data_batch_1.bin", ByteSpan(batch.data(), batch.size()));
  write_atomically(folder / "t10k-images-idx3-ubyte", ByteSpan(idx.data(), idx.size()));
  const auto load = [&](int64_t count) {
    return run_in(
        folder / "run",
        [&](Run& run) { load_grey_images(run, "cifar", Key(1), count, Centre::each_pixel); }, false,
        folder.path());
  };
  CHECK(load(5).code == 0);
  const test::Outcome told = load(9);
  CHECK(told.code == 2);
  CHECK(has(told.err, "9 training images of CIFAR-10 were asked for, but the batches in " +
                          folder.path() + " hold 5"));
  CHECK(has(told.err, "ask for 5 or fewer"));

  CHECK(has(error_of([&] { fashion_images(folder.path(), 4, 3); }),
            "4 images to train on and 3 others were asked for"));
  CHECK(
      has(error_of([&] { fashion_images(folder.path(), 4, 3); }), " holds 6; train on 3 or fewer"));
  const GreyImages images = fashion_images(folder.path(), 4, 2).value();
  CHECK(images.spectrum.dimension == 4);
  CHECK(images.spectrum.trace() ==
        doctest::Approx(1).epsilon(1e-14));  // standard deviation 1: sums of 16 numbers
  // Back to pixels: f64 in between, so one rounding to f32 of numbers below 1.
  const std::vector<float> left_out = images.pixels(images.others).to_vector<float>();
  for (size_t i = 0; i < 8; ++i) CHECK(std::abs(left_out[i] - idx[16 + 16 + i] / 255.0) < 6e-8);
  // In their own basis the second moments are diagonal, D times the modes: f32 rows of order one,
  // summed over four.
  const std::vector<float> rows = images.rows.to_vector<float>();
  for (size_t i = 0; i < 4; ++i)
    for (size_t j = 0; j < 4; ++j) {
      double moment = 0;
      for (size_t n = 0; n < 4; ++n)
        moment += rows[4 * n + i] * static_cast<double>(rows[4 * n + j]) / 4;
      CHECK(std::abs(moment - (i == j ? 4 * images.spectrum.modes[static_cast<int64_t>(i)] : 0)) <
            1e-5);
    }
  // The error that is summed from products in f32 (6e-8 of numbers of order one, some dozens) is
  // that of its definition.
  const Weights w = random_weights(Key(2), 2, images.spectrum, 1);
  const Matrix x = Eigen::Map<const Eigen::MatrixXf>(rows.data(), 4, 4).transpose().cast<double>();
  const double direct = (x - reconstruction(w, Transfer("erf"), x)).squaredNorm() / (2 * 4 * 4);
  CHECK(std::abs(empirical_error(w, images, Transfer("erf")) - direct) < 3e-6);
  CHECK(std::abs(direct - 0.5) > 1e-2);  // so the weights do something
}
