// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/unwind/reference.h"

#include <dwarf.h>
#include <fcntl.h>
#include <ucontext.h>

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <span>

namespace leaktrace::unwind::reference {
namespace {

using Value = std::optional<uint64_t>;

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};

/// A stack machine for the operations that call frame information uses. Empty for any other.
class Evaluator {
 public:
  Evaluator(const State& state, Value cfa) : state_(state), cfa_(cfa) {}

  Value run(std::span<const Dwarf_Op> ops) {
    for (const Dwarf_Op& op : ops) {
      if (!step(op)) return std::nullopt;
    }
    return stack_.empty() ? std::nullopt : Value(stack_.back());
  }

 private:
  bool push(Value value) {
    if (value) stack_.push_back(*value);
    return value.has_value();
  }
  std::optional<uint64_t> pop() {
    if (stack_.empty()) return std::nullopt;
    const uint64_t top = stack_.back();
    stack_.pop_back();
    return top;
  }
  bool push_register(int number, uint64_t offset) {
    const auto value = state_.reg(number);
    return value && push(*value + offset);
  }
  bool step(const Dwarf_Op& op) {
    if (op.atom >= DW_OP_lit0 && op.atom <= DW_OP_lit31) return push(op.atom - DW_OP_lit0);
    if (op.atom >= DW_OP_breg0 && op.atom <= DW_OP_breg31) {
      return push_register(op.atom - DW_OP_breg0, op.number);
    }
    if (op.atom == DW_OP_bregx) return push_register(static_cast<int>(op.number), op.number2);
    if (op.atom == DW_OP_call_frame_cfa) return push(cfa_);
    const auto top = pop();
    if (!top) return false;
    if (op.atom == DW_OP_plus_uconst) return push(*top + op.number);
    if (op.atom == DW_OP_deref) return push(State::word(*top));
    const auto below = pop();
    return below && binary(op.atom, *below, *top);
  }
  bool binary(int atom, uint64_t below, uint64_t top) {
    switch (atom) {
      case DW_OP_plus:
        return push(below + top);
      case DW_OP_and:
        return push(below & top);
      case DW_OP_shl:
        return push(below << top);
      case DW_OP_ge:
        return push(static_cast<int64_t>(below) >= static_cast<int64_t>(top) ? 1 : 0);
      default:
        return false;
    }
  }

  const State& state_;
  Value cfa_;
  std::vector<uint64_t> stack_;
};

struct Register {
  bool undefined = false;
  bool same = false;
  Value value;
};

Register caller_register(Dwarf_Frame* frame, int number, const State& state, Value cfa) {
  Dwarf_Op memory[3];
  Dwarf_Op* ops = nullptr;
  size_t count = 0;
  if (dwarf_frame_register(frame, number, memory, &ops, &count) != 0) return {};
  if (count == 0 && ops == nullptr) return {false, true, state.reg(number)};
  if (count == 0) return {true, false, std::nullopt};
  if (ops[0].atom == DW_OP_regx) return {false, false, state.reg(static_cast<int>(ops[0].number))};
  const bool is_value = ops[count - 1].atom == DW_OP_stack_value;
  const auto result = Evaluator(state, cfa).run({ops, is_value ? count - 1 : count});
  if (!result) return {};
  return {false, false, is_value ? *result : State::word(*result)};
}

/// The words that a row or rule names, relative to the registers.
Caller evaluate_rule(const lt_unwind_rule& rule, const State& state) {
  Caller caller;
  caller.described = true;
  caller.signal = (rule.flags & LT_UNWIND_SIGNAL) != 0;
  const auto offset = static_cast<uint64_t>(static_cast<int64_t>(rule.cfa_offset));
  const auto addend = static_cast<uint64_t>(static_cast<int64_t>(rule.cfa_addend));
  if (rule.cfa == LT_UNWIND_CFA_SP) caller.cfa = state.sp + offset;
  if (rule.cfa == LT_UNWIND_CFA_FP) caller.cfa = state.fp + offset;
  if (rule.cfa == LT_UNWIND_CFA_AT_SP) caller.cfa = State::word(state.sp + offset) + addend;
  if (rule.cfa == LT_UNWIND_CFA_AT_FP) caller.cfa = State::word(state.fp + offset) + addend;
  if (rule.cfa == LT_UNWIND_CFA_REGISTER)
    caller.cfa = State::word(State::signal_sp + addend) + offset;
  if (rule.cfa == LT_UNWIND_CFA_PLT) {
    caller.cfa = state.sp + offset + ((state.pc & 15) >= addend ? 8 : 0);
  }
  if (!caller.cfa) return caller;

  const auto fp_offset = static_cast<uint64_t>(static_cast<int64_t>(rule.fp_offset));
  const auto ra_offset = static_cast<uint64_t>(static_cast<int64_t>(rule.ra_offset));
  if (rule.fp == LT_UNWIND_FP_SAME) caller.fp = state.fp;
  if (rule.fp == LT_UNWIND_FP_SLOT) caller.fp = State::word(*caller.cfa + fp_offset);
  if (rule.fp == LT_UNWIND_FP_AT_SP) caller.fp = State::word(state.sp + fp_offset);
  if (rule.fp == LT_UNWIND_FP_AT_FP) caller.fp = State::word(state.fp + fp_offset);
  if (rule.ra == LT_UNWIND_RA_AT_CFA) caller.ra = State::word(*caller.cfa + ra_offset);
  if (rule.ra == LT_UNWIND_RA_AT_SP) caller.ra = State::word(state.sp + ra_offset);
  if (rule.ra == LT_UNWIND_RA_AT_FP) caller.ra = State::word(state.fp + ra_offset);
  caller.link = rule.ra == LT_UNWIND_RA_LINK;
  const uint64_t saved_from = caller.signal ? state.sp : *caller.cfa;
  if ((rule.flags & LT_UNWIND_EXTRA_SAME) != 0) caller.extra = state.reg(state.extra_number);
  if ((rule.flags & LT_UNWIND_EXTRA_SAVED) != 0) {
    caller.extra = State::word(saved_from + static_cast<uint64_t>(int64_t{rule.extra_offset}));
  }
  return caller;
}

lt_unwind_rule widen(uint64_t row) {
  const auto slot = static_cast<int32_t>(LT_UNWIND_ROW_SLOT_OFFSET(row));
  lt_unwind_rule rule{};
  rule.cfa = static_cast<__u8>(LT_UNWIND_ROW_CFA(row));
  rule.cfa_offset = static_cast<int32_t>(LT_UNWIND_ROW_CFA_OFFSET(row));
  rule.fp = static_cast<__u8>(LT_UNWIND_ROW_FP(row));
  rule.fp_offset = slot;
  const __u32 ra = LT_UNWIND_ROW_RA(row);
  rule.ra = ra == LT_UNWIND_RA_LINK ? LT_UNWIND_RA_LINK : LT_UNWIND_RA_AT_CFA;
  rule.ra_offset = ra == LT_UNWIND_RA_BELOW_CFA  ? -8
                   : ra == LT_UNWIND_RA_AFTER_FP ? slot + 8
                                                 : slot;
  return rule;
}

}  // namespace

