#include "models/dynamics/continuation.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "models/dynamics/cyclic.h"
#include "models/dynamics/piece.h"

namespace basin {
namespace {

using Vector = Eigen::VectorXd;
using Matrix = Eigen::MatrixXd;

constexpr int newton_steps = 10;
constexpr double least_cosine = 0.966;   // of 15 degrees between two tangents
constexpr double easy_cosine = 0.99;     // of 8: the next step may be longer
constexpr double most_deviation = 0.3;   // of a point from its prediction, in steps
constexpr double start_residual = 1e-6;  // that Newton's method takes away before the first step
constexpr double near_residual = 1e-5;   // below it the derivative by p is kept
constexpr double on_circle = 1e-9;       // |eigenvalue| - 1 that says nothing: conservative maps

/// A place on the branch, u = (z / size, (p - low) / width).
struct Place {
  Vector u;
  Vector g;                                                 // f(z) - z
  Matrix jacobian;                                          // of f by z, [k, k]
  Matrix slopes;                                            // of g by u, [k, k + 1]
  double margin = std::numeric_limits<double>::infinity();  // as Piece::Value
  Piece::Border nearest;
  // once settled
  Vector tangent;
  Eigenvalues spectrum;
  int64_t index = 0;

  double p() const { return u[u.size() - 1]; }
  double tangent_p() const { return tangent[tangent.size() - 1]; }
  /// Whether an odd number of real eigenvalues lies above 1 (side = 1) or below -1 (side = -1):
  /// the signs of det(I - J) and det(I + J).
  bool odd(double side) const {
    return std::count_if(
               spectrum.begin(), spectrum.end(),
               [side](const auto& value) { return value.imag() == 0 && value.real() * side > 1; }) %
               2 ==
           1;
  }
};

/// The part of a step between two places, from and to being their lengths along the tangent t.
struct Span {
  Vector origin, t;
  double from = 0, to = 0;
  Place a, b;

  Vector at(double share) const { return a.u + share * (b.u - a.u); }
};

using Value = std::function<double(Place&)>;

class Follower {
 public:
  Follower(const Family& family, const Array& point, double p, double low, double high,
           const FollowOptions& options)
      : family_(family), options_(options), low_(low), width_(high - low) {
    const CodeMap map = family_.at(p);
    // a map that is not a network may live where the point does
    device_ = map.device.is_cpu() ? point.device() : map.device;
    const Tensor code = map.encode(Tensor(copy_to(cast(point, DType::f64), device_)));
    const std::vector<double> z = copy_to(code.array(), Device()).to_vector<double>();
    k_ = static_cast<Eigen::Index>(z.size());
    require(k_ >= 1, "follow: the map has codes of no numbers, k = 0; nothing can be followed");
    start_.u = Eigen::Map<const Vector>(z.data(), k_);
    size_ = std::max(1.0, start_.u.stableNorm());
    start_.u /= size_;
    start_.u.conservativeResize(k_ + 1);
    start_.u[k_] = (p - low_) / width_;
    if (family_.network) {
      const Mlp mlp = family_.network(p);
      if (kinks_of(mlp.activation)) {
        first_ = narrowest(mlp);
        piece_.emplace(mlp, first_, code);
      }
    }
    evaluate(start_);
    require(start_.g.norm() <= start_residual * size_,
            "follow: the point is no fixed point at p = ", p, ": |f(z) - z| = ", start_.g.norm(),
            " in codes of length ", start_.u.norm() * size_, "; solve for it first, with newton()");
    settle(start_, null_vector(start_));
    // at a fold p cannot be held, and the tangent's plane is used
    const double kept = start_.p();
    std::optional<Place> exact = on_plane(start_.u, Vector::Unit(k_ + 1, k_));
    if (!exact || (exact->u - start_.u).norm() > 1e-3)
      exact = on_plane(start_.u, start_.tangent);
    else
      exact->u[k_] = kept;
    require(exact.has_value(),
            "follow: Newton's method finds no fixed point near the start at p = ", p,
            ", where |f(z) - z| = ", start_.g.norm());
    const Vector t = start_.tangent;
    start_ = *exact;
    settle(start_, t[k_] < 0 ? Vector(-t) : t);
  }

