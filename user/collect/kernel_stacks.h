// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "leaktrace/abi.h"
#include "user/base/result.h"
#include "user/base/unique_fd.h"
#include "user/collect/stack_place.h"

namespace leaktrace::collect {

/// The maps that stacks are known by in the kernel; the descriptors belong to the tracer.
struct StackMaps {
  int call_sites = -1;
  int call_stacks = -1;
  int retiring_stacks = -1;
  int stacks_retire = -1;
  int site_lifetimes = -1;
  volatile std::uint32_t* state_epoch = nullptr;  ///< counted up when stacks begin to retire
};

/// Takes entries of idle stacks out of the kernel's tables while programs run (bpf/lib/stacks.bpf.h
/// draws it).
///
/// An element of these maps may be used for another key as soon as it is deleted, so none may be
/// deleted that a program still points to. Who points to a stack's elements has found the stack's
/// id (an acquire) or takes a live resource of it out (a release). The first are kept away by the
/// mark and by waiting for those that run: no time that has passed says so, since a program can be
/// preempted for any time. Of the second there are none once all that was acquired is counted as
/// released, in count and in bytes: the bytes are what a release adds last.
class KernelStacks {
 public:
  [[nodiscard]] static Result<KernelStacks> create(const StackMaps& maps);

  [[nodiscard]] std::size_t max_stacks() const { return max_stacks_; }
  [[nodiscard]] std::size_t max_sites() const { return max_sites_; }

  /// Marks places as retiring and waits (some ten milliseconds) until no program runs that had not
  /// seen the marks. Returns those marked: a place that is gone, or for whose mark the kernel has
  /// no memory, is left out. To be ended with end_retirement() whatever the result.
  [[nodiscard]] Result<std::vector<StackPlace>> retire(std::span<const StackPlace> places);
  /// The counters of an entry, if it is there.
  [[nodiscard]] std::optional<lt_site_counters> read(const SiteEntry& entry) const;
  /// Removes a site's entry, and a stack's, of a retiring place.
  void remove(const SiteEntry& entry);
  void remove(StackPlace place);
  /// Takes the marks back: the places can be entered again.
  void end_retirement();

 private:
  explicit KernelStacks(const StackMaps& maps) : maps_(maps) {}
  [[nodiscard]] Result<void> set_flag(std::uint32_t value);
  [[nodiscard]] Result<void> wait_for_programs();

  StackMaps maps_;
  std::size_t max_stacks_ = 0;
  std::size_t max_sites_ = 0;
  UniqueFd waiting_inner_;  ///< what wait_for_programs() works with
  UniqueFd waiting_outer_;
  std::vector<StackPlace> marked_;
};

}  // namespace leaktrace::collect
