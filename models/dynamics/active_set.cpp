#include "models/dynamics/active_set.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace basin {

Array with_rows(const Array& all, const std::vector<int32_t>& rows, const Array& part) {
  const int64_t n = all.dim(0);
  std::vector<int32_t> from(static_cast<size_t>(n));
  std::iota(from.begin(), from.end(), 0);
  for (size_t i = 0; i < rows.size(); ++i)
    from[static_cast<size_t>(rows[i])] = static_cast<int32_t>(n) + static_cast<int32_t>(i);
  Shape shape = all.shape();
  shape[0] += part.dim(0);
  const Array both(shape, all.dtype(), all.device());
  assign(slice(both, 0, 0, n), all);
  assign(slice(both, 0, n, shape[0]), part);
  return rows_of(both, from);
}

ActiveSet::ActiveSet(const Map& f, const Array& start, const std::function<void()>& between,
                     double tolerance)
    : f_(f), between_(between), tolerance_(tolerance) {
  const Shape count{start.dim(0)};
  all_ = {copy_of(start), zeros(count, DType::i32, start.device()),
          zeros(count, DType::i32, start.device())};
  rows_.resize(static_cast<size_t>(start.dim(0)));
  std::iota(rows_.begin(), rows_.end(), 0);
  use(all_);
}

void ActiveSet::stop_below(double tolerance) {
  tolerance_ = tolerance;
  use(batch_);  // what was recorded has the old one
}

void ActiveSet::run(int64_t steps) {
  const bool records = all_.x.device().backend().can_capture();
  for (int64_t chunk; steps > 0 && !rows_.empty(); steps -= chunk) {
    chunk = std::min<int64_t>(steps, records ? 16 : 1);
    step(chunk);
    drop(!records);
  }
}

void ActiveSet::step(int64_t steps) {
  between_();
  for (int64_t i = 0; i < steps; ++i) step_->run();
}

void ActiveSet::stop(const std::vector<char>& stopped) {
  std::vector<int32_t> states = batch_.state.to_vector<int32_t>();
  for (size_t i = 0; i < states.size(); ++i)
    if (stopped[i]) states[i] = point_converged;
  assign(batch_.state, from_vector(states, batch_.state.shape(), batch_.state.device()));
  drop(true);
}

const Points& ActiveSet::all() {
  if (!rows_.empty() && batch_.x.storage() != all_.x.storage())
    all_ = {with_rows(all_.x, rows_, batch_.x),
            with_rows(all_.iterations, rows_, batch_.iterations),
            with_rows(all_.state, rows_, batch_.state)};
  return all_;
}

void ActiveSet::use(const Points& batch) {
  batch_ = batch;
  step_ = std::make_unique<RecordedStep>(batch.x.device(), [this] { apply(); });
}

void ActiveSet::apply() {
  Array next = stop_gradient(f_(Tensor(batch_.x))).array();
  require(next.shape() == batch_.x.shape(), "iterate: f must keep the shape, but ", batch_.x,
          " became ", next);
  // settle() overwrites x, which f may have returned a view of.
  if (next.storage() == batch_.x.storage()) next = copy_of(next);
  if (next.dtype() != batch_.x.dtype()) next = cast(next, batch_.x.dtype());
  next = contiguous(next);
  batch_.x.device().backend().iteration().settle(
      batch_.x.view(), next.view(), batch_.iterations.view(), batch_.state.view(), tolerance_);
  batch_.x.touch();
}

void ActiveSet::drop(bool always) {
  const std::vector<int32_t> states = batch_.state.to_vector<int32_t>();
  std::vector<int32_t> kept;
  for (size_t i = 0; i < states.size(); ++i)
    if (states[i] == point_running) kept.push_back(static_cast<int32_t>(i));
  const size_t gone = rows_.size() - kept.size();
  if (gone > 0 && (kept.empty() || always || 2 * gone >= rows_.size())) shrink(kept);
}

void ActiveSet::shrink(const std::vector<int32_t>& kept) {
  all();
  const Points old = batch_;
  std::vector<int32_t> rows;
  for (int32_t i : kept) rows.push_back(rows_[static_cast<size_t>(i)]);
  rows_ = std::move(rows);
  if (!kept.empty())
    use({rows_of(old.x, kept), rows_of(old.iterations, kept), rows_of(old.state, kept)});
}

}  // namespace basin
