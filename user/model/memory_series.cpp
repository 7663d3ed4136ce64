// SPDX-License-Identifier: Apache-2.0
#include "user/model/memory_series.h"

namespace leaktrace::model {

void MemorySeries::add(const ProcessMemory& reading) {
  newest_ = reading;
  if (count_++ % stride_ != 0) return;
  if (kept_.size() == kMost) {
    for (std::size_t i = 0; i < kMost / 2; ++i) kept_[i] = kept_[2 * i];
    kept_.resize(kMost / 2);
    stride_ *= 2;  // this reading is number kMost of the old stride, which is even
  }
  kept_.push_back(reading);
}

std::vector<ProcessMemory> MemorySeries::readings() const {
  std::vector<ProcessMemory> all = kept_;
  if (count_ > 0 && (count_ - 1) % stride_ != 0) all.push_back(newest_);
  return all;
}

}  // namespace leaktrace::model
