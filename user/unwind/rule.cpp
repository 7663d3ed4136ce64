// SPDX-License-Identifier: Apache-2.0
#include "user/unwind/rule.h"

#include <dwarf.h>
#include <elf.h>

#include <limits>
#include <span>

namespace leaktrace::unwind {
namespace {

using Ops = std::span<const Dwarf_Op>;

/// arm64's signal frame: a siginfo of 128 bytes, then a ucontext whose mcontext is at 176
/// (arch/arm64/kernel/signal.c, include/uapi/asm/sigcontext.h).
constexpr int32_t interrupted_registers = 128 + 176 + 8;

/// In files where the extra register is followed; the tracer has room for 16384 rules in all.
constexpr size_t most_followed_rules = 2048;

constexpr uint8_t extra_flags = LT_UNWIND_EXTRA_SAME | LT_UNWIND_EXTRA_SAVED;

struct RegisterOffset {
  int reg = 0;
  int64_t offset = 0;
};

std::optional<RegisterOffset> register_offset(const Dwarf_Op& op) {
  if (op.atom >= DW_OP_breg0 && op.atom <= DW_OP_breg31) {
    return RegisterOffset{op.atom - DW_OP_breg0, static_cast<int64_t>(op.number)};
  }
  if (op.atom == DW_OP_bregx) {
    return RegisterOffset{static_cast<int>(op.number), static_cast<int64_t>(op.number2)};
  }
  return std::nullopt;
}

bool is(const Dwarf_Op& op, int atom) {
  return op.atom == atom;
}

bool fits(int64_t value) {
  return value >= std::numeric_limits<int32_t>::min() &&
         value <= std::numeric_limits<int32_t>::max();
}

lt_unwind_rule unsupported() {
  lt_unwind_rule rule{};
  rule.cfa = LT_UNWIND_CFA_UNSUPPORTED;
  return rule;
}

/// The rule of lazy-binding stubs, as linkers write it: the second push of a 16-byte stub has
/// happened once pc is far enough into it. sp + N + ((pc & 15) >= M) << 3
bool decode_plt(Ops ops, const Machine& machine, lt_unwind_rule& rule) {
  if (ops.size() != 9) return false;
  const auto base = register_offset(ops[0]);
  const auto pc = register_offset(ops[1]);
  const bool matches = base && base->reg == machine.stack_pointer && fits(base->offset) && pc &&
                       pc->offset == 0 && is(ops[2], DW_OP_lit15) && is(ops[3], DW_OP_and) &&
                       ops[4].atom >= DW_OP_lit0 && ops[4].atom <= DW_OP_lit15 &&
                       is(ops[5], DW_OP_ge) && is(ops[6], DW_OP_lit3) && is(ops[7], DW_OP_shl) &&
                       is(ops[8], DW_OP_plus);
  if (!matches) return false;
  rule.cfa = LT_UNWIND_CFA_PLT;
  rule.cfa_offset = static_cast<int32_t>(base->offset);
  rule.cfa_addend = ops[4].atom - DW_OP_lit0;
  return true;
}

/// Where the kernel puts a register of interrupted code, from the stack pointer of the frame that
/// the handler returns to.
std::optional<int32_t> interrupted_register(int reg, const Machine& machine) {
  if (!machine.call_pushes_return) {
    if (reg < 0 || reg > 30) return std::nullopt;
    return interrupted_registers + reg * 8;
  }
  // gregs in struct ucontext are r8…r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip
  // (arch/x86/include/uapi/asm/sigcontext.h); by DWARF number:
  constexpr int32_t gregs = 40;
  constexpr int32_t index[] = {13, 12, 14, 11, 9, 8, 10, 15, 0, 1, 2, 3, 4, 5, 6, 7};
  if (reg < 0 || reg >= static_cast<int>(std::size(index))) return std::nullopt;
  return gregs + index[reg] * 8;
}

/// Interrupted prologues and hand-written assembly keep the CFA in whatever register is free.
bool decode_register_cfa(const RegisterOffset& base, const Machine& machine, lt_unwind_rule& rule) {
  const auto place = interrupted_register(base.reg, machine);
  if (!place) return false;
  rule.cfa = LT_UNWIND_CFA_REGISTER;
  rule.cfa_addend = *place;
  if (base.reg == machine.extra) rule.flags |= LT_UNWIND_CFA_IS_EXTRA;
  return true;
}

bool decode_cfa(Ops ops, const Machine& machine, lt_unwind_rule& rule) {
  if (ops.empty()) return false;
  if (decode_plt(ops, machine, rule)) return true;
  const auto base = register_offset(ops[0]);
  if (!base || !fits(base->offset)) return false;
  rule.cfa_offset = static_cast<int32_t>(base->offset);
  const bool on_stack_pointer = base->reg == machine.stack_pointer;
  if (!on_stack_pointer && base->reg != machine.frame_pointer) {
    return ops.size() == 1 && decode_register_cfa(*base, machine, rule);
  }
  if (ops.size() == 1) {
    rule.cfa = on_stack_pointer ? LT_UNWIND_CFA_SP : LT_UNWIND_CFA_FP;
    return true;
  }
  // GCC's realigned frames and hand-written assembly keep the CFA itself on the stack.
  rule.cfa = on_stack_pointer ? LT_UNWIND_CFA_AT_SP : LT_UNWIND_CFA_AT_FP;
  if (!is(ops[1], DW_OP_deref)) return false;
  if (ops.size() == 2) return true;
  if (ops.size() != 3 || !is(ops[2], DW_OP_plus_uconst)) return false;
  const auto addend = static_cast<int64_t>(ops[2].number);
  rule.cfa_addend = static_cast<int32_t>(addend);
  return fits(addend);
}

/// Where a register is saved, or that it is not.
struct Saved {
  enum Kind { same, undefined, at_cfa, at_sp, at_fp, other } kind = other;
  int32_t offset = 0;
};

Saved saved_at(Saved::Kind kind, int64_t offset) {
  if (!fits(offset)) return {};
  return {kind, static_cast<int32_t>(offset)};
}

Saved decode_register(Dwarf_Frame* frame, int reg, const Machine& machine) {
  Dwarf_Op memory[3];
  Dwarf_Op* ops = nullptr;
  size_t count = 0;
  if (dwarf_frame_register(frame, reg, memory, &ops, &count) != 0) return {};
  if (count == 0) return {ops == nullptr ? Saved::same : Saved::undefined, 0};
  if (is(ops[0], DW_OP_regx) && count == 1 && ops[0].number == static_cast<Dwarf_Word>(reg)) {
    return {Saved::same, 0};
  }
  // libdw puts the CFA first, also before an expression that does not use it.
  if (!is(ops[0], DW_OP_call_frame_cfa) || count > 2) return {};
  if (count == 1) return saved_at(Saved::at_cfa, 0);
  if (is(ops[1], DW_OP_plus_uconst)) {
    return saved_at(Saved::at_cfa, static_cast<int64_t>(ops[1].number));
  }
  const auto base = register_offset(ops[1]);
  if (base && base->reg == machine.stack_pointer) return saved_at(Saved::at_sp, base->offset);
  if (base && base->reg == machine.frame_pointer) return saved_at(Saved::at_fp, base->offset);
  return {};
}

void set_frame_pointer(const Saved& saved, lt_unwind_rule& rule) {
  rule.fp_offset = saved.offset;
  switch (saved.kind) {
    case Saved::same:
      rule.fp = LT_UNWIND_FP_SAME;
      return;
    case Saved::at_cfa:
      rule.fp = LT_UNWIND_FP_SLOT;
      return;
    case Saved::at_sp:
      rule.fp = LT_UNWIND_FP_AT_SP;
      return;
    case Saved::at_fp:
      rule.fp = LT_UNWIND_FP_AT_FP;
      return;
    case Saved::undefined:
    case Saved::other:
      rule.fp = LT_UNWIND_FP_LOST;
      return;
  }
}

/// False when the return address is where the tracer cannot read it.
bool set_return_address(const Saved& saved, const Machine& machine, lt_unwind_rule& rule) {
  rule.ra_offset = saved.offset;
  switch (saved.kind) {
    case Saved::undefined:
      rule = {};
      rule.cfa = LT_UNWIND_CFA_END;
      return true;
    case Saved::same:
      rule.ra = LT_UNWIND_RA_LINK;
      return !machine.call_pushes_return;
    case Saved::at_cfa:
      rule.ra = LT_UNWIND_RA_AT_CFA;
      return true;
    case Saved::at_sp:
      rule.ra = LT_UNWIND_RA_AT_SP;
      return true;
    case Saved::at_fp:
      rule.ra = LT_UNWIND_RA_AT_FP;
      return true;
    case Saved::other:
      return false;
  }
  return false;
}

/// What becomes of the extra register. (On arm64 it is the return address, which has rules
/// already.)
void set_extra(const Saved& saved, const Machine& machine, lt_unwind_rule& rule) {
  if (!machine.call_pushes_return) return;
  const bool is_signal = (rule.flags & LT_UNWIND_SIGNAL) != 0;
  // elfutils takes rax for the callee-saved register that rbx is (backends/x86_64_cfi.c, in 0.188
  // at least), so a frame that does not touch rbx looks as if it had lost it.
  const bool untouched = saved.kind == Saved::same || saved.kind == Saved::undefined;
  if (untouched && !is_signal) rule.flags |= LT_UNWIND_EXTRA_SAME;
  if (saved.kind != (is_signal ? Saved::at_sp : Saved::at_cfa)) return;
  rule.flags |= LT_UNWIND_EXTRA_SAVED;
  rule.extra_offset = saved.offset;
}

/// arm64's signal return has only a hint for CFI: the registers lie in the rt_sigframe that the
/// stack pointer points at.
lt_unwind_rule arm64_signal_rule() {
  lt_unwind_rule rule{};
  rule.cfa = LT_UNWIND_CFA_AT_SP;
  rule.cfa_offset = interrupted_registers + 31 * 8;
  rule.fp = LT_UNWIND_FP_AT_SP;
  rule.fp_offset = interrupted_registers + 29 * 8;
  rule.ra = LT_UNWIND_RA_AT_SP;
  rule.ra_offset = interrupted_registers + 32 * 8;
  rule.extra_offset = interrupted_registers + 30 * 8;
  rule.flags = LT_UNWIND_SIGNAL | LT_UNWIND_EXTRA_SAVED;
  return rule;
}

bool slot_fits(int64_t offset) {
  return offset % 8 == 0 && offset / 8 >= std::numeric_limits<int16_t>::min() &&
         offset / 8 <= std::numeric_limits<int16_t>::max();
}

/// The kind of return address and the slot that a row would need; empty when it needs a rule.
struct RowReturn {
  lt_unwind_ra kind;
  int64_t slot;
};
std::optional<RowReturn> row_return(const lt_unwind_rule& rule) {
  const bool saves_fp = rule.fp == LT_UNWIND_FP_SLOT;
  const int64_t slot = saves_fp ? rule.fp_offset : 0;
  if (rule.ra == LT_UNWIND_RA_LINK) return RowReturn{LT_UNWIND_RA_LINK, slot};
  if (rule.ra != LT_UNWIND_RA_AT_CFA) return std::nullopt;
  if (rule.ra_offset == -8) return RowReturn{LT_UNWIND_RA_BELOW_CFA, slot};
  if (saves_fp && rule.ra_offset == slot + 8) return RowReturn{LT_UNWIND_RA_AFTER_FP, slot};
  if (!saves_fp) return RowReturn{LT_UNWIND_RA_SLOT, rule.ra_offset};
  return std::nullopt;
}

}  // namespace

std::optional<Machine> machine_of(uint16_t elf_machine) {
  switch (elf_machine) {
    case EM_X86_64:
      return Machine{7, 6, 3, true};
    case EM_AARCH64:
      return Machine{31, 29, 30, false};
    default:
      return std::nullopt;
  }
}

lt_unwind_rule decode_rule(Dwarf_Frame* frame, const Machine& machine) {
  bool is_signal = false;
  const int return_register = dwarf_frame_info(frame, nullptr, nullptr, &is_signal);
  if (return_register < 0) return unsupported();
  if (is_signal && !machine.call_pushes_return) return arm64_signal_rule();

  lt_unwind_rule rule{};
  Dwarf_Op* ops = nullptr;
  size_t count = 0;
  const Saved return_address = decode_register(frame, return_register, machine);
  if (return_address.kind != Saved::undefined &&
      (dwarf_frame_cfa(frame, &ops, &count) != 0 || !decode_cfa({ops, count}, machine, rule))) {
    return unsupported();
  }
  set_frame_pointer(decode_register(frame, machine.frame_pointer, machine), rule);
  if (is_signal) rule.flags |= LT_UNWIND_SIGNAL;
  set_extra(decode_register(frame, machine.extra, machine), machine, rule);
  return set_return_address(return_address, machine, rule) ? rule : unsupported();
}

/// Leaves out where the extra register is when nothing in the file asks for it, so that equal
/// frames stay equal.
lt_unwind_rule RulePacker::without_extra(lt_unwind_rule rule) const {
  const bool follow = follow_extra_ && rules_.size() < most_followed_rules;
  if (follow || (rule.flags & (LT_UNWIND_SIGNAL | LT_UNWIND_CFA_IS_EXTRA)) != 0) return rule;
  rule.flags &= static_cast<uint8_t>(~extra_flags);
  rule.extra_offset = 0;
  return rule;
}

uint64_t RulePacker::pack(const lt_unwind_rule& decoded) {
  if (decoded.cfa == LT_UNWIND_CFA_END) return bare_row(LT_UNWIND_CFA_END);
  if (decoded.cfa == LT_UNWIND_CFA_UNSUPPORTED) return bare_row(LT_UNWIND_CFA_UNSUPPORTED);
  if ((decoded.flags & LT_UNWIND_CFA_IS_EXTRA) != 0) needs_extra_ = true;
  const lt_unwind_rule rule = without_extra(decoded);

  const auto ra = row_return(rule);
  const bool simple = (rule.cfa == LT_UNWIND_CFA_SP || rule.cfa == LT_UNWIND_CFA_FP) &&
                      rule.fp <= LT_UNWIND_FP_LOST && rule.flags == 0 && ra &&
                      slot_fits(rule.cfa_offset) && slot_fits(ra->slot);
  if (simple) {
    return static_cast<uint64_t>(static_cast<uint16_t>(rule.cfa_offset / 8)) << 32 |
           static_cast<uint64_t>(static_cast<uint16_t>(ra->slot / 8)) << 16 |
           static_cast<uint64_t>(rule.cfa) << 12 | static_cast<uint64_t>(rule.fp) << 8 |
           static_cast<uint64_t>(ra->kind) << 4;
  }
  const Key key{static_cast<uint32_t>(rule.cfa | rule.fp << 8 | rule.ra << 16 | rule.flags << 24),
                rule.cfa_offset,
                rule.cfa_addend,
                rule.fp_offset,
                rule.ra_offset,
                rule.extra_offset};
  const auto [known, is_new] = index_.try_emplace(key, static_cast<uint32_t>(rules_.size()));
  if (is_new) rules_.push_back(rule);
  return static_cast<uint64_t>(known->second) << 16 | bare_row(LT_UNWIND_CFA_RULE);
}

}  // namespace leaktrace::unwind