  Branch both_ways() {
    const std::optional<Piece> piece = piece_;
    Branch back, on;
    back.points = on.points = {describe(start_)};
    on.end = walk(start_, on);
    if (on.end == BranchEnd::closed) return on;
    piece_ = piece;
    start_.tangent = -start_.tangent;
    back.end = walk(start_, back);
    return joined(reversed(back), on);
  }

 private:
  double parameter(const Place& x) const { return low_ + x.p() * width_; }
  Tensor code(const Vector& u) const {
    const Vector z = u.head(k_) * size_;
    const std::vector<double> values(z.begin(), z.end());
    return Tensor(copy_to(from_vector(values, {1, k_}), device_));
  }

  Vector host(const Tensor& y) const {
    const std::vector<double> values = copy_to(y.array(), Device()).to_vector<double>();
    require(y.size() == k_, "follow: the map has codes of ", y.size(), " numbers, at the start ",
            k_);
    return Eigen::Map<const Vector>(values.data(), k_);
  }
  Vector f(double p, const Tensor& z) const {
    return host(piece_ ? (*piece_)(family_.network(p), z).turn.end : family_.at(p).map(z));
  }

  /// g, its derivatives and the margin at x.u. The derivative by p stays where x has one from a
  /// place nearby: it only directs steps.
  void evaluate(Place& x) const {
    const double p = parameter(x);
    const Tensor z = code(x.u);
    Array transposed;
    Vector image;
    if (piece_) {
      const Mlp mlp = family_.network(p);
      const Piece::Value value = (*piece_)(mlp, z);
      x.margin = value.margin;
      x.nearest = value.nearest;
      image = host(value.turn.end);
      transposed = copy_to(cyclic_jacobians(mlp, first_, value.turn.slopes, 1), Device());
    } else {
      const CodeMap map = family_.at(p);
      image = host(map.map(z));
      transposed = map.transposed_jacobians(z);
    }
    // column-major, the transposed Jacobian is the Jacobian
    x.jacobian = Eigen::Map<const Matrix>(transposed.data<double>(), k_, k_);
    x.g = image - x.u.head(k_) * size_;
    const bool near = x.slopes.cols() == k_ + 1 && x.g.norm() <= near_residual * size_;
    x.slopes.conservativeResize(k_, k_ + 1);
    x.slopes.leftCols(k_) = (x.jacobian - Matrix::Identity(k_, k_)) * size_;
    if (near) return;
    const double h = std::cbrt(std::numeric_limits<double>::epsilon()) * std::max(1.0, std::abs(p));
    x.slopes.col(k_) = (f(p + h, z) - f(p - h, z)) * (width_ / (2 * h));
  }

  Matrix bordered(const Place& x, const Vector& t) const {
    Matrix m(k_ + 1, k_ + 1);
    m.topRows(k_) = x.slopes;
    m.row(k_) = t.transpose();
    return m;
  }

  /// The branch's point in the plane through guess that is normal to t, by Newton's method; nothing
  /// where it does not converge.
  std::optional<Place> on_plane(const Vector& guess, const Vector& t) const {
    Place x;
    x.u = guess;
    bool small = false;
    for (int i = 0; i < newton_steps; ++i) {
      evaluate(x);
      if (!x.g.allFinite() || !x.slopes.allFinite()) return std::nullopt;
      const double limit = options_.tolerance * std::max(1.0, x.u.head(k_).norm() * size_);
      // one more step below the tolerance brings what rounding allows
      if (x.g.norm() <= limit && (small || x.g.norm() == 0)) return x;
      small = x.g.norm() <= limit;
      Vector right(k_ + 1);
      right << x.g, t.dot(x.u - guess);
      x.u -= bordered(x, t).partialPivLu().solve(right);
    }
    return std::nullopt;
  }

