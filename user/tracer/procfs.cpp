// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/procfs.h"

#include <elf.h>
#include <fmt/core.h>
#include <signal.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cinttypes>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include "user/base/file.h"
#include "user/base/foreign_file.h"
#include "user/tracer/capabilities.h"

namespace leaktrace::tracer {
namespace {

constexpr std::string_view kDeleted = " (deleted)";

bool parse_maps_line(const std::string& line, Mapping& mapping) {
  unsigned major_number = 0;
  unsigned minor_number = 0;
  std::array<char, 5> permissions{};
  int path_at = 0;
  int fields =
      std::sscanf(line.c_str(), "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %x:%x %" SCNu64 " %n",
                  &mapping.start, &mapping.end, permissions.data(), &mapping.offset, &major_number,
                  &minor_number, &mapping.inode, &path_at);
  if (fields != 7) return false;
  mapping.readable = permissions[0] == 'r';
  mapping.executable = permissions[2] == 'x';
  mapping.device = device_number(makedev(major_number, minor_number));
  mapping.path = line.substr(static_cast<std::size_t>(path_at));
  if (mapping.path.ends_with(kDeleted)) mapping.path.resize(mapping.path.size() - kDeleted.size());
  return true;
}

std::string read_link(const std::string& path) {
  std::array<char, 4096> target{};
  ssize_t n = ::readlink(path.c_str(), target.data(), target.size());
  return n > 0 ? std::string(target.data(), static_cast<std::size_t>(n)) : std::string();
}

// The unified hierarchy's line ("0::/path"), else the memory controller's.
std::string cgroup_of(std::string_view text) {
  std::string memory;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    std::size_t last = line.rfind(':');
    if (last == std::string_view::npos) continue;
    if (line.starts_with("0::")) return std::string(line.substr(3));
    if (line.find(":memory:") != std::string_view::npos) memory = line.substr(last + 1);
  }
  return memory;
}

// Root may be refused, too: by Landlock, say, all that is outside of its domain.
Unexpected may_not_look_into(pid_t pid) {
  constexpr int kCapSysPtrace = 19;
  std::string what = fmt::format("may not look into process {}", pid);
  const auto own = read_capabilities();
  if (own && own->initial_user_namespace && own->effective.allows(kCapSysPtrace)) {
    return fail(
        std::move(what),
        "leaktrace has CAP_SYS_PTRACE, but a security module (Landlock, AppArmor, SELinux or "
        "the like) keeps it out: start it where that does not apply");
  }
  return fail(std::move(what),
              "it belongs to someone else: run leaktrace as root, or see leaktrace doctor for the "
              "capabilities that it needs");
}

Result<void> check_elf_class(pid_t pid) {
  std::string exe = fmt::format("/proc/{}/exe", pid);
  auto fd = open_foreign_link(exe);
  if (!fd) return may_not_look_into(pid);
  if (!*fd) return fail(fmt::format("process {} ended while attaching", pid));
  std::array<unsigned char, EI_NIDENT> identity{};
  if (::pread(fd->get(), identity.data(), identity.size(), 0) !=
      static_cast<ssize_t>(identity.size())) {
    return fail(fmt::format("cannot read the program of process {}", pid));
  }
  if (identity[EI_CLASS] == ELFCLASS32) {
    return fail(fmt::format("process {} runs a 32-bit program ({})", pid, read_link(exe)),
                "leaktrace traces 64-bit programs only");
  }
  return {};
}

}  // namespace

std::string status_field(std::string_view status, std::string_view name) {
  std::size_t at = status.find(fmt::format("\n{}:", name));
  if (at == std::string_view::npos) return {};
  at = status.find_first_not_of(" \t", at + name.size() + 2);
  return std::string(status.substr(at, status.find('\n', at) - at));
}

std::uint64_t device_number(dev_t device) {
  return (std::uint64_t{major(device)} << 32) | minor(device);
}

std::vector<Mapping> parse_maps(std::string_view text) {
  std::vector<Mapping> mappings;
  while (!text.empty()) {
    std::string line(text.substr(0, text.find('\n')));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    Mapping mapping;
    if (parse_maps_line(line, mapping)) mappings.push_back(std::move(mapping));
  }
  return mappings;
}

Result<std::vector<Mapping>> read_maps(pid_t pid) {
  auto text = read_file(fmt::format("/proc/{}/maps", pid));
  if (!text) return text.unexpected();
  return parse_maps(*text);
}

std::vector<pid_t> all_processes() {
  std::vector<pid_t> pids;
  std::error_code failed;
  for (std::filesystem::directory_iterator entry("/proc", failed), end; !failed && entry != end;
       entry.increment(failed)) {
    const std::string name = entry->path().filename().string();
    pid_t pid = 0;
    const auto [rest, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (error == std::errc() && rest == name.data() + name.size()) pids.push_back(pid);
  }
  return pids;
}

ProcessInfo read_process_info(pid_t pid) {
  ProcessInfo info{.pid = pid, .comm = {}, .exe = {}, .cgroup = {}};
  if (auto comm = read_file(fmt::format("/proc/{}/comm", pid))) {
    info.comm = comm->substr(0, comm->find('\n'));
  }
  info.exe = read_link(fmt::format("/proc/{}/exe", pid));
  if (info.exe.ends_with(kDeleted)) info.exe.resize(info.exe.size() - kDeleted.size());
  if (auto cgroup = read_file(fmt::format("/proc/{}/cgroup", pid)))
    info.cgroup = cgroup_of(*cgroup);
  return info;
}

Result<void> check_traceable(pid_t pid) {
  if (pid == ::getpid()) return fail("leaktrace cannot trace itself", "name another process");
  auto status = read_file(fmt::format("/proc/{}/status", pid));
  if (!status) {
    return fail(fmt::format("no process with pid {}", pid), "see ps -e for those that run");
  }
  std::string tgid = status_field(*status, "Tgid");
  if (tgid != std::to_string(pid)) {
    return fail(fmt::format("{} is a thread of process {}", pid, tgid), "attach to the process");
  }
  if (status_field(*status, "State").starts_with('Z')) {
    return fail(fmt::format("process {} has ended already (it is a zombie)", pid));
  }
  if (status_field(*status, "VmSize").empty()) {
    return fail(fmt::format("{} ({}) is a kernel thread", pid, read_process_info(pid).comm),
                "kernel memory is not traced: name a user process");
  }
  return check_elf_class(pid);
}

bool is_gone(pid_t pid) {
  return ::kill(pid, 0) != 0 && errno == ESRCH;
}

std::string path_in_root(pid_t pid, std::string_view path) {
  return fmt::format("/proc/{}/root{}", pid, path);
}

}  // namespace leaktrace::tracer
