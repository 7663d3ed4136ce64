// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "user/base/result.h"

namespace leaktrace::tracer {

/// A set of Linux capabilities, as the kernel prints it: bit n is capability n.
class CapabilitySet {
 public:
  constexpr CapabilitySet() = default;
  constexpr explicit CapabilitySet(std::uint64_t mask) : mask_(mask) {}

  /// True when the set holds `number` itself, or CAP_SYS_ADMIN where the kernel takes that for it.
  [[nodiscard]] bool allows(int number) const;
  /// The names in the order of their numbers ("CAP_BPF"); one that this build does not know is
  /// "CAP_<number>".
  [[nodiscard]] std::vector<std::string> names() const;
  [[nodiscard]] std::uint64_t mask() const { return mask_; }

 private:
  std::uint64_t mask_ = 0;
};

/// A capability that tracing uses.
struct CapabilityNeed {
  int number;
  std::string_view name;     ///< "CAP_BPF"
  std::string_view purpose;  ///< what it is for, in plain words
  bool optional;             ///< tracing works without it, with the loss that `purpose` names
  bool for_bpf;              ///< loading and attaching programs takes it
};

/// All that tracing uses, the necessary ones first.
[[nodiscard]] std::span<const CapabilityNeed> needed_capabilities();

/// What this process may do and what it lacks.
struct Capabilities {
  CapabilitySet effective;
  bool no_new_privileges = false;      ///< setcap and setuid have no effect on what we execute
  bool initial_user_namespace = true;  ///< elsewhere capabilities do not count for BPF
  std::string executable;              ///< the real path of this program
  bool executable_on_nosuid = false;   ///< its file system ignores file capabilities

  [[nodiscard]] std::vector<CapabilityNeed> missing() const;
  /// True when nothing that is not optional is missing.
  [[nodiscard]] bool sufficient() const;
  /// The command that gives this executable all it needs, to be run once by someone who may use
  /// sudo; empty when nothing is missing. It lets only GROUP run it, which is to be replaced:
  /// whoever runs it can see into other users' processes. With CAP_SYS_ADMIN where the kernel takes
  /// it for uprobes (Features::uprobe_needs_admin).
  [[nodiscard]] std::string grant_command(bool with_admin = false) const;
};

/// The effective set in the text of /proc/PID/status. Fails when there is no CapEff line.
[[nodiscard]] Result<CapabilitySet> parse_effective_capabilities(std::string_view status);

/// True when the text of /proc/PID/uid_map is that of the initial user namespace.
[[nodiscard]] bool is_initial_uid_map(std::string_view uid_map);

/// Reads what this process has, from /proc/self.
[[nodiscard]] Result<Capabilities> read_capabilities();

}  // namespace leaktrace::tracer
