// A piece of work that is done again and again: recorded once on a GPU and replayed with one
// launch.
#pragma once
#include <functional>
#include <memory>

#include "engine/array.h"

namespace basin {

/// run() does the work of fn: the first time by calling it, the second time by recording it, then
/// by replaying the recording. On a device that cannot record (the CPU) every run calls fn. A
/// replay repeats the same kernels on the same memory, so
///   - what changes from run to run must be written in place into arrays that live outside
///     (assign), or be computed from such arrays; numbers that fn reads on the host, and host
///     variables, are those of the recording;
///   - arrays made inside and kept outside are rewritten by each replay;
///   - every array fn uses must stay alive as long as this object (fn itself is kept).
/// Memory inside comes from a pool of its own that lives as long as this object and the arrays made
/// in it.
class RecordedStep {
 public:
  RecordedStep(const Device& device, std::function<void()> fn);
  ~RecordedStep();
  RecordedStep(const RecordedStep&) = delete;
  RecordedStep& operator=(const RecordedStep&) = delete;

  /// Errors: while recording, an operation that allocates memory the first run did not need, waits
  /// for the device, or copies to or from the host (names it; the device stays usable, and a later
  /// run() tries again).
  void run();
  bool recorded() const { return replay_ != nullptr; }

 private:
  void record();

  Device device_;
  std::function<void()> fn_;
  Pool* pool_ = nullptr;
  std::unique_ptr<Replay> replay_;
  bool ran_ = false;
};

/// The elements of a contiguous array as they are now, on their way to the host; later work does
/// not wait for them.
class LaterValues {
 public:
  explicit LaterValues(const Array& array);
  /// Waits. T must be the array's dtype.
  template <class T>
  std::vector<T> wait() {
    require(dtype_of<T>() == array_.dtype(), "wait: ", array_, " read as ", dtype_of<T>());
    const T* values = static_cast<const T*>(read_->wait());
    return {values, values + array_.size()};
  }

 private:
  Array array_;
  std::unique_ptr<PendingRead> read_;
};

}  // namespace basin
