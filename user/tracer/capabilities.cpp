// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/capabilities.h"

#include <fmt/format.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <climits>
#include <limits>
#include <optional>
#include <sstream>

#include "user/base/file.h"

namespace leaktrace::tracer {
namespace {

// Numbers of linux/capability.h. Spelt out, because the header of an older kernel lacks the last.
constexpr std::array<std::string_view, 41> kNames = {"CAP_CHOWN",
                                                     "CAP_DAC_OVERRIDE",
                                                     "CAP_DAC_READ_SEARCH",
                                                     "CAP_FOWNER",
                                                     "CAP_FSETID",
                                                     "CAP_KILL",
                                                     "CAP_SETGID",
                                                     "CAP_SETUID",
                                                     "CAP_SETPCAP",
                                                     "CAP_LINUX_IMMUTABLE",
                                                     "CAP_NET_BIND_SERVICE",
                                                     "CAP_NET_BROADCAST",
                                                     "CAP_NET_ADMIN",
                                                     "CAP_NET_RAW",
                                                     "CAP_IPC_LOCK",
                                                     "CAP_IPC_OWNER",
                                                     "CAP_SYS_MODULE",
                                                     "CAP_SYS_RAWIO",
                                                     "CAP_SYS_CHROOT",
                                                     "CAP_SYS_PTRACE",
                                                     "CAP_SYS_PACCT",
                                                     "CAP_SYS_ADMIN",
                                                     "CAP_SYS_BOOT",
                                                     "CAP_SYS_NICE",
                                                     "CAP_SYS_RESOURCE",
                                                     "CAP_SYS_TIME",
                                                     "CAP_SYS_TTY_CONFIG",
                                                     "CAP_MKNOD",
                                                     "CAP_LEASE",
                                                     "CAP_AUDIT_WRITE",
                                                     "CAP_AUDIT_CONTROL",
                                                     "CAP_SETFCAP",
                                                     "CAP_MAC_OVERRIDE",
                                                     "CAP_MAC_ADMIN",
                                                     "CAP_SYSLOG",
                                                     "CAP_WAKE_ALARM",
                                                     "CAP_BLOCK_SUSPEND",
                                                     "CAP_AUDIT_READ",
                                                     "CAP_PERFMON",
                                                     "CAP_BPF",
                                                     "CAP_CHECKPOINT_RESTORE"};

constexpr int kDacReadSearch = 2;
constexpr int kSysPtrace = 19;
constexpr int kSysAdmin = 21;
constexpr int kPerfmon = 38;
constexpr int kBpf = 39;
constexpr int kCheckpointRestore = 40;

constexpr CapabilityNeed kNeeds[] = {
    {kBpf, "CAP_BPF", "load BPF programs and make maps", false, true},
    {kPerfmon, "CAP_PERFMON", "attach probes and read the memory of what is traced", false, true},
    {kSysPtrace, "CAP_SYS_PTRACE", "read the mappings of processes that are not yours", false,
     false},
    {kDacReadSearch, "CAP_DAC_READ_SEARCH",
     "open executables and libraries that only other users may read; without it their functions "
     "can be neither probed nor named",
     true, false},
    {kCheckpointRestore, "CAP_CHECKPOINT_RESTORE",
     "open libraries through /proc/PID/map_files; without it a library that was deleted or "
     "replaced while in use cannot be read",
     true, false},
};

/// What the kernel's bpf_capable(), perfmon_capable() and checkpoint_restore_ns_capable() do.
constexpr bool admin_stands_for(int number) {
  return number == kBpf || number == kPerfmon || number == kCheckpointRestore;
}

/// The value of the line "NAME:\tVALUE".
std::optional<std::string_view> status_value(std::string_view status, std::string_view name) {
  while (!status.empty()) {
    const auto end = std::min(status.find('\n'), status.size());
    auto line = status.substr(0, end);
    status.remove_prefix(std::min(end + 1, status.size()));
    if (!line.starts_with(name) || line.substr(name.size(), 1) != ":") continue;
    line.remove_prefix(name.size() + 1);
    const auto first = line.find_first_not_of(" \t");
    return first == std::string_view::npos ? std::string_view{} : line.substr(first);
  }
  return std::nullopt;
}

std::string real_path_of_this_program() {
  char path[PATH_MAX];
  const auto length = ::readlink("/proc/self/exe", path, sizeof(path));
  return length > 0 ? std::string(path, static_cast<std::size_t>(length)) : std::string();
}

/// Quoted for a POSIX shell where it has to be.
std::string shell_word(const std::string& text) {
  const auto plain = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
           std::string_view("/._-+").find(c) != std::string_view::npos;
  };
  if (!text.empty() && std::ranges::all_of(text, plain)) return text;
  std::string quoted = "'";
  for (const char c : text) {
    if (c == '\'') {
      quoted += "'\\''";
    } else {
      quoted += c;
    }
  }
  return quoted + "'";
}

}  // namespace