  /// The tangent on the side of a reference, and the spectrum.
  void settle(Place& x, const Vector& reference) const {
    const Vector t =
        bordered(x, reference).partialPivLu().solve(Vector::Unit(k_ + 1, k_)).normalized();
    x.tangent = t.allFinite() ? t : reference;
    Array transposed({k_, k_}, DType::f64);
    Eigen::Map<Matrix>(transposed.data<double>(), k_, k_) = x.jacobian;
    x.spectrum = eigenvalues(transposed);
    x.index = std::count_if(x.spectrum.begin(), x.spectrum.end(),
                            [](const auto& value) { return std::abs(value) > 1; });
  }

  /// Of the derivatives at x: a direction of the branch, with no other one to go by.
  Vector null_vector(const Place& x) const {
    require(x.slopes.allFinite(), "follow: the derivatives at p = ", parameter(x),
            " are not finite");
    return Eigen::JacobiSVD<Matrix>(x.slopes, Eigen::ComputeFullV).matrixV().col(k_);
  }

  Array decoded(const Place& x) const {
    return copy_to(family_.at(parameter(x)).decode(code(x.u)).array(), Device());
  }
  BranchPoint describe(const Place& x) const {
    return {parameter(x), decoded(x), x.spectrum, x.index};
  }

  /// Moves the ends of the span towards a change of sign of value, by secants (Illinois), until
  /// they are within `width`. Returns the secant's share of the way from a to b.
  double close_in(Span& span, double width, const Value& value) const {
    const auto share_of = [](double a, double b) {
      return a == b ? 0.5 : std::max(0.0, a / (a - b));
    };
    double a = value(span.a), b = value(span.b);
    // a may lie on the root itself, on either side of it by rounding
    if ((a > 0) == (b > 0)) a = 0;
    double left = a, right = b;
    for (int i = 0; i < 60 && span.to - span.from > width; ++i) {
      const double length = span.to - span.from;
      double share = std::clamp(share_of(left, right), width / 2 / length, 1 - width / 2 / length);
      if (i % 4 == 3) share = 0.5;
      std::optional<Place> c = on_plane(span.at(share), span.t);
      if (!c) {
        share = 0.5 * (share + (share < 0.5));
        c = on_plane(span.at(share), span.t);
      }
      if (!c) break;
      const double middle = value(*c), at = span.from + share * length;
      if ((middle > 0) == (b > 0)) {
        span.b = *c;
        span.to = at;
        b = right = middle;
        left /= 2;
      } else {
        span.a = *c;
        span.from = at;
        a = left = middle;
        right /= 2;
      }
    }
    return share_of(a, b);
  }

  static double narrow(const Span& span) { return std::min(1e-6, 1e-4 * (span.to - span.from)); }

  enum class Reached { no, step, range, border };
  /// Takes span.b to the end of the step, to the end of p's range or to the first kink.
  Reached reach(Span& span) const {
    const Vector prediction = span.origin + span.to * span.t;
    const std::optional<Place> next = on_plane(prediction, span.t);
    if (!next || (next->u - prediction).norm() > most_deviation * span.to) return Reached::no;
    span.b = *next;
    Reached result = Reached::step;
    const auto end_at = [&](const std::optional<Place>& place, Reached how) {
      if (!place) return;
      span.b = *place;
      span.to = span.t.dot(place->u - span.origin);
      result = how;
    };
    if (span.b.p() < 0 || span.b.p() > 1) {
      const double limit = span.b.p() < 0 ? 0 : 1;
      Span part = span;
      const double share = close_in(part, narrow(span), [&](Place& x) { return x.p() - limit; });
      Vector guess = part.at(share);
      guess[k_] = limit;
      end_at(on_plane(guess, Vector::Unit(k_ + 1, k_)), Reached::range);
      if (result != Reached::range) return Reached::no;
      span.b.u[k_] = limit;
    }
    if (span.b.margin < 0) {
      Span part = span;
      const double share = close_in(part, narrow(span), [](Place& x) { return x.margin; });
      end_at(on_plane(part.at(share), span.t), Reached::border);
      if (result != Reached::border) return Reached::no;
      span.b.nearest = part.b.nearest;  // the unit that has passed its kink there
    }
    settle(span.b, span.t);
    if (span.b.tangent.dot(span.t) < least_cosine) return Reached::no;
    const int64_t passed = (span.a.odd(1) != span.b.odd(1)) + (span.a.odd(-1) != span.b.odd(-1));
    const bool hidden = std::abs(span.a.index - span.b.index) < passed;
    return hidden && span.to > 1e3 * options_.min_step ? Reached::no : result;
  }

