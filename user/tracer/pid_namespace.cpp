// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/pid_namespace.h"

#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <sstream>
#include <string>
#include <vector>

#include "user/base/file.h"
#include "user/tracer/feature_programs.h"
#include "user/tracer/procfs.h"

namespace leaktrace::tracer {
namespace {

constexpr const char* kOwn = "/proc/self/ns/pid";
constexpr const char* kMountProc =
    "mount this namespace's own (mount -t proc proc /proc), as unshare --mount-proc does";

/// PROC_PID_INIT_INO (Linux, include/linux/proc_ns.h; since 6.18 part of the ABI).
constexpr std::uint32_t kInitial = 0xEFFF'FFFC;

/// The inode of a namespace's file; 0: there is no such namespace.
std::uint32_t inode_of(const char* path) {
  struct stat status {};
  return ::stat(path, &status) == 0 ? static_cast<std::uint32_t>(status.st_ino) : 0;
}

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

/// This process by its numbers from the namespace of /proc down to its own. One: they are the same.
Result<void> check_proc() {
  const auto status = read_file("/proc/self/status");
  if (!status) return fail("/proc does not show this process", kMountProc);
  const auto numbers = words_of(status_field(*status, "NSpid"));
  if (numbers.size() <= 1) return {};  // none: a kernel without pid namespaces
  return fail(fmt::format("/proc is of another pid namespace: this process is {} there and {} here",
                          numbers.front(), numbers.back()),
              kMountProc);
}

Unexpected cannot_tell(int error) {
  return fail(describe_errno("cannot tell which pid namespace this is", error),
              "run leaktrace in the initial one, as with --pid=host; see leaktrace doctor");
}

}  // namespace

Result<void> check_pid_namespace() {
  if (auto checked = check_proc(); !checked) return checked;
  // Before its first process the namespace for children has no file to look at.
  if (inode_of("/proc/self/ns/pid_for_children") == inode_of(kOwn)) return {};
  return fail("processes that this one starts are born into another pid namespace",
              "start leaktrace in that one: unshare --pid --fork --mount-proc leaktrace …");
}

Result<PidNamespace> own_pid_namespace() {
  if (auto checked = check_pid_namespace(); !checked) return checked.unexpected();
  PidNamespace own{.level = 0, .inode = inode_of(kOwn)};
  if (own.inode == 0 || own.inode == kInitial) return own;

  const auto skeleton = load_programs(TrialContext(), {"see_pid_namespace"});
  if (!skeleton) return cannot_tell(errno);
  LIBBPF_OPTS(bpf_test_run_opts, run);
  const int program = bpf_program__fd(skeleton->progs.see_pid_namespace);
  if (const int error = bpf_prog_test_run_opts(program, &run); error != 0)
    return cannot_tell(-error);
  const auto& seen = *skeleton->bss;
  if (seen.seen_namespace != own.inode || seen.seen_tid != static_cast<std::uint32_t>(::gettid()))
    return cannot_tell(ENOTSUP);
  own.level = seen.seen_level;
  return own;
}

}  // namespace leaktrace::tracer
