// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/kept_links.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <future>
#include <iterator>
#include <map>
#include <optional>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

#include "leaktrace/abi.h"
#include "user/base/clock.h"
#include "user/base/confinement.h"
#include "user/base/message.h"
#include "user/tracer/calibration.h"
#include "user/tracer/uprobe_links.h"

namespace leaktrace::tracer {
namespace {

bool is_readable(int fd) {
  pollfd poll{.fd = fd, .events = POLLIN, .revents = 0};
  return ::poll(&poll, 1, 0) > 0;
}

/// The programs' variables that say whether a window is open.
class ProgramState {
 public:
  /// 0, or an errno.
  int map(int fd, std::size_t bytes, std::size_t closing_at, std::size_t window_from_at) {
    if (closing_at + sizeof(std::uint32_t) > bytes) return EINVAL;
    if (window_from_at + sizeof(std::uint64_t) > bytes) return EINVAL;
    void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) return errno;
    closing_ = reinterpret_cast<volatile std::uint32_t*>(static_cast<char*>(memory) + closing_at);
    window_from_ =
        reinterpret_cast<volatile std::uint64_t*>(static_cast<char*>(memory) + window_from_at);
    return 0;
  }
  void set_closing(lt_closing closing) {
    if (closing_ != nullptr) *closing_ = closing;
  }
  void set_window_from(std::uint64_t at_ns) {
    if (window_from_ != nullptr) *window_from_ = at_ns;
  }

 private:
  volatile std::uint32_t* closing_ = nullptr;  ///< mapped for as long as the process lives
  volatile std::uint64_t* window_from_ = nullptr;
};

class Keeper {
 public:
  Keeper(UniqueFd requests, UniqueFd orders, KeeperState& state)
      : requests_(std::move(requests)), orders_(std::move(orders)), state_(state) {}

  void serve();

 private:
  struct Kept {
    bool costly = false;
    std::vector<UniqueFd> fds;
  };

  [[nodiscard]] bool take_order();
  [[nodiscard]] bool answer_request();
  void answer(KeeperRequest request, std::uint64_t first, std::uint64_t second = 0);
  int set_up(Message& message);
  void attach(Message& message);
  void detach(const Message& message, bool wait);
  [[nodiscard]] std::vector<UniqueFd> take(std::uint64_t id);
  [[nodiscard]] std::vector<UniqueFd> take_costly();
  void close_window(bool by_switch);
  std::uint64_t open_window();
  void await_readiness();
  void close_soon(std::vector<UniqueFd> fds);
  void close_all();
  void tick_when_due();

