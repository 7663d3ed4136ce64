// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/load_error.h"

#include <bpf/libbpf.h>
#include <fmt/format.h>

#include <array>
#include <cctype>
#include <cerrno>
#include <cstring>

#include "user/base/file.h"
#include "user/base/log.h"

namespace leaktrace::tracer {
namespace {

// Kernels before 6.4 say ENOSPC, and not why, when a log does not fit. It is memory only where the
// kernel has written.
constexpr std::size_t kLogBytes = 16U << 20;

// What ends the log of every program (kernel/bpf/verifier.c, print_verification_stats).
constexpr std::array<std::string_view, 3> kStatistics = {"verification time ", "stack depth ",
                                                         "processed "};

std::string_view trimmed(std::string_view line) {
  while (!line.empty() && std::isspace(static_cast<unsigned char>(line.back())) != 0)
    line.remove_suffix(1);
  while (!line.empty() && std::isspace(static_cast<unsigned char>(line.front())) != 0)
    line.remove_prefix(1);
  return line;
}

bool is_statistics(std::string_view line) {
  for (const auto start : kStatistics)
    if (line.starts_with(start)) return true;
  return false;
}

/// "12: (85) call …", "; source", "12: R0=…", "from 3 to 5: …": where it was, not what is wrong.
bool is_instruction(std::string_view line) {
  if (line.starts_with(";") || line.starts_with("from ")) return true;
  const auto digits = line.find_first_not_of("0123456789");
  return digits != 0 && digits != std::string_view::npos && line[digits] == ':';
}

Unexpected refusal_error(const RefusedProgram& refused, int error) {
  const std::string reason =
      refused.reason.empty() ? describe_errno("no reason given", -error) : refused.reason;
  return fail(
      fmt::format("the kernel refused the BPF program {}: {}", refused.name, reason),
      "nothing that you did: please report it with the kernel's release (uname -r) and what "
      "leaktrace --verbose prints");
}

Unexpected privilege_error(int error, const std::optional<Capabilities>& own) {
  constexpr auto kWhat = "the kernel does not let this user load BPF programs";
  if (!own) return fail(kWhat, "run as root, or see leaktrace doctor");
  if (!own->initial_user_namespace) {
    return fail(
        fmt::format("{}: it runs in a user namespace, where capabilities do not count", kWhat),
        "run leaktrace outside of the container");
  }
  std::string missing;
  for (const auto& need : own->missing()) {
    if (!need.for_bpf) continue;
    missing += fmt::format("{}{}", missing.empty() ? "" : " and ", need.name);
  }
  if (!missing.empty()) {
    return fail(fmt::format("{}: {} missing", kWhat, missing),
                "run as root, or see leaktrace doctor for the capabilities that are missing");
  }
  return fail(
      fmt::format("the kernel forbids BPF programs, although no capability is missing ({})",
                  std::strerror(-error)),
      "kernel lockdown, a security module or the seccomp filter of a container does; see leaktrace "
      "doctor");
}

}  // namespace

VerifierLogs::VerifierLogs(bpf_object* object) : object_(object) {
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, object) {
    if (!bpf_program__autoload(program)) continue;
    buffers_.push_back(std::make_unique_for_overwrite<char[]>(kLogBytes));
    buffers_.back()[0] = '\0';
    bpf_program__set_log_buf(program, buffers_.back().get(), kLogBytes);
  }
}

std::optional<RefusedProgram> VerifierLogs::refused() const {
  std::optional<RefusedProgram> refused;
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, object_) {
    std::size_t size = 0;
    const char* text = bpf_program__log_buf(program, &size);
    if (text == nullptr || size == 0 || text[0] == '\0') continue;
    const std::string_view log(text, ::strnlen(text, size));
    log::debug("the verifier's log of {}:\n{}", bpf_program__name(program), log);
    refused = {bpf_program__name(program), refusal_reason(log)};  // the last: then loading stopped
  }
  return refused;
}

std::string refusal_reason(std::string_view log) {
  while (!log.empty()) {
    const auto newline = log.rfind('\n');
    const auto from = newline == std::string_view::npos ? 0 : newline + 1;
    const auto line = trimmed(log.substr(from));
    if (!line.empty() && !is_statistics(line) && !is_instruction(line)) return std::string(line);
    log = log.substr(0, from == 0 ? 0 : newline);
  }
  return {};
}

Unexpected load_error(int error, const std::optional<RefusedProgram>& refused,
                      const std::optional<Capabilities>& own) {
  if (refused) return refusal_error(*refused, error);
  if (error == -EPERM || error == -EACCES) return privilege_error(error, own);
  if (error == -ESRCH || error == -ENOENT) {
    return fail(describe_errno("cannot load the BPF programs", -error),
                "is the kernel built with BTF (CONFIG_DEBUG_INFO_BTF)? see leaktrace doctor");
  }
  if (error == -EMFILE || error == -ENFILE) {
    return fail(describe_errno("cannot load the BPF programs", -error),
                "raise the limit on open files: ulimit -n 65536");
  }
  return fail(describe_errno("cannot load the BPF programs", -error),
              "leaktrace --verbose shows the kernel's words; see leaktrace doctor");
}

}  // namespace leaktrace::tracer
