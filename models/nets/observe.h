// Looking into a forward pass: models call observe() after each layer; it costs a test of one
// pointer unless somebody listens. The training loop listens when a loss is not finite, to name the
// layer where that began.
#pragma once
#include <functional>
#include <string>

#include "autograd/tensor.h"

namespace basin {

using Observer = std::function<void(const std::string& name, const Tensor& value)>;

inline thread_local const Observer* current_observer = nullptr;

/// Listens on this thread while it lives.
class ObserverScope {
 public:
  explicit ObserverScope(const Observer& observer) : before_(current_observer) {
    current_observer = &observer;
  }
  ~ObserverScope() { current_observer = before_; }
  ObserverScope(const ObserverScope&) = delete;
  ObserverScope& operator=(const ObserverScope&) = delete;

 private:
  const Observer* before_;
};

/// Returns the value; the listener hears "name", or "name.index".
inline const Tensor& observe(const char* name, const Tensor& value, int64_t index = -1) {
  if (current_observer) [[unlikely]]
    (*current_observer)(index < 0 ? name : name + ("." + std::to_string(index)), value);
  return value;
}

}  // namespace basin