  /// The events between the ends of a span.
  void find_events(Span span, Branch& branch) const {
    const bool turned = span.a.tangent_p() * span.b.tangent_p() < 0;
    const int turns = !turned ? 0 : span.b.tangent_p() > 0 ? 1 : -1;
    bool found = false;
    while (span.a.index != span.b.index) {
      const size_t which = static_cast<size_t>(std::min(span.a.index, span.b.index));
      const auto outside = [&](Place& x) {
        settle(x, span.t);
        return std::abs(x.spectrum[which]) - 1;
      };
      if (std::max(std::abs(outside(span.a)), std::abs(outside(span.b))) < on_circle) return;
      Span part = span;
      const double share = close_in(part, narrow(span), outside);
      // more than one where eigenvalues pass together; a complex pair counts as one
      const auto [low, high] = std::minmax(part.a.index, part.b.index);
      for (int64_t i = low; i < high; ++i)
        if (record(part, share, static_cast<size_t>(i), turns, branch) == EventKind::neimark_sacker)
          ++i;
      found = true;
      if (part.to >= span.to) return;
      span.a = part.b;
      span.from = part.to;
    }
    if (found || !turned) return;
    // +1 is touched only where p turns on a branch that meets another one
    Span part = span;
    const double share = close_in(part, 10 * narrow(span), [&](Place& x) {
      settle(x, span.t);
      return x.tangent_p();
    });
    record(part, share, std::nullopt, turns, branch);
  }

  EventKind record(const Span& part, double share, std::optional<size_t> which, int turns,
                   Branch& branch) const {
    Place at;
    at.u = part.at(share);
    evaluate(at);
    settle(at, part.t);
    const auto passing = [&] {
      if (which) return at.spectrum[*which];
      return *std::min_element(at.spectrum.begin(), at.spectrum.end(), [](auto a, auto b) {
        return std::abs(a - 1.0) < std::abs(b - 1.0);
      });
    };
    std::complex<double> value = passing();
    EventKind kind = EventKind::neimark_sacker;
    if (std::abs(value.imag()) < 1e-6) {
      kind = value.real() < 0                  ? EventKind::flip
             : which.has_value() && turns != 0 ? EventKind::fold
                                               : EventKind::branch_point;
    }
    // where branches meet the bordered system is singular, and the secant knows more
    if (kind != EventKind::branch_point) {
      if (const std::optional<Place> exact = on_plane(at.u, part.t)) {
        at = *exact;
        settle(at, part.t);
        value = passing();
      }
    }
    const bool at_one = kind == EventKind::fold || kind == EventKind::branch_point;
    branch.events.push_back({kind, parameter(at), decoded(at), value, part.a.index, part.b.index,
                             at_one ? turns : 0, static_cast<int64_t>(branch.points.size()) - 1});
    return kind;
  }

  /// From the border of a piece into the next one. Along a branch dp has the sign of det(I - J),
  /// but for a factor that is the same on both sides of the kink: there the Jacobians differ by one
  /// product c w^T, w being normal to the kink, and the determinant of the system bordered by w
  /// does not see it.
  bool cross(Place& here, Branch& branch) {
    const Place before = here;
    piece_->cross(before.nearest);
    here.slopes.resize(0, 0);
    evaluate(here);
    if (!here.slopes.allFinite()) return false;
    settle(here, null_vector(here));
    const bool persists = before.odd(1) == here.odd(1);
    const bool rises = (before.tangent_p() > 0) == persists;
    if (rises != (here.tangent_p() > 0)) here.tangent = -here.tangent;
    branch.events.push_back({persists ? EventKind::border_persistence : EventKind::border_fold,
                             parameter(before), decoded(before), before.spectrum.front(),
                             before.index, here.index,
                             persists ? 0
                             : rises  ? 1
                                      : -1,
                             static_cast<int64_t>(branch.points.size()) - 1});
    return true;
  }

