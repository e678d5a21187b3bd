// The points of a run that have not stopped, as one batch. For the other files of this folder.
#pragma once
#include <memory>

#include "engine/recorded_step.h"
#include "kernels/iteration.h"
#include "models/dynamics/dynamics.h"

namespace basin {

/// `all` with row rows[i] replaced by row i of part.
Array with_rows(const Array& all, const std::vector<int32_t>& rows, const Array& part);

/// Points with their bookkeeping: x [N, d], iterations and state (PointState) i32 [N].
struct Points {
  Array x, iterations, state;
};

/// Applies f to the points that still run. On the CPU a point leaves the batch as soon as it has
/// stopped; on a device that records, the host looks at the states only now and then, and shrinks
/// the batch when half of it is done. f and `between` must live as long as this.
class ActiveSet {
 public:
  ActiveSet(const Map& f, const Array& start, const std::function<void()>& between,
            double tolerance);

  /// From now on points stop by another tolerance (see IterationKernels::settle).
  void stop_below(double tolerance);
  void run(int64_t steps);
  /// The same, but the batch stays as it is: points that stop stay in it, at rest.
  void step(int64_t steps);
  /// Stops the rows of the batch where stopped[i] is not 0, and drops all that have stopped.
  void stop(const std::vector<char>& stopped);

  bool empty() const { return rows_.empty(); }
  /// The batch as it is, and the point that each of its rows belongs to.
  const Points& batch() const { return batch_; }
  const std::vector<int32_t>& rows() const { return rows_; }
  /// All points, up to date.
  const Points& all();

 private:
  void use(const Points& batch);
  void apply();
  void drop(bool always);
  void shrink(const std::vector<int32_t>& kept);

  const Map& f_;
  const std::function<void()>& between_;
  double tolerance_;
  Points all_, batch_;
  std::vector<int32_t> rows_;
  std::unique_ptr<RecordedStep> step_;
};

}  // namespace basin
