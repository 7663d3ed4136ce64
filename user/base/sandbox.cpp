// SPDX-License-Identifier: Apache-2.0
#include "user/base/sandbox.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <new>
#include <span>
#include <utility>

#include "user/base/confinement.h"
#include "user/base/file.h"

namespace leaktrace {
namespace {

// What is said on the control socket, after the kind of work, and answered with the same type.
constexpr std::uint32_t kStart = 1;  ///< with the worker's socket; answer: its pid
constexpr std::uint32_t kEnd = 2;    ///< 1: it is dying already; answer: its wait status

/// A worker that reads nothing for so long is stuck.
constexpr timeval kMostSending = {.tv_sec = 20, .tv_usec = 0};

/// Exit statuses of a worker.
constexpr int kOutOfMemory = 77;
constexpr int kNotConfined = 78;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kIsSanitized = true;  // their shadow memory is larger than any limit
#else
constexpr bool kIsSanitized = false;
#endif

void limit(__rlimit_resource resource, rlim_t most) {
  const rlimit limits{most, most};
  (void)::setrlimit(resource, &limits);
}

void die_with_parent(pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(0);  // it has died before
}

[[noreturn]] void work(int socket, const SandboxWork& work) {
  ::prctl(PR_SET_NAME, work.name.c_str());
  if (!kIsSanitized) {
    limit(RLIMIT_DATA, sandbox_memory_limit());
    limit(RLIMIT_AS, rlim_t{128} << 30);
  }
  limit(RLIMIT_CORE, 0);
  try {
    if (!allow_only_computing()) ::_exit(kNotConfined);
    work.body(socket);
  } catch (const std::bad_alloc&) {
    ::_exit(kOutOfMemory);
  } catch (...) {
    ::abort();
  }
  ::_exit(0);
}

/// Forks workers and ends them: one at a time of each kind.
class KeeperLoop {
 public:
  KeeperLoop(UniqueFd control, const std::vector<SandboxWork>& works)
      : control_(std::move(control)), works_(works), workers_(works.size(), -1) {}

  void serve() {
    for (;;) {
      auto message =
          receive_message(control_.get(), {.most_bytes = 64, .takes_fds = true, .go_on = {}});
      if (!message || !*message) break;
      Unpacker body((*message)->body);
      const std::uint64_t kind = body.number();
      if (kind >= works_.size()) break;
      if ((*message)->type == kStart && !(*message)->fds.empty()) {
        start(kind, std::move((*message)->fds.front()));
      } else {
        end(workers_[kind], body.number() != 0);
      }
    }
    for (const pid_t worker : workers_) {
      if (worker > 0) ::kill(worker, SIGKILL);
    }
  }

 private:
  void start(std::size_t kind, UniqueFd socket) {
    const pid_t self = ::getpid();
    const pid_t worker = ::fork();
    if (worker == 0) {
      die_with_parent(self);
      control_.reset();
      work(socket.get(), works_[kind]);
    }
    workers_[kind] = worker;
    answer(kStart, worker);
  }

  void end(pid_t& worker, bool is_dying) {
    int status = 0;
    if (worker > 0) {
      constexpr int kMostTries = 1000;  // of a millisecond
      bool over = false;
      for (int i = 0; is_dying && !over && i < kMostTries; ++i) {
        over = ::waitpid(worker, &status, WNOHANG) == worker;
        if (!over) ::usleep(1000);
      }
      if (!over) {
        ::kill(worker, SIGKILL);
        ::waitpid(worker, &status, 0);
      }
    }
    worker = -1;
    answer(kEnd, status);
  }

  void answer(std::uint32_t type, int value) {
    Packer packer;
    packer.number(static_cast<std::uint64_t>(value));
    (void)send_message(control_.get(), type, packer.bytes());
  }