  /// Along the tangent of here to an end.
  BranchEnd walk(Place here, Branch& branch) {
    const Place start = here;
    double step = options_.step;
    bool away = false;
    while (static_cast<int64_t>(branch.points.size()) < options_.max_points) {
      options_.between();
      if ((here.p() <= 0 && here.tangent_p() < 0) || (here.p() >= 1 && here.tangent_p() > 0))
        return BranchEnd::range;
      Span span{here.u, here.tangent, 0, step, here, {}};
      const Reached reached = reach(span);
      if (reached == Reached::no) {
        step /= 2;
        if (step < options_.min_step) return BranchEnd::lost;
        continue;
      }
      find_events(span, branch);
      here = span.b;
      if (reached == Reached::border && !cross(here, branch)) return BranchEnd::lost;
      branch.points.push_back(describe(here));
      if (reached == Reached::range) return BranchEnd::range;
      if (here.u.head(k_).norm() * size_ > options_.bound) return BranchEnd::bound;
      const double distance = (here.u - start.u).norm();
      if (away && distance <= step && here.tangent.dot(start.tangent) > least_cosine)
        return BranchEnd::closed;
      away = away || distance > 3 * options_.max_step;
      if (span.b.tangent.dot(span.t) > easy_cosine) step = std::min(options_.max_step, 1.5 * step);
    }
    return BranchEnd::points;
  }

  const Family& family_;
  const FollowOptions& options_;
  Device device_;
  double low_, width_, size_ = 1;
  Eigen::Index k_ = 0;
  size_t first_ = 0;
  std::optional<Piece> piece_;
  Place start_;
};

}  // namespace

const char* name_of(EventKind kind) {
  switch (kind) {
    case EventKind::fold:
      return "fold";
    case EventKind::branch_point:
      return "branch point";
    case EventKind::flip:
      return "flip";
    case EventKind::neimark_sacker:
      return "Neimark-Sacker";
    case EventKind::border_persistence:
      return "border collision, persistence";
    case EventKind::border_fold:
      return "border collision, fold";
  }
  return "?";
}

const char* name_of(BranchEnd end) {
  switch (end) {
    case BranchEnd::range:
      return "end of the range";
    case BranchEnd::bound:
      return "out of bounds";
    case BranchEnd::closed:
      return "closed";
    case BranchEnd::points:
      return "too many points";
    case BranchEnd::lost:
      return "lost";
  }
  return "?";
}

Branch reversed(Branch branch) {
  std::reverse(branch.points.begin(), branch.points.end());
  std::reverse(branch.events.begin(), branch.events.end());
  std::swap(branch.begin, branch.end);
  for (BranchEvent& event : branch.events) {
    std::swap(event.index_before, event.index_after);
    event.after = static_cast<int64_t>(branch.points.size()) - 2 - event.after;
  }
  return branch;
}

Branch joined(Branch first, const Branch& second) {
  const int64_t offset = static_cast<int64_t>(first.points.size()) - 1;
  first.points.insert(first.points.end(), second.points.begin() + 1, second.points.end());
  for (BranchEvent event : second.events) {
    event.after += offset;
    first.events.push_back(event);
  }
  first.end = second.end;
  return first;
}

Branch follow(const Family& family, const Array& point, double p, double p0, double p1,
              const FollowOptions& options) {
  const double low = std::min(p0, p1), high = std::max(p0, p1);
  require(std::isfinite(low) && std::isfinite(high) && low < high, "follow: the range of p is ", p0,
          " .. ", p1, "; it needs two different ends");
  require(p >= low && p <= high, "follow: p = ", p, " lies outside its range ", low, " .. ", high);
  require(point.rank() == 2 && point.dim(0) == 1, "follow: point must be [1, d], got ", point);
  return Follower(family, point, p, low, high, options).both_ways();
}

}  // namespace basin
