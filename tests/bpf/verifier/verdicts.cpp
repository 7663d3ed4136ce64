// SPDX-License-Identifier: Apache-2.0
#include "tests/bpf/verifier/verdicts.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <charconv>
#include <span>
#include <string_view>

namespace leaktrace::test {
namespace {

constexpr std::size_t kLogBytes = 1U << 20;
constexpr unsigned kLogStatistics = 4;  // BPF_LOG_STATS, kernel/bpf/verifier.c

// Each frame is rounded up: to 16 bytes where programs are compiled to machine code, to 32
// elsewhere and by older kernels, 6.1 among them (check_max_stack_depth). The larger one holds
// everywhere.
constexpr unsigned kFrameUnit = 32;

using Instructions = std::span<const bpf_insn>;

/// The numbers after `label`, "144+80+8" or "1024 insns".
std::vector<std::uint64_t> numbers_after(std::string_view log, std::string_view label) {
  std::vector<std::uint64_t> numbers;
  const auto at = log.find(label);
  if (at == std::string_view::npos) return numbers;
  const char* from = log.data() + at + label.size();
  const char* last = log.data() + log.size();
  while (true) {
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(from, last, number);
    if (error != std::errc{}) return numbers;
    numbers.push_back(number);
    if (end == last || *end != '+') return numbers;
    from = end + 1;
  }
}

/// A program as the kernel has it: without what the verifier found to be never executed.
struct LoadedProgram {
  std::vector<bpf_insn> code;
  std::vector<std::size_t> starts;  ///< of its functions, in the verifier's order
  std::vector<std::string> names;
};

/// Where a call to another function of the program leads, or -1. The kernel keeps it in `off`
/// (kernel/bpf/verifier.c, jit_subprogs).
std::ptrdiff_t callee(Instructions code, std::size_t at) {
  const bool is_call = code[at].code == (BPF_JMP | BPF_CALL) && code[at].src_reg == BPF_PSEUDO_CALL;
  return is_call ? static_cast<std::ptrdiff_t>(at) + 1 + code[at].off : -1;
}

LoadedProgram loaded(const bpf_program* program) {
  const int fd = bpf_program__fd(program);
  bpf_prog_info sizes{};
  __u32 size = sizeof(sizes);
  EXPECT_EQ(bpf_prog_get_info_by_fd(fd, &sizes, &size), 0);

  LoadedProgram it;
  it.code.resize(sizes.xlated_prog_len / sizeof(bpf_insn));
  std::vector<bpf_func_info> functions(sizes.nr_func_info);
  bpf_prog_info info{};
  info.xlated_prog_len = sizes.xlated_prog_len;
  info.xlated_prog_insns = reinterpret_cast<std::uintptr_t>(it.code.data());
  info.nr_func_info = sizes.nr_func_info;
  info.func_info_rec_size = sizeof(bpf_func_info);
  info.func_info = reinterpret_cast<std::uintptr_t>(functions.data());
  size = sizeof(info);
  EXPECT_EQ(bpf_prog_get_info_by_fd(fd, &info, &size), 0);

  btf* types = btf__load_from_kernel_by_id(info.btf_id);
  EXPECT_NE(types, nullptr);
  for (const auto& function : functions) {
    const auto* type = btf__type_by_id(types, function.type_id);
    it.starts.push_back(function.insn_off);
    it.names.emplace_back(type != nullptr ? btf__name_by_offset(types, type->name_off) : "?");
  }
  btf__free(types);
  return it;
}

/// Of the calls that begin with a function, the chain that takes most stack. The kernel allows no
/// recursion.
class DeepestChain {
 public:
  DeepestChain(const LoadedProgram& program, std::vector<StackFrame> frames)
      : program_(program), frames_(std::move(frames)) {}

  [[nodiscard]] std::vector<StackFrame> from(std::size_t function) const {
    const auto& starts = program_.starts;
    std::vector<StackFrame> deepest;
    const auto end = function + 1 < starts.size() ? starts[function + 1] : program_.code.size();
    for (auto at = starts[function]; at < end; ++at) {
      const auto to = callee(program_.code, at);
      if (to < 0) continue;
      const auto place = std::ranges::lower_bound(starts, static_cast<std::size_t>(to));
      auto chain = from(static_cast<std::size_t>(place - starts.begin()));
      if (bytes(chain) > bytes(deepest)) deepest = std::move(chain);
    }
    deepest.insert(deepest.begin(), frames_[function]);
    return deepest;
  }

  static unsigned bytes(const std::vector<StackFrame>& chain) {
    unsigned sum = 0;
    for (const auto& frame : chain) sum += frame.bytes;
    return sum;
  }

 private:
  const LoadedProgram& program_;
  std::vector<StackFrame> frames_;
};

Verdict verdict_on(const bpf_program* program) {
  std::size_t size = 0;
  const std::string_view log = bpf_program__log_buf(program, &size);
  const auto depths = numbers_after(log, "stack depth ");
  const auto processed = numbers_after(log, "processed ");
  const auto it = loaded(program);
  Verdict verdict{bpf_program__name(program), processed.empty() ? 0 : processed.front(), {}};
  EXPECT_EQ(depths.size(), it.starts.size()) << verdict.program << ": " << log;
  if (depths.empty() || depths.size() != it.starts.size()) return verdict;
  std::vector<StackFrame> frames;
  for (std::size_t i = 0; i < depths.size(); ++i) {
    const auto depth = std::max<std::uint64_t>(depths[i], 1);
    const auto units = (depth + kFrameUnit - 1) / kFrameUnit;
    frames.push_back({it.names[i], static_cast<unsigned>(units * kFrameUnit)});
  }
  verdict.chain = DeepestChain(it, std::move(frames)).from(0);
  return verdict;
}

}  // namespace

unsigned Verdict::stack_bytes() const {
  return DeepestChain::bytes(chain);
}

std::string Verdict::chain_text() const {
  std::string text;
  for (const auto& frame : chain)
    text += (text.empty() ? "" : " + ") + frame.function + " " + std::to_string(frame.bytes);
  return text;
}

tracer::LoadWatch Verdicts::watch() {
  tracer::LoadWatch watch;
  watch.before = [this](bpf_object* object) {
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, object) {
      if (!bpf_program__autoload(program)) continue;
      logs_.push_back(std::make_unique<char[]>(kLogBytes));
      bpf_program__set_log_buf(program, logs_.back().get(), kLogBytes);
      bpf_program__set_log_level(program, kLogStatistics);
    }
  };
  watch.after = [this](bpf_object* object) {
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, object) {
      if (bpf_program__fd(program) >= 0) all_.push_back(verdict_on(program));
    }
  };
  return watch;
}

}  // namespace leaktrace::test