bool CapabilitySet::allows(int number) const {
  const auto has = [this](int bit) { return ((mask_ >> bit) & 1U) != 0; };
  return has(number) || (admin_stands_for(number) && has(kSysAdmin));
}

std::vector<std::string> CapabilitySet::names() const {
  std::vector<std::string> names;
  for (unsigned number = 0; number < 64; ++number) {
    if (((mask_ >> number) & 1U) == 0) continue;
    names.push_back(number < kNames.size() ? std::string(kNames[number])
                                           : fmt::format("CAP_{}", number));
  }
  return names;
}

std::span<const CapabilityNeed> needed_capabilities() {
  return kNeeds;
}

std::vector<CapabilityNeed> Capabilities::missing() const {
  std::vector<CapabilityNeed> missing;
  std::ranges::copy_if(kNeeds, std::back_inserter(missing), [this](const CapabilityNeed& need) {
    return !effective.allows(need.number);
  });
  return missing;
}

bool Capabilities::sufficient() const {
  return std::ranges::all_of(missing(), &CapabilityNeed::optional);
}

std::string Capabilities::grant_command(bool with_admin) const {
  if (missing().empty() && !with_admin) return {};
  std::string names = with_admin ? "cap_sys_admin" : "";
  for (const auto& need : kNeeds) {
    if (!names.empty()) names += ',';
    for (const char c : need.name)
      names += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  const std::string file = shell_word(executable.empty() ? "leaktrace" : executable);
  // Another group takes the capabilities of a file away: they come last.
  return fmt::format("sudo chgrp GROUP {0} && sudo chmod 750 {0} && sudo setcap {1}+ep {0}", file,
                     names);
}

Result<CapabilitySet> parse_effective_capabilities(std::string_view status) {
  const auto value = status_value(status, "CapEff");
  if (!value) return fail("the process status has no CapEff line");
  std::uint64_t mask = 0;
  const auto* last = value->data() + value->size();
  const auto [end, error] = std::from_chars(value->data(), last, mask, 16);
  if (error != std::errc{} || end != last)
    return fail(fmt::format("the process status has an unreadable CapEff: '{}'", *value));
  return CapabilitySet(mask);
}

bool is_initial_uid_map(std::string_view uid_map) {
  std::istringstream text{std::string(uid_map)};
  std::uint64_t inside = 0;
  std::uint64_t outside = 0;
  std::uint64_t length = 0;
  return text >> inside >> outside >> length && inside == 0 && outside == 0 &&
         length == std::numeric_limits<std::uint32_t>::max();
}

Result<Capabilities> read_capabilities() {
  const auto status = read_file("/proc/self/status");
  if (!status) return status.unexpected();
  const auto effective = parse_effective_capabilities(*status);
  if (!effective) return effective.unexpected();

  Capabilities capabilities;
  capabilities.effective = *effective;
  capabilities.no_new_privileges = status_value(*status, "NoNewPrivs") == "1";
  if (const auto uid_map = read_file("/proc/self/uid_map"))
    capabilities.initial_user_namespace = is_initial_uid_map(*uid_map);
  capabilities.executable = real_path_of_this_program();
  struct statvfs filesystem {};
  if (::statvfs("/proc/self/exe", &filesystem) == 0)
    capabilities.executable_on_nosuid = (filesystem.f_flag & ST_NOSUID) != 0;
  return capabilities;
}

}  // namespace leaktrace::tracer
