// SPDX-License-Identifier: Apache-2.0
// The system calls that a worker of a Sandbox may make.
#include <fcntl.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <memory>
#include <string_view>
#include <type_traits>

#include "user/base/file.h"
#include "user/base/sandbox.h"

namespace leaktrace {
namespace {

constexpr int kAllowedCalls[] = {
    // Descriptors that it has.
    SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(pread64), SCMP_SYS(write), SCMP_SYS(writev),
    SCMP_SYS(close), SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(lseek), SCMP_SYS(fcntl),
    SCMP_SYS(dup), SCMP_SYS(dup2), SCMP_SYS(dup3), SCMP_SYS(ftruncate), SCMP_SYS(fadvise64),
    SCMP_SYS(memfd_create), SCMP_SYS(sendmsg), SCMP_SYS(recvmsg), SCMP_SYS(poll), SCMP_SYS(ppoll),
    // Where one lies: a name, no more.
    SCMP_SYS(readlink), SCMP_SYS(readlinkat),
    // Memory.
    SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(brk),
    // Itself.
    SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigaction), SCMP_SYS(sigaltstack), SCMP_SYS(restart_syscall), SCMP_SYS(futex),
    SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday), SCMP_SYS(getpid), SCMP_SYS(gettid),
    SCMP_SYS(sched_yield), SCMP_SYS(getrandom), SCMP_SYS(sysinfo)};

constexpr std::string_view kOwnDescriptors = "/proc/self/fd/";

/// In place of opening "/proc/self/fd/N", a copy of N; anything else is refused. A signal handler.
long open_own(const char* path) {
  const std::string_view text(path);
  if (!text.starts_with(kOwnDescriptors)) return -EACCES;
  int fd = -1;
  const char* last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data() + kOwnDescriptors.size(), last, fd);
  if (error != std::errc{} || end != last) return -EACCES;
  const int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
  return copy < 0 ? -errno : copy;
}

// openat is answered here, in the process itself: its path is in its own memory, where no filter
// can read it.
void on_trapped_call(int /*signal*/, siginfo_t* info, void* context) {
  auto& registers = static_cast<ucontext_t*>(context)->uc_mcontext;
  const int error_before = errno;
#if defined(__x86_64__)
  auto* path = reinterpret_cast<const char*>(registers.gregs[REG_RSI]);
  registers.gregs[REG_RAX] = info->si_syscall == SYS_openat ? open_own(path) : -EPERM;
#elif defined(__aarch64__)
  auto* path = reinterpret_cast<const char*>(registers.regs[1]);
  const long result = info->si_syscall == SYS_openat ? open_own(path) : -EPERM;
  registers.regs[0] = static_cast<unsigned long long>(result);
#else
#error "how are system calls answered on this machine?"
#endif
  errno = error_before;
}

using Filter = std::unique_ptr<std::remove_pointer_t<scmp_filter_ctx>, decltype(&seccomp_release)>;

int allow(scmp_filter_ctx filter) {
  for (const int call : kAllowedCalls) {
    if (const int error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0)) return error;
  }
  // No memory that is executed.
  for (const int call : {SCMP_SYS(mmap), SCMP_SYS(mprotect)}) {
    const int error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 1,
                                       SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    if (error != 0) return error;
  }
  // abort().
  const int error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
                                     SCMP_A0(SCMP_CMP_EQ, static_cast<scmp_datum_t>(::getpid())));
  if (error != 0) return error;
  return seccomp_rule_add(filter, SCMP_ACT_TRAP, SCMP_SYS(openat), 0);
}

}  // namespace

Result<void> allow_only_computing() {
  struct sigaction action {};
  action.sa_sigaction = &on_trapped_call;
  action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_RESTART;
  if (::sigaction(SIGSYS, &action, nullptr) != 0) {
    return fail(describe_errno("cannot answer system calls", errno));
  }
  const Filter filter(seccomp_init(SCMP_ACT_ERRNO(EPERM)), &seccomp_release);
  if (!filter) return fail("cannot make a seccomp filter: out of memory");
  int error = allow(filter.get());
  if (error == 0) error = seccomp_load(filter.get());
  if (error != 0) return fail(describe_errno("cannot load a seccomp filter", -error));
  return {};
}

}  // namespace leaktrace