  UniqueFd control_;
  const std::vector<SandboxWork>& works_;
  std::vector<pid_t> workers_;  ///< by kind of work; -1: none
};

// Standard error stays, for messages.
void close_all_but(int kept) {
  const int nothing = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  ::dup2(nothing, STDIN_FILENO);
  ::dup2(nothing, STDOUT_FILENO);
  if (kept > 3) ::syscall(SYS_close_range, 3, kept - 1, 0);
  ::syscall(SYS_close_range, kept + 1, ~0U, 0);
}

// A session of its own: the terminal's Ctrl-C and Ctrl-Z are leaktrace's to answer.
[[noreturn]] void keep(UniqueFd control, const std::vector<SandboxWork>& works, pid_t parent) {
  ::setsid();
  die_with_parent(parent);
  if (control.get() <= STDERR_FILENO)
    control = UniqueFd(::fcntl(control.get(), F_DUPFD_CLOEXEC, 3));
  close_all_but(control.get());
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) limit(RLIMIT_NOFILE, files.rlim_max);
  const bool confined = keep_only_capabilities(0) && hide_memory() && refuse_foreign_system_calls();
  if (!confined) ::_exit(kNotConfined);
  ::signal(SIGPIPE, SIG_IGN);
  KeeperLoop(std::move(control), works).serve();
  ::_exit(0);
}

std::string describe_end(int status) {
  if (WIFSIGNALED(status)) {
    const int number = WTERMSIG(status);
    const char* name = ::sigabbrev_np(number);
    return fmt::format("{} (SIG{})",
                       number == SIGKILL || number == SIGTERM ? "was killed" : "crashed",
                       name == nullptr ? "?" : name);
  }
  if (WEXITSTATUS(status) == kOutOfMemory) {
    return fmt::format("took more memory than it may ({} MiB)", sandbox_memory_limit() >> 20);
  }
  return fmt::format("ended with status {}", WEXITSTATUS(status));
}

}  // namespace

std::uint64_t sandbox_memory_limit() {
  constexpr std::uint64_t kMost = std::uint64_t{6} << 30;
  const auto pages = static_cast<std::uint64_t>(std::max(::sysconf(_SC_PHYS_PAGES), 1L));
  const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  return std::min(kMost, pages * page / 2);
}

/// The process that forks workers, as leaktrace has it.
class Sandbox::Keeper {
 public:
  Keeper(pid_t pid, UniqueFd control) : pid_(pid), control_(std::move(control)) {}
  ~Keeper() {
    control_.reset();
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  Keeper(const Keeper&) = delete;
  Keeper& operator=(const Keeper&) = delete;

  /// What it answers; nothing when it is gone.
  std::optional<int> ask(std::uint32_t type, std::size_t kind, bool is_dying,
                         std::span<const int> fds) {
    Packer packer;
    packer.number(kind);
    packer.number(is_dying ? 1 : 0);
    const std::lock_guard lock(mutex_);
    if (!send_message(control_.get(), type, packer.bytes(), fds)) return std::nullopt;
    auto answer = receive_message(control_.get());
    if (!answer || !*answer) return std::nullopt;
    return static_cast<int>(Unpacker((*answer)->body).number());
  }

 private:
  pid_t pid_;
  std::mutex mutex_;
  UniqueFd control_;
};

Result<std::vector<std::unique_ptr<Sandbox>>> Sandbox::create(
    const std::vector<SandboxWork>& works) {
  auto control = make_socket_pair();
  if (!control) return control.unexpected();
  const pid_t self = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) return fail(describe_errno("cannot start a process", errno));
  if (pid == 0) {
    control->here.reset();
    keep(std::move(control->there), works, self);
  }
  const auto keeper = std::make_shared<Keeper>(pid, std::move(control->here));
  std::vector<std::unique_ptr<Sandbox>> sandboxes;
  for (std::size_t kind = 0; kind < works.size(); ++kind) {
    sandboxes.push_back(std::unique_ptr<Sandbox>(new Sandbox(keeper, kind)));
  }
  return sandboxes;
}

Result<std::unique_ptr<Sandbox>> Sandbox::create(const SandboxWork& work) {
  auto sandboxes = create(std::vector{work});
  if (!sandboxes) return sandboxes.unexpected();
  return std::move(sandboxes->front());
}

Sandbox::~Sandbox() {
  if (socket_) (void)end(false);
}

int Sandbox::socket() {
  if (socket_) return socket_.get();
  auto pair = make_socket_pair();
  if (!pair) return -1;
  ::setsockopt(pair->here.get(), SOL_SOCKET, SO_SNDTIMEO, &kMostSending, sizeof(kMostSending));
  const int theirs = pair->there.get();
  worker_ = keeper_->ask(kStart, kind_, false, {&theirs, 1}).value_or(-1);
  if (worker_ <= 0) return -1;
  socket_ = std::move(pair->here);
  return socket_.get();
}

std::optional<double> Sandbox::cpu_seconds() const {
  clockid_t clock = 0;
  timespec used{};
  if (worker_ <= 0 || ::clock_getcpuclockid(worker_, &clock) != 0 ||
      ::clock_gettime(clock, &used) != 0) {
    return std::nullopt;
  }
  return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) / 1e9;
}

std::string Sandbox::end(bool is_dying) {
  socket_.reset();
  worker_ = -1;
  const auto status = keeper_->ask(kEnd, kind_, is_dying, {});
  return status ? describe_end(*status) : "was killed";
}

}  // namespace leaktrace
