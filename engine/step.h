// The number of a training step, and what changes with it: noise, minibatches, masks, augmentation.
#pragma once
#include <functional>
#include <memory>
#include <vector>

#include "engine/key.h"

namespace basin {

class StepFeeds;

/// A step as its loss sees it. An eager step knows its number. A recorded step
/// (engine/recorded_step.h) reads the number in memory of the device each time it is replayed, so
/// that what is drawn by it has the bits of the eager step. The first step has number 0.
class Step {
 public:
  explicit Step(int64_t number) : number_(number) {}
  /// A recorded step; number f64 [1] and slot f64 [1] are rewritten before each replay.
  Step(Array number, Array slot, StepFeeds& feeds);

  bool recorded() const { return feeds_ != nullptr; }
  /// Errors: a recorded step, whose number is not the host's to know.
  int64_t number() const;
  /// Errors: a recorded step of another device, whose memory `device` cannot read.
  void require_on(const char* what, const Device& device) const;
  /// f64 [1] of a recorded step.
  const Array& number_on_device() const { return on_device_; }
  /// Part i of n, such as a micro-batch: the step with the number n * number + i.
  Step part(int64_t i, int64_t n) const;

  /// make(number), which runs on the host, on `device`. A recorded step has it made ahead of time,
  /// for up to 64 steps, and keeps 128 of them on the device, at most 1 GiB. A batch may be smaller
  /// than `shape` along axis 0 (the last of an epoch): that step is then done eagerly. `make` must
  /// give the same array for the same number, and live as long as the training. Errors: another
  /// dtype or shape; a recorded step of another device.
  Array from_host(const Shape& shape, DType dtype, const Device& device,
                  const std::function<Array(int64_t)>& make) const;

 private:
  int64_t number_ = -1, part_ = 0, parts_ = 1;
  Array on_device_, slot_;
  StepFeeds* feeds_ = nullptr;
};

/// uniform() and normal() (engine/key.h) of key.at(number of the step).
Array uniform(const Key& key, const Step& step, const Shape& shape, DType dtype, double low = 0,
              double high = 1, const Device& device = {});
Array normal(const Key& key, const Step& step, const Shape& shape, DType dtype, double mean = 0,
             double sd = 1, const Device& device = {});

/// What the host makes for a recorded step. The values of the coming steps lie in one ring for each
/// from_host() of the step, in memory of the device.
class StepFeeds {
 public:
  /// Rings of so many steps.
  explicit StepFeeds(int64_t ring) : ring_(ring) {}

  /// Makes the values of steps first ... first + count - 1, and writes them from `slot` on, where
  /// they must fit. Returns how many of these steps may be replayed: before the first run, whose
  /// needs nobody knows, at most 1; later those before the first smaller batch.
  int64_t prepare(int64_t slot, int64_t first, int64_t count);
  /// Surround each run of the step's work, which asks for its values in the same order each time.
  void begin() { next_ = 0; }
  void end() { complete_ = true; }

  /// The value of the step at `slot`, f64 [1]. Errors: CannotReplay in the first run.
  Array take(const Array& slot, const Shape& shape, DType dtype, const Device& device,
             const std::function<Array(int64_t)>& make);

 private:
  struct Feed {
    std::function<Array(int64_t)> make;
    Shape shape;
    Array ring;  // [ring, numbers of one value]
  };
  int64_t fill(const Feed& feed, int64_t count) const;

  std::vector<Feed> feeds_;
  size_t next_ = 0;
  int64_t ring_, slot_ = 0, first_ = 0;
  bool complete_ = false;
};

/// A step is not to be replayed: its batch is smaller than the others, or they take too much
/// memory.
struct CannotReplay : Error {
  using Error::Error;
};

}  // namespace basin
