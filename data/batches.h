// Which rows come when: shuffled minibatches, subsets, and the scaling of their columns.
#pragma once
#include <vector>

#include "engine/step.h"

namespace basin {

/// Minibatches of 0 .. n-1: every epoch is a fresh permutation of the key, cut into pieces; the
/// last may be smaller. A batch is a function of (key, step) alone, so a resumed run needs nothing
/// but its step number.
class Batches {
 public:
  /// Errors: n or batch_size below 1; more than 2^31 - 1 rows.
  Batches(const Key& key, int64_t n, int64_t batch_size);
  int64_t per_epoch() const { return (n_ + batch_size_ - 1) / batch_size_; }
  /// The rows of step 0, 1, ...: i32 [at most batch_size].
  Array at(int64_t step);
  /// The rows of x [n, ...] of this step, on `device`: [at most batch_size, ...]. An x on the CPU
  /// stays there; only the rows go over, ahead of time in a recorded step. This object and x live
  /// as long as the training. Errors: another number of rows than n; an x of a third device.
  Array take(const Array& x, const Step& step, const Device& device);

 private:
  Key key_;
  int64_t n_, batch_size_, epoch_ = -1;
  Array order_;  // the permutation of epoch_
};

/// out[i] = x[rows[i]]; rows is i32 [m], on the device of x. Errors: a row outside x.
Array take_rows(const Array& x, const Array& rows);
/// `count` different rows of 0 .. n-1 in random order: i32 [count]. Errors: count above n.
Array random_subset(const Key& key, int64_t n, int64_t count);

/// Every value / 255, each image as one row: u8 [N, ...] -> [N, D] of the floating dtype.
Array pixel_rows(const Array& images, DType dtype);

/// Takes offset to low and offset + width to high; one pair for each column of [n, d], or a single
/// pair for all.
struct Scaling {
  std::vector<double> offset, width;
  double low = 0, high = 1;
  /// [n, d] -> [n, d] of a floating dtype. Errors: another number of columns than the one it was
  /// made for.
  Array apply(const Array& x, DType dtype) const;
  Array undo(const Array& scaled) const;
};
/// Smallest value to `low`, largest to `high`; a constant column gives `low`. Errors: a range that
/// overflows.
Scaling min_max_scale(const Array& x, double low = 0, double high = 1, bool per_column = false);
/// Mean 0 and (population) standard deviation 1; a constant column gives 0.
Scaling standardise(const Array& x, bool per_column = true);

}  // namespace basin
