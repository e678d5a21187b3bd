#include "engine/recorded_step.h"

#include "engine/allocator.h"

namespace basin {

RecordedStep::RecordedStep(const Device& device, std::function<void()> fn)
    : device_(device), fn_(std::move(fn)) {
  if (device_.backend().can_capture()) pool_ = make_pool(device_);
}

RecordedStep::~RecordedStep() {
  replay_.reset();
  fn_ = nullptr;  // it may hold arrays of the pool
  if (pool_) drop_pool(pool_);
}

void RecordedStep::run() {
  if (replay_) return replay_->launch();
  if (!pool_) return fn_();
  const PoolScope scope(pool_);
  if (ran_) return record();
  fn_();
  reserve_again(pool_);
  ran_ = true;
}

void RecordedStep::record() {
  Backend& backend = device_.backend();
  backend.begin_capture();
  set_recording(pool_, true);
  try {
    fn_();
  } catch (const std::exception& error) {
    try {
      backend.end_capture();
    } catch (const std::exception&) {  // the first error is the one to show
    }
    set_recording(pool_, false);
    throw Error(text("recorded step: ", current_operation(), ": ", error.what(),
                     "; move it out of the step, or do not record this step"));
  }
  set_recording(pool_, false);
  replay_ = backend.end_capture();
  replay_->launch();
}

LaterValues::LaterValues(const Array& array) : array_(array) {
  require(array.defined() && array.contiguous(), "LaterValues: needs a contiguous array, got ",
          array);
  read_ = array.device().backend().read_later(
      array.view().data, static_cast<size_t>(array.size()) * size_of(array.dtype()));
}

}  // namespace basin
