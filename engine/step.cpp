#include "engine/step.h"

#include <algorithm>

#include "engine/allocator.h"

namespace basin {
namespace {

constexpr int64_t most_bytes = int64_t{1} << 30;  // of one ring

/// Errors: a value that is not what from_host() was asked for. True when it is smaller.
bool smaller(const Array& value, const Shape& shape, DType dtype) {
  Shape rest = value.shape();
  if (value.defined() && rest.rank > 0 && shape.rank == rest.rank) rest[0] = shape[0];
  require(value.defined() && value.device().is_cpu() && value.dtype() == dtype && rest == shape &&
              (shape.rank == 0 || value.dim(0) <= shape[0]),
          "step: a value made on the host is ", value, "; asked for ", dtype, " ", shape);
  return value.shape() != shape;
}

}  // namespace

Step::Step(Array number, Array slot, StepFeeds& feeds)
    : on_device_(std::move(number)), slot_(std::move(slot)), feeds_(&feeds) {}

int64_t Step::number() const {
  require(!recorded(),
          "step: the number of a recorded step changes with each replay; draw with normal(key, "
          "step), use from_host(), or let the loss take an int64_t, which is never replayed");
  return number_;
}

Step Step::part(int64_t i, int64_t n) const {
  require(n >= 1 && i >= 0 && i < n, "step: no part ", i, " of ", n);
  if (n == 1) return *this;
  if (!recorded()) return Step(number_ * n + i);
  Step result = *this;
  result.part_ = part_ * n + i;
  result.parts_ = parts_ * n;
  result.on_device_ = copy_of(on_device_);
  const View number = result.on_device_.view();
  Backend& backend = on_device_.device().backend();
  backend.unary(Unary::mul_scalar, static_cast<double>(n), 0, number, number);
  backend.unary(Unary::add_scalar, static_cast<double>(i), 0, number, number);
  return result;
}

void Step::require_on(const char* what, const Device& device) const {
  require(!recorded() || on_device_.device() == device, "step: ", what, " on ", device.name(),
          " inside a recorded step of ", on_device_.defined() ? on_device_.device().name() : "",
          ": give it the device of the step");
}

Array Step::from_host(const Shape& shape, DType dtype, const Device& device,
                      const std::function<Array(int64_t)>& make) const {
  require_on("a value from the host", device);
  if (recorded())
    return feeds_->take(
        slot_, shape, dtype, device,
        [make, part = part_, parts = parts_](int64_t t) { return make(t * parts + part); });
  const Array value = make(number_);
  smaller(value, shape, dtype);
  return copy_to(value, device);
}

int64_t StepFeeds::fill(const Feed& feed, int64_t count) const {
  const Array values({count, feed.ring.dim(1)}, feed.ring.dtype());
  int64_t made = 0;
  for (; made < count; ++made) {
    const Array value = feed.make(first_ + made);
    if (smaller(value, feed.shape, feed.ring.dtype())) break;
    assign(reshape(slice(values, 0, made, made + 1), feed.shape), value);
  }
  if (made > 0)
    assign(slice(feed.ring, 0, slot_, slot_ + made),
           copy_to(slice(values, 0, 0, made), feed.ring.device()));
  return made;
}

int64_t StepFeeds::prepare(int64_t slot, int64_t first, int64_t count) {
  slot_ = slot;
  first_ = first;
  if (!complete_) count = std::min<int64_t>(count, 1);
  for (const Feed& feed : feeds_) count = std::min(count, fill(feed, count));
  return count;
}

Array StepFeeds::take(const Array& slot, const Shape& shape, DType dtype, const Device& device,
                      const std::function<Array(int64_t)>& make) {
  if (next_ == feeds_.size()) {
    require(!complete_, "step: asks for more values from the host than when it ran first");
    const int64_t bytes = ring_ * shape.size() * static_cast<int64_t>(size_of(dtype));
    if (bytes > most_bytes)
      throw CannotReplay(text("its values from the host, ", dtype, " ", shape, ", would take ",
                              bytes >> 20, " MiB for ", ring_,
                              " steps; keep the data on the device"));
    const PoolScope outside(nullptr);  // the ring outlives the run
    Feed feed{make, shape, Array({ring_, shape.size()}, dtype, device)};
    if (fill(feed, 1) == 0)
      throw CannotReplay(
          text("its value from the host is smaller than the ", shape, " that it asks for"));
    feeds_.push_back(std::move(feed));
  }
  const Feed& feed = feeds_[next_++];
  require(feed.shape == shape && feed.ring.dtype() == dtype, "step: asks for a value ", dtype, " ",
          shape, " where it asked for ", feed.ring.dtype(), " ", feed.shape, " when it ran first");
  const Array index = cast(slot, DType::i32), value({1, shape.size()}, dtype, device);
  device.backend().gather(value.view(), feed.ring.view(), index.view());
  return reshape(value, shape);
}

}  // namespace basin