std::optional<uint64_t> State::reg(int number) const {
  if (number == sp_number) return sp;
  if (number == fp_number) return fp;
  if (sp_number == 7) {
    if (number == 16) return pc;  // x86's return column, as .plt uses it
    static const std::map<int, int> gregs = {
        {0, REG_RAX},  {1, REG_RDX},  {2, REG_RCX},  {3, REG_RBX},  {4, REG_RSI},
        {5, REG_RDI},  {8, REG_R8},   {9, REG_R9},   {10, REG_R10}, {11, REG_R11},
        {12, REG_R12}, {13, REG_R13}, {14, REG_R14}, {15, REG_R15}};
    const auto found = gregs.find(number);
    if (found == gregs.end()) return std::nullopt;
    return word(signal_sp + offsetof(ucontext_t, uc_mcontext.gregs) +
                static_cast<uint64_t>(found->second) * sizeof(greg_t));
  }
  return std::nullopt;
}

uint64_t State::word(uint64_t address) {
  uint64_t mixed = (address ^ (address >> 29)) * 0xbf58476d1ce4e5b9ULL;
  mixed = (mixed ^ (mixed >> 32)) * 0x94d049bb133111ebULL;
  return mixed ^ (mixed >> 31);
}

File::File(const std::string& path) : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
  elf_version(EV_CURRENT);
  elf_ = elf_begin(fd_.get(), ELF_C_READ_MMAP, nullptr);
  cfi_ = elf_ != nullptr ? dwarf_getcfi_elf(elf_) : nullptr;
}

File::~File() {
  dwarf_cfi_end(cfi_);
  elf_end(elf_);
}

Caller File::caller(const State& state) const {
  Dwarf_Frame* raw = nullptr;
  if (cfi_ == nullptr || dwarf_cfi_addrframe(cfi_, state.pc, &raw) != 0) return {};
  const std::unique_ptr<Dwarf_Frame, Free> frame(raw);
  Caller caller;
  caller.described = true;
  const int column = dwarf_frame_info(raw, nullptr, nullptr, &caller.signal);
  Dwarf_Op* ops = nullptr;
  size_t count = 0;
  if (dwarf_frame_cfa(raw, &ops, &count) == 0) {
    caller.cfa = Evaluator(state, std::nullopt).run({ops, count});
  }
  const Register ra = caller_register(raw, column, state, caller.cfa);
  caller.outermost = ra.undefined;
  caller.link = ra.same;
  caller.ra = ra.value;
  caller.fp = caller_register(raw, state.fp_number, state, caller.cfa).value;
  // What a frame does not mention is unchanged; libdw says "undefined" of rbx then.
  const Register extra = caller_register(raw, state.extra_number, state, caller.cfa);
  caller.extra = extra.undefined ? state.reg(state.extra_number) : extra.value;
  return caller;
}

Caller caller(const Table& table, const State& state) {
  const auto row = table.find(state.pc);
  if (!row || LT_UNWIND_ROW_CFA(*row) == LT_UNWIND_CFA_NONE) return {};
  Caller result;
  result.described = true;
  if (LT_UNWIND_ROW_CFA(*row) == LT_UNWIND_CFA_END) {
    result.outermost = true;
    return result;
  }
  if (LT_UNWIND_ROW_CFA(*row) == LT_UNWIND_CFA_UNSUPPORTED) return result;
  if (LT_UNWIND_ROW_CFA(*row) != LT_UNWIND_CFA_RULE) return evaluate_rule(widen(*row), state);
  return evaluate_rule(table.rules.at(LT_UNWIND_ROW_RULE(*row)), state);
}

}  // namespace leaktrace::unwind::reference
