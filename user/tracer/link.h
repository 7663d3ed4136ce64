// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bpf/libbpf.h>

#include <memory>
#include <utility>
#include <vector>

#include "user/base/unique_fd.h"

namespace leaktrace::tracer {

/// Owns an attached probe; detaches it, which waits for the kernel.
class Link {
 public:
  Link() = default;
  /// Of libbpf; null: not attached.
  explicit Link(bpf_link* link) : link_(link) {}
  /// A descriptor of the kernel's link, which lives as long as it is open.
  explicit Link(UniqueFd fd) : fd_(std::move(fd)) {}

  explicit operator bool() const { return link_ != nullptr || fd_; }
  void reset() {
    link_.reset();
    fd_ = UniqueFd();
  }

 private:
  struct Deleter {
    void operator()(bpf_link* link) const { bpf_link__destroy(link); }
  };
  std::unique_ptr<bpf_link, Deleter> link_;
  UniqueFd fd_;
};

/// Detaches all. Each waits for a grace period of the kernel, some 50 ms, so all begin at once, in
/// their order: one after the other, the last would be hit, and cost, all that time.
void detach_together(std::vector<Link> links);

}  // namespace leaktrace::tracer
