#include "experiments/memorization/fixed_points.h"

#include <cmath>
#include <limits>

#include "models/dynamics/certificate.h"
#include "models/dynamics/fates.h"

namespace basin {
namespace {

void measure_own(Run& run, Measurements& m, const Mlp& net, const Array& x, double radius) {
  const NewtonResult found =
      run.timed("newton", [&] { return newton(net, x, {.between = check_interrupt}); });
  const std::vector<FixedPoint> points =
      run.timed("spectra", [&] { return fixed_points(code_map(net), found); });
  const size_t n = found.ends.size();
  std::vector<double> index(n, -1), near;
  double own = 0, attractors = 0, saddles = 0, higher = 0, shared = 0;
  for (const FixedPoint& point : points) {
    double here = 0;
    for (const int64_t row : point.starts) {
      const auto i = static_cast<size_t>(row);
      if (!(found.moved[i] < radius)) continue;
      index[i] = static_cast<double>(point.index);
      near.push_back(found.moved[i]);
      ++here;
    }
    own += here;
    shared += here > 1 ? here : 0;
    attractors += point.index == 0 ? here : 0;
    saddles += point.index == 1 ? here : 0;
    higher += point.index > 1 ? here : 0;
  }
  double certified = 0, attracting = 0, existing = 0, proved = 0;
  const std::vector<Certificate> certificates = run.timed("certificates", [&] {
    Tensors rows;
    for (const FixedPoint& point : points) rows.push_back(Tensor(point.point));
    return rows.empty() ? std::vector<Certificate>()
                        : certify(net, concat(rows, 0).array(), check_interrupt);
  });
  for (size_t i = 0; i < points.size(); ++i) {
    certified += certificates[i].certified();
    attracting += points[i].attracts();
    existing += points[i].attracts() && certificates[i].certified();
    proved += points[i].attracts() && certificates[i].attracts();
  }
  const auto of = [](double some, double all) { return all > 0 ? some / all : 0; };
  const auto all = static_cast<double>(n);
  m.add("own fixed points", own / all);
  m.add("own distance", near.empty() ? std::numeric_limits<double>::infinity() : median(near));
  m.add("own attractors", attractors / all);
  m.add("own saddles", saddles / all);
  m.add("own higher saddles", higher / all);
  m.add("shared", shared / all);
  m.add("certified", of(certified, static_cast<double>(points.size())));
  m.add("certified attractors", of(existing, attracting));
  m.add("proved attractors", of(proved, attracting));
  m.add("indices", index);
  m.add("distances", found.moved);
}

void measure_fates(Run& run, Measurements& m, const Mlp& net, const Array& x, const Array& starts,
                   double radius) {
  const Map map = [&](const Tensor& rows) { return net(rows); };
  const Fates ended =
      run.timed("fates", [&] { return fates(map, starts, {.between = check_interrupt}); });
  const Ends ends = distinct_ends(map, ended, radius);
  const Nearest near = nearest(ended.points, x);
  double here = 0, elsewhere = 0, other = 0, cycles = 0, moving = 0, infinity = 0;
  const auto at_training_point = [&](size_t i) {
    return ended.fate[i] == Fate::fixed_point && near.distance[i] < radius;
  };
  for (size_t i = 0; i < ended.fate.size(); ++i) {
    const Fate fate = ended.fate[i];
    here += at_training_point(i);
    elsewhere += fate == Fate::fixed_point && !at_training_point(i);
    cycles += fate == Fate::cycle;
    moving += fate == Fate::moving;
    infinity += fate == Fate::infinity || fate == Fate::not_a_number;
  }
  for (const int64_t first : ends.first) other += !at_training_point(static_cast<size_t>(first));
  const auto all = static_cast<double>(ended.size());
  m.add("at training points", here / all);
  m.add("at other points", elsewhere / all);
  m.add("on cycles", cycles / all);
  m.add("moving", moving / all);
  m.add("to infinity", infinity / all);
  m.add("other ends", other);
}

}  // namespace

void measure_fixed_points(Run& run, Measurements& m, const Mlp& net, const Array& x,
                          const Array& starts, double radius) {
  measure_own(run, m, net, x, radius);
  measure_fates(run, m, net, x, starts, radius);
}

void report_fixed_points(const CaseRows& rows) {
  const std::string stored = "training examples are stored as fixed points";
  rows.report("training points with a fixed point of their own (solved for)", stored,
              "own fixed points");
  rows.report("median distance to it", stored, "own distance");
  rows.report("training points whose own fixed point attracts", "training examples are attractors",
              "own attractors");
  rows.report("training points whose own fixed point has one unstable direction", "",
              "own saddles");
  rows.report("training points whose own fixed point has more unstable directions", "",
              "own higher saddles");
  rows.report("training points whose own fixed point is another one's too", "", "shared");
  rows.report("fixed points with a certificate", "(a proof that each exists)", "certified");
  rows.report("attractors proved to attract", "(a bound below 1 of the spectral radius)",
              "proved attractors");
  const std::string most = "most trajectories converge to training examples";
  rows.report("starts that end at a training point's own fixed point", most, "at training points");
  rows.report("starts that end at another fixed point", most, "at other points");
  rows.report("starts that end on a cycle", most, "on cycles");
  rows.report("starts that still move after 3000 iterations", most, "moving");
  rows.report("starts that go to infinity or are no numbers", most, "to infinity");
  rows.report("attractors and cycles found that are no training point's", most, "other ends");
}

}  // namespace basin
