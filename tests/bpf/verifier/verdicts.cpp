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

/// Where a call to another function of the program leads, or -1.
std::ptrdiff_t callee(Instructions code, std::size_t at) {
  const bool is_call = code[at].code == (BPF_JMP | BPF_CALL) && code[at].src_reg == BPF_PSEUDO_CALL;
  return is_call ? static_cast<std::ptrdiff_t>(at) + 1 + code[at].imm : -1;
}

/// Where the functions of a program begin, as the verifier numbers them: in order.
std::vector<std::size_t> function_starts(Instructions code) {
  std::vector<std::size_t> starts{0};
  for (std::size_t i = 0; i < code.size(); ++i)
    if (const auto to = callee(code, i); to >= 0) starts.push_back(static_cast<std::size_t>(to));
  std::ranges::sort(starts);
  starts.erase(std::ranges::unique(starts).begin(), starts.end());
  return starts;
}

std::vector<std::string> function_names(const bpf_program* program, std::size_t count) {
  std::vector<std::string> names(count, "?");
  std::vector<bpf_func_info> functions(count);
  bpf_prog_info info{};
  info.nr_func_info = static_cast<__u32>(count);
  info.func_info_rec_size = sizeof(bpf_func_info);
  info.func_info = reinterpret_cast<std::uintptr_t>(functions.data());
  __u32 size = sizeof(info);
  if (bpf_prog_get_info_by_fd(bpf_program__fd(program), &info, &size) != 0) return names;
  btf* types = btf__load_from_kernel_by_id(info.btf_id);
  if (types == nullptr) return names;
  for (std::size_t i = 0; i < std::min<std::size_t>(count, info.nr_func_info); ++i)
    if (const auto* type = btf__type_by_id(types, functions[i].type_id))
      names[i] = btf__name_by_offset(types, type->name_off);
  btf__free(types);
  return names;
}

/// Of the calls that begin with a function, the chain that takes most stack. The kernel allows no
/// recursion.
class DeepestChain {
 public:
  DeepestChain(Instructions code, std::vector<std::size_t> starts, std::vector<StackFrame> frames)
      : code_(code), starts_(std::move(starts)), frames_(std::move(frames)) {}

  std::vector<StackFrame> from(std::size_t function) const {
    std::vector<StackFrame> deepest;
    const auto end = function + 1 < starts_.size() ? starts_[function + 1] : code_.size();
    for (auto at = starts_[function]; at < end; ++at) {
      const auto to = callee(code_, at);
      if (to < 0) continue;
      const auto place = std::ranges::lower_bound(starts_, static_cast<std::size_t>(to));
      auto chain = from(static_cast<std::size_t>(place - starts_.begin()));
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
  Instructions code_;
  std::vector<std::size_t> starts_;
  std::vector<StackFrame> frames_;
};

Verdict verdict_on(const bpf_program* program) {
  std::size_t size = 0;
  const std::string_view log = bpf_program__log_buf(program, &size);
  const Instructions code(bpf_program__insns(program), bpf_program__insn_cnt(program));
  const auto starts = function_starts(code);
  const auto depths = numbers_after(log, "stack depth ");
  const auto processed = numbers_after(log, "processed ");
  Verdict verdict{bpf_program__name(program), processed.empty() ? 0 : processed.front(), {}};
  EXPECT_EQ(depths.size(), starts.size())
      << verdict.program << " in another form than known: " << log;
  if (depths.size() != starts.size()) return verdict;
  const auto names = function_names(program, starts.size());
  std::vector<StackFrame> frames;
  for (std::size_t i = 0; i < starts.size(); ++i) {
    const auto depth = std::max<std::uint64_t>(depths[i], 1);
    frames.push_back(
        {names[i], static_cast<unsigned>((depth + kFrameUnit - 1) / kFrameUnit * kFrameUnit)});
  }
  verdict.chain = DeepestChain(code, starts, std::move(frames)).from(0);
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
