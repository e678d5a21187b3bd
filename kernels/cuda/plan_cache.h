// Plans by key: what is known of a problem once it has been looked at. Host only.
#pragma once
#include <cstdint>
#include <map>
#include <memory>

namespace basin::cuda {

template <class Key, class Plan>
class PlanCache {
 public:
  /// The plan of a key, made by build() the first time. nullptr: build returned none, and is not asked again. When
  /// build throws, nothing is remembered.
  template <class Build>
  Plan* get(const Key& key, Build&& build) {
    const auto found = plans_.find(key);
    if (found != plans_.end()) {
      ++hits_;
      return found->second.get();
    }
    std::unique_ptr<Plan> plan = build();
    refused_ += plan == nullptr;
    return plans_.emplace(key, std::move(plan)).first->second.get();
  }
  int64_t size() const { return static_cast<int64_t>(plans_.size()); }
  int64_t hits() const { return hits_; }
  int64_t refused() const { return refused_; }

 private:
  std::map<Key, std::unique_ptr<Plan>> plans_;
  int64_t hits_ = 0, refused_ = 0;
};

}  // namespace basin::cuda