  UniqueFd requests_;
  UniqueFd orders_;
  KeeperState& state_;
  ProgramState programs_;
  UniqueFd idle_program_;
  LinkKind idle_kind_ = LinkKind::single;
  std::map<std::uint64_t, Kept> links_;
  std::uint64_t last_id_ = 0;
  std::vector<std::future<void>> letting_go_;
  bool held_ = false;
  bool ended_ = false;  ///< no window opens any more
  std::uint64_t next_tick_ns_ = clock_ns(CLOCK_MONOTONIC) + kSwitchTickNs;
  bool beats_ = false;               ///< since the last tick
  std::optional<int> silent_ticks_;  ///< nothing: there has been no beat yet
};

void Keeper::serve() {
  for (;;) {
    std::array<pollfd, 2> fds = {pollfd{.fd = orders_.get(), .events = POLLIN, .revents = 0},
                                 pollfd{.fd = requests_.get(), .events = POLLIN, .revents = 0}};
    const std::uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
    const std::uint64_t left_ns = next_tick_ns_ > now_ns ? next_tick_ns_ - now_ns : 0;
    ::poll(fds.data(), fds.size(), static_cast<int>(left_ns / 1'000'000 + 1));
    if (fds[0].revents != 0 && !take_order()) break;
    if (fds[1].revents != 0 && !answer_request()) break;
    tick_when_due();
  }
  close_all();
}

// ---- The window ---------------------------------------------------------------------------------

// A keeper that wakes up late counts once: its lateness says nothing of leaktrace, which may have
// had no time either (a suspended machine, a throttled group).
void Keeper::tick_when_due() {
  const std::uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
  if (now_ns < next_tick_ns_ || is_readable(orders_.get())) return;
  next_tick_ns_ = now_ns + kSwitchTickNs;
  if (std::exchange(beats_, false)) silent_ticks_ = 0;
  if (!silent_ticks_ || ++*silent_ticks_ <= kSwitchTicks) return;
  if (ended_ || state_.window != WindowState::open) return;
  held_ = true;
  close_window(true);
}

bool Keeper::take_order() {
  auto message = receive_message(orders_.get(), {.most_bytes = 0, .takes_fds = false, .go_on = {}});
  if (!message || !*message) return false;
  beats_ = true;
  switch (static_cast<KeeperOrder>((*message)->type)) {
    case KeeperOrder::beat:
      break;
    case KeeperOrder::hold_window:
      held_ = true;
      [[fallthrough]];
    case KeeperOrder::close_window:
      close_window(false);
      break;
    case KeeperOrder::release_window:
      held_ = false;
      break;
  }
  return true;
}

void Keeper::close_window(bool by_switch) {
  if (state_.window == WindowState::open) {
    state_.closed_by_switch = by_switch;
    ++state_.closings;
    state_.window = WindowState::closing;
    std::vector<UniqueFd> fds = take_costly();
    if (!fds.empty()) await_readiness();
    if (!ended_) programs_.set_closing(LT_CLOSING_WINDOW);
    state_.closed_ns = clock_ns(CLOCK_MONOTONIC);
    close_together(std::move(fds));
    state_.window = WindowState::closed;
  }
  (void)send_message(orders_.get(), static_cast<std::uint32_t>(KeeperOrder::close_window), {});
}

std::uint64_t Keeper::open_window() {
  if (held_ || ended_) return 0;
  await_readiness();
  const std::uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
  programs_.set_window_from(now_ns);
  programs_.set_closing(LT_CLOSING_NONE);
  state_.window = WindowState::open;
  return now_ns;
}

// Whoever changes probes holds up all forks (dup_mmap_sem in kernel/events/uprobes.c), and the
// first to do so waits for a grace period, 10 to 80 ms; those that follow soon do not. So a probe
// that nobody hits goes first: what it waits for is no part of a window, and all others come or go
// within a millisecond. Taking it away again waits too, and nobody waits for that.
void Keeper::await_readiness() {
  const auto function = uncalled_function();
  const UniqueFd file(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  if (!function || !file || !idle_program_) return;
  constexpr std::uint64_t kNoCookie = 0;
  std::vector<UniqueFd> links;
  (void)create_uprobe_links({.program_fd = idle_program_.get(),
                             .kind = idle_kind_,
                             .pid = ::getpid(),
                             .file_fd = file.get(),
                             .offsets = {&*function, 1},
                             .cookies = {&kNoCookie, 1}},
                            links);
  close_soon(std::move(links));
}

// ---- Requests -----------------------------------------------------------------------------------

bool Keeper::answer_request() {
  const auto go_on = [this] {
    while (is_readable(orders_.get())) {
      if (!take_order()) return false;
    }
    tick_when_due();
    return true;
  };
  auto received = receive_message(
      requests_.get(), {.most_bytes = std::size_t{64} << 20, .takes_fds = true, .go_on = go_on});
  // Orders that were given before this request come before it.
  if (!received || !*received || !go_on()) return false;
  Message& message = **received;
  switch (const auto request = static_cast<KeeperRequest>(message.type)) {
    case KeeperRequest::set_up:
      answer(request, static_cast<std::uint64_t>(set_up(message)));
      break;
    case KeeperRequest::attach:
      attach(message);
      break;
    case KeeperRequest::detach:
      detach(message, true);
      answer(request, 0);
      break;
    case KeeperRequest::detach_soon:
      detach(message, false);
      break;
    case KeeperRequest::open_window:
      answer(request, open_window());
      break;
    case KeeperRequest::end_windows:
      ended_ = true;
      programs_.set_closing(LT_CLOSING_TRACE);
      answer(request, 0);
      break;
  }
  return true;
}

void Keeper::answer(KeeperRequest request, std::uint64_t first, std::uint64_t second) {
  Packer packer;
  packer.number(first);
  packer.number(second);
  (void)send_message(requests_.get(), static_cast<std::uint32_t>(request), packer.bytes());
}

int Keeper::set_up(Message& message) {
  Unpacker unpacker(message.body);
  const std::uint64_t bytes = unpacker.number();
  const std::uint64_t closing_at = unpacker.number();
  const std::uint64_t window_from_at = unpacker.number();
  idle_kind_ = static_cast<LinkKind>(unpacker.number());
  if (message.fds.size() != 2 || !unpacker.ok()) return EINVAL;
  idle_program_ = std::move(message.fds[1]);
  return programs_.map(message.fds[0].get(), bytes, closing_at, window_from_at);
}

void Keeper::attach(Message& message) {
  Unpacker unpacker(message.body);
  LinkRequest request;
  request.kind = static_cast<LinkKind>(unpacker.number());
  request.on_return = unpacker.number() != 0;
  request.pid = static_cast<pid_t>(unpacker.number());
  request.costly = unpacker.number() != 0;
  std::vector<unsigned long> offsets(unpacker.count());
  std::vector<std::uint64_t> cookies(offsets.size());
  for (std::size_t i = 0; i < offsets.size(); ++i) {
    offsets[i] = unpacker.number();
    cookies[i] = unpacker.number();
  }
  if (message.fds.size() != 2 || !unpacker.ok()) return answer(KeeperRequest::attach, EINVAL);
  if (request.costly && state_.window != WindowState::open) return answer(KeeperRequest::attach, 0);
  request.program_fd = message.fds[0].get();
  request.file_fd = message.fds[1].get();
  request.offsets = offsets;
  request.cookies = cookies;
  Kept kept{.costly = request.costly, .fds = {}};
  const std::uint64_t from_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
  const int error = create_uprobe_links(request, kept.fds);
  state_.attach_cpu_ns += clock_ns(CLOCK_THREAD_CPUTIME_ID) - from_ns;
  if (error != 0) return answer(KeeperRequest::attach, static_cast<std::uint64_t>(error));
  links_[++last_id_] = std::move(kept);
  answer(KeeperRequest::attach, 0, last_id_);
}

std::vector<UniqueFd> Keeper::take(std::uint64_t id) {
  const auto found = links_.find(id);
  if (found == links_.end()) return {};  // went with its window
  std::vector<UniqueFd> fds = std::move(found->second.fds);
  links_.erase(found);
  return fds;
}

// Those first that were attached last: acquires before releases.
std::vector<UniqueFd> Keeper::take_costly() {
  std::vector<std::uint64_t> ids;
  for (const auto& [id, kept] : links_) {
    if (kept.costly) ids.push_back(id);
  }
  std::vector<UniqueFd> fds;
  for (auto id = ids.rbegin(); id != ids.rend(); ++id)
    std::ranges::move(take(*id), std::back_inserter(fds));
  return fds;
}

void Keeper::detach(const Message& message, bool wait) {
  Unpacker unpacker(message.body);
  std::vector<UniqueFd> fds;
  for (std::size_t left = unpacker.count(); left > 0; --left) {
    std::ranges::move(take(unpacker.number()), std::back_inserter(fds));
  }
  wait ? close_together(std::move(fds)) : close_soon(std::move(fds));
}

void Keeper::close_soon(std::vector<UniqueFd> fds) {
  std::erase_if(letting_go_, [](const std::future<void>& one) {
    return one.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
  });
  if (fds.empty()) return;
  try {
    letting_go_.push_back(
        std::async(std::launch::async, [owned = std::move(fds)]() mutable { owned.clear(); }));
  } catch (const std::system_error&) {
    // No thread is to be had: they have been closed here.
  }
}

void Keeper::close_all() {
  programs_.set_closing(LT_CLOSING_TRACE);
  std::vector<UniqueFd> fds = take_costly();
  for (auto& [id, kept] : links_) std::ranges::move(kept.fds, std::back_inserter(fds));
  close_together(std::move(fds));
}

// ---- The process --------------------------------------------------------------------------------

// Standard error stays, for the messages of libraries.
void close_all_but(int one, int other) {
  const int nothing = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  ::dup2(nothing, STDIN_FILENO);
  ::dup2(nothing, STDOUT_FILENO);
  const int low = std::min(one, other);
  const int high = std::max(one, other);
  if (low > 3) ::syscall(SYS_close_range, 3, low - 1, 0);
  if (high > low + 1) ::syscall(SYS_close_range, low + 1, high - 1, 0);
  ::syscall(SYS_close_range, high + 1, ~0U, 0);
}

constexpr CapabilityMask mask_of(int capability) {
  return CapabilityMask{1} << capability;
}

}  // namespace

void keep_links(UniqueFd requests, UniqueFd orders, KeeperState& state, bool precedence) {
  // What the terminal sends to leaktrace and its group, and what kills that group, is not for it.
  ::setsid();
  ::prctl(PR_SET_NAME, "leaktrace-keep");
  close_all_but(requests.get(), orders.get());
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
  }
  constexpr int kHighest = -20;
  if (precedence) ::setpriority(PRIO_PROCESS, 0, kHighest);
  constexpr CapabilityMask kKept = mask_of(CAP_BPF) | mask_of(CAP_PERFMON) | mask_of(CAP_SYS_ADMIN);
  if (!keep_only_capabilities(kKept)) ::_exit(1);
  sigset_t all;
  sigfillset(&all);
  ::sigprocmask(SIG_BLOCK, &all, nullptr);
  { Keeper(std::move(requests), std::move(orders), state).serve(); }
  ::_exit(0);
}

}  // namespace leaktrace::tracer
