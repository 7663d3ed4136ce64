// SPDX-License-Identifier: Apache-2.0
// Each trial in a child, for nothing of it can be taken back. A child ends with the errno of what
// it tried, 0 when that worked.
#include "user/base/confinement.h"

#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <functional>
#include <thread>

namespace leaktrace {
namespace {

constexpr int kNotConfined = 255;

int status_of_child(const std::function<int()>& body) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(body());
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status)) << status;
  return WEXITSTATUS(status);
}

/// The errno with which the filter answers `attempt`.
int error_of(const std::function<long()>& attempt) {
  return status_of_child([&] {
    if (!keep_only_capabilities(~CapabilityMask{0})) return kNotConfined;
    if (!refuse_foreign_system_calls()) return kNotConfined;
    return attempt() == 0 ? 0 : errno;
  });
}

TEST(ConfinementTest, NoProgramIsExecuted) {
  EXPECT_EQ(error_of([] { return ::execl("/bin/true", "true", nullptr); }), EPERM);
  EXPECT_EQ(error_of([] { return ::syscall(SYS_execveat, -1, "/bin/true", nullptr, nullptr, 0); }),
            EPERM);
}

TEST(ConfinementTest, NothingIsMountedAndNoNamespaceEntered) {
  EXPECT_EQ(error_of([] { return ::mount("none", "/proc", "tmpfs", 0, nullptr); }), EPERM);
  EXPECT_EQ(error_of([] { return ::unshare(CLONE_NEWUSER); }), EPERM);
}

TEST(ConfinementTest, NoOtherProcessIsWrittenInto) {
  static long word = 0;
  EXPECT_EQ(error_of([] {
              iovec place{&word, sizeof(word)};
              const ssize_t n = ::process_vm_writev(::getpid(), &place, 1, &place, 1, 0);
              return n == sizeof(word) ? 0 : -1;
            }),
            EPERM);
  EXPECT_EQ(error_of([] { return ::ptrace(PTRACE_POKEDATA, ::getpid(), &word, 0L); }), EPERM);
  // Not refused: there is no such tracee.
  EXPECT_EQ(error_of([] { return ::ptrace(PTRACE_DETACH, ::getpid(), nullptr, 0L); }), ESRCH);
}

TEST(ConfinementTest, NoNewUserAndNoModule) {
  EXPECT_EQ(error_of([] { return ::syscall(SYS_setresuid, 0, 0, 0); }), EPERM);
  EXPECT_EQ(error_of([] { return ::syscall(SYS_init_module, nullptr, 0, ""); }), EPERM);
  EXPECT_EQ(error_of([] { return ::syscall(SYS_io_uring_setup, 1, nullptr); }), EPERM);
}

TEST(ConfinementTest, ThreadsStartAndForkWorksUnderTheFilter) {
  EXPECT_EQ(error_of([] {
              long value = -1;
              std::thread([&] { value = 0; }).join();
              return value;
            }),
            0);
  EXPECT_EQ(error_of([] { return static_cast<long>(status_of_child([] { return 0; })); }), 0);
}

TEST(ConfinementTest, OnlyWhatIsKeptIsLeft) {
  EXPECT_EQ(status_of_child([] {
              const auto before = permitted_capabilities();
              const CapabilityMask kept = CapabilityMask{1} << CAP_SYS_PTRACE;
              if (!before || !keep_only_capabilities(kept)) return kNotConfined;
              const auto after = permitted_capabilities();
              if (!after || *after != (kept & *before)) return 1;
              if (::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1) return 2;
              const bool had_setpcap = ((*before >> CAP_SETPCAP) & 1) != 0;
              if (had_setpcap && ::prctl(PR_CAPBSET_READ, CAP_SYS_PTRACE, 0, 0, 0) != 0) return 3;
              // What is gone does not come back.
              if (!set_effective_capabilities(~CapabilityMask{0})) return 4;
              const auto again = permitted_capabilities();
              return again && *again == (kept & *before) ? 0 : 5;
            }),
            0);
}

TEST(ConfinementTest, IsRefusedWhereThreadsWouldKeepTheirs) {
  EXPECT_EQ(status_of_child([] {
              std::atomic<bool> over = false;
              std::thread other([&] {
                while (!over) std::this_thread::yield();
              });
              const auto kept = keep_only_capabilities(0);
              over = true;
              other.join();
              return kept ? 1 : 0;
            }),
            0);
}

TEST(ConfinementTest, MemoryIsHidden) {
  EXPECT_EQ(status_of_child([] {
              if (!hide_memory()) return kNotConfined;
              return ::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
            }),
            0);
}

}  // namespace
}  // namespace leaktrace
