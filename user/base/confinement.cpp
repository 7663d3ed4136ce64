// SPDX-License-Identifier: Apache-2.0
#include "user/base/confinement.h"

#include <linux/capability.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <iterator>
#include <memory>
#include <type_traits>

#include "user/base/file.h"

namespace leaktrace {
namespace {

struct CapabilitySets {
  CapabilityMask effective = 0;
  CapabilityMask permitted = 0;
  CapabilityMask inheritable = 0;
};

using Words = std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3>;

// The system calls themselves, which glibc has no functions for: 0 is the calling thread.
Result<CapabilitySets> read_sets() {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  Words words{};
  if (::syscall(SYS_capget, &header, words.data()) != 0) {
    return fail(describe_errno("cannot read the capabilities", errno));
  }
  const auto join = [](std::uint32_t low, std::uint32_t high) {
    return CapabilityMask{high} << 32 | low;
  };
  return CapabilitySets{.effective = join(words[0].effective, words[1].effective),
                        .permitted = join(words[0].permitted, words[1].permitted),
                        .inheritable = join(words[0].inheritable, words[1].inheritable)};
}

Result<void> write_sets(const CapabilitySets& sets) {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  const auto low = [](CapabilityMask mask) { return static_cast<std::uint32_t>(mask); };
  const auto high = [](CapabilityMask mask) { return static_cast<std::uint32_t>(mask >> 32); };
  Words words{{{.effective = low(sets.effective),
                .permitted = low(sets.permitted),
                .inheritable = low(sets.inheritable)},
               {.effective = high(sets.effective),
                .permitted = high(sets.permitted),
                .inheritable = high(sets.inheritable)}}};
  if (::syscall(SYS_capset, &header, words.data()) != 0) {
    return fail(describe_errno("cannot give up capabilities", errno));
  }
  return {};
}

// Without CAP_SETPCAP it cannot be done, and no_new_privs keeps what is left from counting.
void clear_bounding_set() {
  for (unsigned long number = 0; ::prctl(PR_CAPBSET_READ, number, 0, 0, 0) >= 0; ++number) {
    if (::prctl(PR_CAPBSET_DROP, number, 0, 0, 0) != 0) return;
  }
}

bool is_only_thread() {
  std::error_code error;
  const std::filesystem::directory_iterator tasks("/proc/self/task", error);
  return !error && std::distance(begin(tasks), end(tasks)) == 1;
}

constexpr int kRefusedCalls[] = {
    SCMP_SYS(execve), SCMP_SYS(execveat),
    // Modules and kernels.
    SCMP_SYS(init_module), SCMP_SYS(finit_module), SCMP_SYS(delete_module), SCMP_SYS(kexec_load),
    SCMP_SYS(kexec_file_load), SCMP_SYS(reboot),
    // Mounts and namespaces.
    SCMP_SYS(mount), SCMP_SYS(umount2), SCMP_SYS(pivot_root), SCMP_SYS(chroot),
    SCMP_SYS(move_mount), SCMP_SYS(open_tree), SCMP_SYS(fsopen), SCMP_SYS(fsmount),
    SCMP_SYS(fsconfig), SCMP_SYS(fspick), SCMP_SYS(mount_setattr), SCMP_SYS(unshare),
    SCMP_SYS(setns), SCMP_SYS(swapon), SCMP_SYS(swapoff), SCMP_SYS(quotactl),
    SCMP_SYS(open_by_handle_at), SCMP_SYS(mknod), SCMP_SYS(mknodat),
    // Users.
    SCMP_SYS(setuid), SCMP_SYS(setgid), SCMP_SYS(setreuid), SCMP_SYS(setregid), SCMP_SYS(setresuid),
    SCMP_SYS(setresgid), SCMP_SYS(setfsuid), SCMP_SYS(setfsgid), SCMP_SYS(setgroups),
    SCMP_SYS(add_key), SCMP_SYS(request_key), SCMP_SYS(keyctl),
    // The machine.
    SCMP_SYS(settimeofday), SCMP_SYS(clock_settime), SCMP_SYS(clock_adjtime), SCMP_SYS(adjtimex),
    SCMP_SYS(sethostname), SCMP_SYS(setdomainname), SCMP_SYS(syslog), SCMP_SYS(acct),
    SCMP_SYS(iopl), SCMP_SYS(ioperm), SCMP_SYS(vhangup),
    // Other processes.
    SCMP_SYS(process_vm_writev), SCMP_SYS(process_madvise), SCMP_SYS(pidfd_getfd),
    SCMP_SYS(userfaultfd),
    // Ways around a filter.
    SCMP_SYS(io_uring_setup), SCMP_SYS(io_uring_enter), SCMP_SYS(io_uring_register)};

constexpr int kRefusedPtrace[] = {PTRACE_POKETEXT, PTRACE_POKEDATA,  PTRACE_POKEUSER,
#ifdef PTRACE_SETREGS
                                  PTRACE_SETREGS,  PTRACE_SETFPREGS,
#endif
                                  PTRACE_SETREGSET};

using Filter = std::unique_ptr<std::remove_pointer_t<scmp_filter_ctx>, decltype(&seccomp_release)>;

// libseccomp leaves a call out that this machine does not have (iopl on Arm).
int refuse(scmp_filter_ctx filter) {
  for (const int call : kRefusedCalls) {
    if (const int error = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), call, 0)) return error;
  }
  for (const int request : kRefusedPtrace) {
    const int error = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ptrace), 1,
                                       SCMP_A0(SCMP_CMP_EQ, static_cast<scmp_datum_t>(request)));
    if (error != 0) return error;
  }
  return 0;
}

}  // namespace

Result<CapabilityMask> permitted_capabilities() {
  const auto sets = read_sets();
  if (!sets) return sets.unexpected();
  return sets->permitted;
}

Result<void> set_effective_capabilities(CapabilityMask effective) {
  auto sets = read_sets();
  if (!sets) return sets.unexpected();
  sets->effective = effective & sets->permitted;
  return write_sets(*sets);
}

Result<void> keep_only_capabilities(CapabilityMask kept) {
  if (!is_only_thread()) return fail("cannot give up capabilities: threads are running already");
  const auto permitted = permitted_capabilities();
  if (!permitted) return permitted.unexpected();
  // All that are permitted for a moment, for CAP_SETPCAP may not be in effect.
  if (auto all = set_effective_capabilities(*permitted); !all) return all;
  clear_bounding_set();
  if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) {
    return fail(describe_errno("cannot give up ambient capabilities", errno));
  }
  const CapabilityMask left = kept & *permitted;
  auto written = write_sets({.effective = left, .permitted = left, .inheritable = 0});
  if (!written) return written;
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    return fail(describe_errno("cannot set no_new_privs", errno));
  }
  return {};
}

Result<void> hide_memory() {
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
    return fail(describe_errno("cannot hide this process's memory", errno));
  }
  return {};
}

Result<void> refuse_foreign_system_calls() {
  const Filter filter(seccomp_init(SCMP_ACT_ALLOW), &seccomp_release);
  if (!filter) return fail("cannot make a seccomp filter: out of memory");
  // Of other architectures (32-bit calls on a 64-bit kernel) none.
  int error = seccomp_attr_set(filter.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
  if (error == 0) error = refuse(filter.get());
  if (error == 0) error = seccomp_load(filter.get());
  if (error != 0) return fail(describe_errno("cannot load a seccomp filter", -error));
  return {};
}

}  // namespace leaktrace
