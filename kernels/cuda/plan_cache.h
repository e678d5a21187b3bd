// Plans by key: what is known of a problem once it has been looked at. Host only.
#pragma once
#include <cstdint>
#include <map>
#include <memory>

namespace basin::cuda {

template <class Key, class Plan>
class PlanCache {
 public:
  /// The plan of a key, made by build() the first time. nullptr: build returned none, and is not
  /// asked again. When build throws, nothing is remembered.
  template <class Build>
  Plan* get(const Key& key, Build&& build) {
    const auto found = plans_.find(key);
    if (found != plans_.end()) return found->second.get();
    return plans_.emplace(key, build()).first->second.get();
  }

 private:
  std::map<Key, std::unique_ptr<Plan>> plans_;
};

}  // namespace basin::cuda
