// SPDX-License-Identifier: Apache-2.0
// What leaktrace and the process that keeps its probes say to each other: see link_keeper.h.
#pragma once

#include <atomic>
#include <cstdint>

namespace leaktrace::tracer {

/// Asked by whoever attaches; each is answered with a message of the same type.
enum class KeeperRequest : std::uint32_t {
  set_up = 1,   ///< with the map of the programs' variables and a program that does little
  attach,       ///< with a program and a file; answer: an errno, and the id of what was attached
  detach,       ///< answered when the kernel has let go
  detach_soon,  ///< not answered
  open_window,  ///< answer: CLOCK_MONOTONIC when it was opened; 0: it must not be
  end_windows,  ///< nothing is acquired any more, and no window opens again
};

/// From whoever keeps the budget; none is answered. What comes back, of any type, says that the
/// state has changed.
enum class KeeperOrder : std::uint32_t {
  beat = 1,  ///< "I am there"
  close_window,
  hold_window,  ///< closes it, and keeps it closed
  release_window,
};

enum class WindowState : std::uint32_t { open, closing, closed };

/// Memory that both share; the keeper writes it.
struct KeeperState {
  std::atomic<WindowState> window = WindowState::open;
  std::atomic<bool> closed_by_switch = false;
  std::atomic<std::uint32_t> closings = 0;       ///< counted up before any probe goes
  std::atomic<std::uint64_t> closed_ns = 0;      ///< CLOCK_MONOTONIC
  std::atomic<std::uint64_t> attach_cpu_ns = 0;  ///< CPU time that attaching took, in all
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

/// The dead man's switch: so many times, half a second apart, the keeper has looked for a beat and
/// found none.
inline constexpr int kSwitchTicks = 6;
inline constexpr std::uint64_t kSwitchTickNs = 500'000'000;

}  // namespace leaktrace::tracer
