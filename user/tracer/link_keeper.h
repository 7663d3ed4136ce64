// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "user/base/message.h"
#include "user/base/result.h"
#include "user/base/unique_fd.h"
#include "user/tracer/link.h"
#include "user/tracer/link_protocol.h"

namespace leaktrace::tracer {

/// How a probe is attached.
enum class LinkKind : std::uint32_t {
  single,   ///< a perf event for each place
  multi,    ///< one link for all
  session,  ///< the same, for entry and return
};

/// Places in one file to put one program on.
struct LinkRequest {
  int program_fd = -1;
  LinkKind kind = LinkKind::single;
  bool on_return = false;  ///< by the kernel's trampoline
  pid_t pid = -1;          ///< only in that process; -1: in all
  int file_fd = -1;
  std::span<const unsigned long> offsets;  ///< in the file
  std::span<const std::uint64_t> cookies;  ///< one an offset
  bool costly = false;                     ///< goes with the window
};

/// What is at hand once the programs are loaded.
struct LinkSetUp {
  int variables_fd = -1;  ///< the map that `closing` and `sampling` are in
  std::size_t variables_bytes = 0;
  std::size_t closing_at = 0;      ///< offset of `closing`
  std::size_t window_from_at = 0;  ///< offset of `sampling.window_from`
  int program_fd = -1;             ///< one that does little
  LinkKind kind = LinkKind::single;
};

/// Owns every probe on a function, in a process of its own that does nothing else:
///
///   leaktrace ──requests: attach, detach, open──▶ keeper ── all links
///       └─────orders: beat, close ──────────────▶   └─ window: are the costly ones attached?
///
/// - A link goes with its last descriptor, and nobody but the keeper has one. The keeper ends when
///   the sockets close, which the kernel does however leaktrace ends: so no probe outlives it.
/// - What is killed in the middle of attaching or detaching leaves a probe behind in the kernel
///   (it cannot take it away while a fatal signal is pending). The keeper is not what is killed: it
///   has a session of its own.
/// - Dead man's switch: without a beat for some three seconds of its own time it takes the costly
///   probes away. A machine that is suspended, or a group of processes that is throttled or frozen,
///   takes that time from both.
class LinkKeeper {
 public:
  /// Forks it. The caller must be the only thread. `precedence`: it runs before other programs.
  [[nodiscard]] static Result<std::unique_ptr<LinkKeeper>> create(bool precedence);
  /// Takes all probes away, and waits for the kernel.
  ~LinkKeeper();
  LinkKeeper(const LinkKeeper&) = delete;
  LinkKeeper& operator=(const LinkKeeper&) = delete;

  /// The one that this process has; null: none, and whoever attaches owns what it attaches.
  [[nodiscard]] static LinkKeeper* current();

  // Requests: wait for their answers.

  [[nodiscard]] Result<void> set_up(const LinkSetUp& handles);
  /// An errno, or a link; one that holds nothing where a costly one came when the window was
  /// closed: it is to be attached again in the next.
  struct Attached {
    int error = 0;
    Link link;
  };
  [[nodiscard]] Attached attach(const LinkRequest& request);
  /// In this order. `wait`: until the kernel has let go of them.
  void detach(const std::vector<std::uint64_t>& ids, bool wait);
  /// CLOCK_MONOTONIC when costly probes could be attached again; nothing where the window is held.
  [[nodiscard]] std::optional<std::uint64_t> open_window();
  /// Nothing is acquired any more, in no program, and no window opens again.
  void end_windows();

  // Orders: never wait. Of any thread.

  /// Readable when the state has changed: take_changes().
  [[nodiscard]] int changes_fd() const { return orders_.get(); }
  /// False: the keeper has ended, and all probes are gone.
  [[nodiscard]] bool take_changes();
  void order(KeeperOrder order);

  [[nodiscard]] const KeeperState& state() const { return *state_; }
  [[nodiscard]] pid_t pid() const { return keeper_; }

 private:
  struct Unmapped {
    void operator()(KeeperState* state) const;
  };
  using SharedState = std::unique_ptr<KeeperState, Unmapped>;

  LinkKeeper(pid_t keeper, SharedState state, UniqueFd requests, UniqueFd orders)
      : keeper_(keeper),
        state_(std::move(state)),
        requests_(std::move(requests)),
        orders_(std::move(orders)) {}
  [[nodiscard]] Result<Message> ask(KeeperRequest request, std::string_view body,
                                    std::span<const int> fds = {});

  pid_t keeper_;
  SharedState state_;
  std::mutex asking_;
  UniqueFd requests_;
  UniqueFd orders_;
};

}  // namespace leaktrace::tracer
