// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bpf/libbpf.h>

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "user/base/unique_fd.h"

namespace leaktrace::tracer {

class LinkKeeper;

/// Owns an attached probe; detaches it, which waits for the kernel.
class Link {
 public:
  Link() = default;
  /// Of libbpf; null: not attached.
  explicit Link(bpf_link* link) : link_(link) {}
  /// A descriptor of the kernel's link, which lives as long as it is open.
  explicit Link(UniqueFd fd) : fd_(std::move(fd)) {}
  /// One that a keeper holds, which must outlive this.
  Link(LinkKeeper& keeper, std::uint64_t id) : keeper_(&keeper), id_(id) {}
  Link(Link&& other) noexcept
      : link_(std::move(other.link_)),
        fd_(std::move(other.fd_)),
        keeper_(std::exchange(other.keeper_, nullptr)),
        id_(other.id_) {}
  Link& operator=(Link&& other) noexcept;
  ~Link() { reset(); }

  explicit operator bool() const { return link_ != nullptr || fd_ || keeper_ != nullptr; }
  void reset();
  /// The keeper has detached it already.
  void forget() { keeper_ = nullptr; }

 private:
  friend void detach_together(std::vector<Link> links, bool wait);
  struct Deleter {
    void operator()(bpf_link* link) const { bpf_link__destroy(link); }
  };
  std::unique_ptr<bpf_link, Deleter> link_;
  UniqueFd fd_;
  LinkKeeper* keeper_ = nullptr;
  std::uint64_t id_ = 0;
};

/// Detaches all, in their order. `wait`: until the kernel has let go of them; else that is left to
/// their keeper.
void detach_together(std::vector<Link> links, bool wait = true);

/// Closes descriptors of links. Each waits for a grace period of the kernel, some 50 ms, so all
/// begin at once, in their order: one after the other, the last would be hit, and cost, all that
/// time.
void close_together(std::vector<UniqueFd> fds);

}  // namespace leaktrace::tracer
