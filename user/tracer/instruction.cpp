// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/instruction.h"

#include <capstone/capstone.h>
#include <elf.h>
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

namespace leaktrace::tracer {
namespace {

using Bytes = std::span<const std::uint8_t>;

bool between(std::uint8_t byte, std::uint8_t first, std::uint8_t last) {
  return byte >= first && byte <= last;
}

// ModRM of two registers.
bool registers_only(std::uint8_t modrm) {
  return (modrm & 0xc0) == 0xc0;
}

InstructionClass classify_two_byte_opcode(Bytes bytes) {
  constexpr std::array<std::uint8_t, 5> kFive = {0x0f, 0x1f, 0x44, 0x00, 0x00};
  if (bytes.size() == 6 && between(bytes[1], 0x80, 0x8f)) return InstructionClass::branch_near;
  if (bytes[1] != 0x1f) return InstructionClass::other;
  return std::ranges::equal(bytes, kFive) ? InstructionClass::nop_five : InstructionClass::nop_long;
}

// With REX.W: operands of 64 bits.
InstructionClass classify_wide(Bytes bytes) {
  const std::uint8_t opcode = bytes[1];
  const std::uint8_t modrm = bytes.size() > 2 ? bytes[2] : 0;
  if (bytes.size() == 3 && registers_only(modrm)) {
    if (opcode == 0x89 || opcode == 0x8b) return InstructionClass::move_register;
    if (opcode == 0x85) return InstructionClass::test_register;
  }
  if (bytes[0] == 0x48 && modrm == 0xec) {
    if (opcode == 0x83 && bytes.size() == 4) return InstructionClass::stack_short;
    if (opcode == 0x81 && bytes.size() == 7) return InstructionClass::stack_long;
  }
  const bool relative = (modrm & 0xc7) == 0x05;
  if (opcode == 0x8d && !relative) return InstructionClass::load_address;
  return InstructionClass::other;
}

InstructionClass classify_x86(Bytes bytes) {
  constexpr std::array<std::uint8_t, 4> kEndbr = {0xf3, 0x0f, 0x1e, 0xfa};
  const std::uint8_t first = bytes[0];
  switch (bytes.size()) {
    case 1:
      if (between(first, 0x50, 0x57)) return InstructionClass::push;
      if (first == 0x90) return InstructionClass::nop;
      return first == 0xc3 ? InstructionClass::ret : InstructionClass::other;
    case 2:
      if (first == 0x41 && between(bytes[1], 0x50, 0x57)) return InstructionClass::push_extended;
      if (first == 0xeb) return InstructionClass::jump_short;
      if (between(first, 0x70, 0x7f)) return InstructionClass::branch_short;
      if (!registers_only(bytes[1])) return InstructionClass::other;
      if (first == 0x89 || first == 0x8b) return InstructionClass::move_register_32;
      if (first == 0x85) return InstructionClass::test_register_32;
      return first == 0x31 || first == 0x33 ? InstructionClass::xor_register_32
                                            : InstructionClass::other;
    default:
      if (first == 0x0f) return classify_two_byte_opcode(bytes);
      if (between(first, 0x48, 0x4f)) return classify_wide(bytes);
      if (std::ranges::equal(bytes, kEndbr)) return InstructionClass::endbr;
      if (bytes.size() != 5) return InstructionClass::other;
      if (first == 0xe8) return InstructionClass::call;
      if (first == 0xe9) return InstructionClass::jump_near;
      return between(first, 0xb8, 0xbf) ? InstructionClass::move_immediate_32
                                        : InstructionClass::other;
  }
}

struct ArmPattern {
  std::uint32_t mask;
  std::uint32_t value;
  InstructionClass of_class;
};

// Encodings of the Arm Architecture Reference Manual (DDI 0487), chapter C4.
constexpr std::array kArmPatterns = {
    ArmPattern{0xfc000000, 0x14000000, InstructionClass::a64_branch},
    ArmPattern{0xfc000000, 0x94000000, InstructionClass::a64_call},
    ArmPattern{0xff000010, 0x54000000, InstructionClass::a64_branch_condition},
    ArmPattern{0x7e000000, 0x34000000, InstructionClass::a64_branch_zero},
    ArmPattern{0x7e000000, 0x36000000, InstructionClass::a64_branch_bit},
    ArmPattern{0xfffffc1f, 0xd65f0000, InstructionClass::a64_ret},
    ArmPattern{0x1f000000, 0x10000000, InstructionClass::a64_address},
    ArmPattern{0xffffffff, 0xd503201f, InstructionClass::a64_nop},
    ArmPattern{0xffffff3f, 0xd503241f, InstructionClass::a64_landing},
    ArmPattern{0xffffffff, 0xd503233f, InstructionClass::a64_sign},
    ArmPattern{0xffe07fff, 0xa9a07bfd, InstructionClass::a64_push_frame},
    ArmPattern{0xff8003ff, 0xd10003ff, InstructionClass::a64_stack},
};

InstructionClass classify_arm(Bytes bytes) {
  std::uint32_t word = 0;
  if (bytes.size() != sizeof(word)) return InstructionClass::other;
  std::memcpy(&word, bytes.data(), sizeof(word));
  const auto* found = std::ranges::find_if(
      kArmPatterns, [&](const ArmPattern& one) { return (word & one.mask) == one.value; });
  return found == kArmPatterns.end() ? InstructionClass::other : found->of_class;
}

using RegisterNames = std::span<const std::uint16_t>;

constexpr std::array<std::uint16_t, 4> kRdi = {X86_REG_RDI, X86_REG_EDI, X86_REG_DI, X86_REG_DIL};
constexpr std::array<std::uint16_t, 4> kRsi = {X86_REG_RSI, X86_REG_ESI, X86_REG_SI, X86_REG_SIL};
constexpr std::array<std::uint16_t, 5> kRdx = {X86_REG_RDX, X86_REG_EDX, X86_REG_DX, X86_REG_DL,
                                               X86_REG_DH};
constexpr std::array<std::uint16_t, 5> kRcx = {X86_REG_RCX, X86_REG_ECX, X86_REG_CX, X86_REG_CL,
                                               X86_REG_CH};
constexpr std::array<std::uint16_t, 4> kR8 = {X86_REG_R8, X86_REG_R8D, X86_REG_R8W, X86_REG_R8B};
constexpr std::array<std::uint16_t, 4> kR9 = {X86_REG_R9, X86_REG_R9D, X86_REG_R9W, X86_REG_R9B};
constexpr std::array<RegisterNames, 6> kX86Arguments = {kRdi, kRsi, kRdx, kRcx, kR8, kR9};

std::optional<unsigned> argument_of(Machine machine, unsigned reg) {
  if (machine == Machine::arm64) {
    if (reg >= ARM64_REG_X0 && reg <= ARM64_REG_X5) return reg - ARM64_REG_X0;
    if (reg >= ARM64_REG_W0 && reg <= ARM64_REG_W5) return reg - ARM64_REG_W0;
    return std::nullopt;
  }
  for (unsigned i = 0; i < kX86Arguments.size(); ++i) {
    if (std::ranges::find(kX86Arguments[i], reg) != kX86Arguments[i].end()) return i;
  }
  return std::nullopt;
}

bool is_stack_pointer(Machine machine, unsigned reg) {
  if (machine == Machine::arm64) return reg == ARM64_REG_SP || reg == ARM64_REG_WSP;
  return reg == X86_REG_RSP || reg == X86_REG_ESP || reg == X86_REG_SP || reg == X86_REG_SPL;
}

bool is_link(Machine machine, unsigned reg) {
  return machine == Machine::arm64 && (reg == ARM64_REG_X30 || reg == ARM64_REG_W30);
}

bool leaves_block(Machine machine, const cs_insn& insn) {
  const cs_detail& detail = *insn.detail;
  if (machine == Machine::x86_64 && insn.id == X86_INS_UD2) return true;
  return std::any_of(detail.groups, detail.groups + detail.groups_count, [](std::uint8_t group) {
    return group == CS_GRP_JUMP || group == CS_GRP_CALL || group == CS_GRP_RET ||
           group == CS_GRP_INT || group == CS_GRP_IRET || group == CS_GRP_PRIVILEGE ||
           group == CS_GRP_BRANCH_RELATIVE;
  });
}

bool in_group(const cs_insn& insn, std::uint8_t group) {
  const cs_detail& detail = *insn.detail;
  return std::find(detail.groups, detail.groups + detail.groups_count, group) !=
         detail.groups + detail.groups_count;
}

void set_flow_x86(const cs_insn& insn, Instruction& result) {
  if (insn.id == X86_INS_UD2 || insn.id == X86_INS_HLT) {
    result.flow = Flow::stop;
  } else if (in_group(insn, CS_GRP_RET) || in_group(insn, CS_GRP_IRET)) {
    result.flow = Flow::leave;
  } else if (in_group(insn, CS_GRP_JUMP)) {
    const cs_x86_op& to = insn.detail->x86.operands[0];
    const bool always = insn.id == X86_INS_JMP || insn.id == X86_INS_LJMP;
    if (to.type == X86_OP_IMM) {
      result.flow = always ? Flow::jump : Flow::branch;
      result.target = static_cast<std::uint64_t>(to.imm);
    } else {
      result.flow = Flow::indirect;
      if (to.type == X86_OP_MEM && to.mem.base == X86_REG_RIP) {
        result.pointer = insn.address + insn.size + static_cast<std::uint64_t>(to.mem.disp);
      }
    }
  }
}

void set_flow_arm(const cs_insn& insn, Instruction& result) {
  const cs_arm64& arm = insn.detail->arm64;
  if (insn.id == ARM64_INS_RET) {
    result.flow = Flow::leave;
  } else if (insn.id == ARM64_INS_BR) {
    result.flow = Flow::indirect;
  } else if (in_group(insn, CS_GRP_JUMP) && arm.op_count > 0 &&
             arm.operands[arm.op_count - 1].type == ARM64_OP_IMM) {
    const bool always =
        insn.id == ARM64_INS_B && (arm.cc == ARM64_CC_INVALID || arm.cc == ARM64_CC_AL);
    result.flow = always ? Flow::jump : Flow::branch;
    result.target = static_cast<std::uint64_t>(arm.operands[arm.op_count - 1].imm);
  }
}

/// Registers of one instruction.
struct Registers {
  cs_regs read{};
  cs_regs written{};
  std::uint8_t reads = 0;
  std::uint8_t writes = 0;
};

std::optional<std::uint32_t> small(std::int64_t bytes) {
  constexpr std::int64_t kMost = 1 << 20;
  if (bytes < 0 || bytes > kMost) return std::nullopt;
  return static_cast<std::uint32_t>(bytes);
}

std::optional<std::uint32_t> pushed_x86(const cs_insn& insn) {
  const cs_x86& x86 = insn.detail->x86;
  if (insn.id == X86_INS_PUSH && x86.op_count == 1 && x86.prefix[2] != X86_PREFIX_OPSIZE) return 8;
  const bool constant = x86.op_count == 2 && x86.operands[0].type == X86_OP_REG &&
                        x86.operands[0].reg == X86_REG_RSP && x86.operands[1].type == X86_OP_IMM;
  if (constant && insn.id == X86_INS_SUB) return small(x86.operands[1].imm);
  if (constant && insn.id == X86_INS_ADD) return small(-x86.operands[1].imm);
  return std::nullopt;
}

std::optional<std::uint32_t> pushed_arm(const cs_insn& insn) {
  const cs_arm64& arm = insn.detail->arm64;
  if (insn.id == ARM64_INS_SUB && arm.op_count == 3 && arm.operands[0].reg == ARM64_REG_SP &&
      arm.operands[1].reg == ARM64_REG_SP && arm.operands[2].type == ARM64_OP_IMM) {
    const auto& shift = arm.operands[2].shift;
    if (shift.type != ARM64_SFT_INVALID && shift.type != ARM64_SFT_LSL) return std::nullopt;
    return small(arm.operands[2].imm << (shift.type == ARM64_SFT_LSL ? shift.value : 0));
  }
  // str and stp that move the stack pointer first: the memory operand comes last then.
  if (arm.op_count < 2 || !arm.writeback) return std::nullopt;
  const cs_arm64_op& last = arm.operands[arm.op_count - 1];
  if (last.type != ARM64_OP_MEM || last.mem.base != ARM64_REG_SP) return std::nullopt;
  if (last.mem.index != ARM64_REG_INVALID) return std::nullopt;
  return small(-static_cast<std::int64_t>(last.mem.disp));
}

// An access that capstone does not know is taken for a write.
bool is_write(std::uint8_t access) {
  return access == CS_AC_INVALID || (access & CS_AC_WRITE) != 0;
}

void each_register_of_unknown_access(Machine machine, const cs_insn& insn, auto visit) {
  if (machine == Machine::arm64) {
    const cs_arm64& arm = insn.detail->arm64;
    for (unsigned i = 0; i < arm.op_count; ++i) {
      if (arm.operands[i].type == ARM64_OP_REG && arm.operands[i].access == CS_AC_INVALID) {
        visit(arm.operands[i].reg);
      }
    }
    return;
  }
  const cs_x86& x86 = insn.detail->x86;
  for (unsigned i = 0; i < x86.op_count; ++i) {
    if (x86.operands[i].type == X86_OP_REG && x86.operands[i].access == CS_AC_INVALID) {
      visit(x86.operands[i].reg);
    }
  }
}

// Other names of instructions whose result goes nowhere: capstone 4 takes their first operand for
// the one that is written.
bool only_compares(Machine machine, const cs_insn& insn) {
  return machine == Machine::arm64 &&
         (insn.id == ARM64_INS_CMP || insn.id == ARM64_INS_CMN || insn.id == ARM64_INS_TST);
}

bool stores(Machine machine, const cs_insn& insn) {
  if (machine == Machine::arm64) return true;  // asked for x86's five-byte nop only
  const cs_x86& x86 = insn.detail->x86;
  if (insn.id == X86_INS_NOP || insn.id == X86_INS_LEA) return false;
  return std::any_of(x86.operands, x86.operands + x86.op_count, [](const cs_x86_op& one) {
    return one.type == X86_OP_MEM && is_write(one.access);
  });
}

// Signing and authenticating of the return address: hints, to capstone 4.
bool signs_return_address(Bytes bytes) {
  std::uint32_t word = 0;
  std::memcpy(&word, bytes.data(), std::min(bytes.size(), sizeof(word)));
  const bool hint = (word & 0xfffff01f) == 0xd503201f;
  const unsigned number = (word >> 5) & 0x7f;
  constexpr unsigned kXpaclri = 7;
  return hint && (number == kXpaclri || (number >= 24 && number <= 31));
}

std::span<const std::uint8_t> bytes_of(const cs_insn& insn) {
  return {insn.bytes, insn.size};
}

}  // namespace

struct Decoder::State {
  csh handle = 0;
  cs_insn* instruction = nullptr;

  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    if (instruction) cs_free(instruction, 1);
    if (handle) cs_close(&handle);
  }

  bool next(Bytes code, std::uint64_t address) {
    const std::uint8_t* at = code.data();
    std::size_t left = code.size();
    return cs_disasm_iter(handle, &at, &left, &address, instruction);
  }
};

void Decoder::StateDeleter::operator()(State* state) const {
  delete state;
}

std::optional<Machine> machine_of(std::uint16_t elf_machine) {
  if (elf_machine == EM_X86_64) return Machine::x86_64;
  if (elf_machine == EM_AARCH64) return Machine::arm64;
  return std::nullopt;
}

std::string_view class_name(InstructionClass one) {
  constexpr std::array<std::string_view, static_cast<std::size_t>(InstructionClass::count)> kNames =
      {"other",
       "push",
       "push r8-r15",
       "nop",
       "long nop",
       "5-byte nop",
       "endbr64",
       "short jmp",
       "near jmp",
       "short jcc",
       "near jcc",
       "call",
       "ret",
       "mov register",
       "mov 32-bit register",
       "mov constant",
       "test",
       "32-bit test",
       "xor",
       "lea",
       "sub rsp",
       "sub rsp, large",
       "b",
       "b.cond",
       "cbz",
       "tbz",
       "bl",
       "ret",
       "adr",
       "nop",
       "bti",
       "paciasp",
       "stp x29, x30!",
       "sub sp"};
  return kNames[static_cast<std::size_t>(one)];
}

InstructionClass classify(Machine machine, std::span<const std::uint8_t> bytes) {
  if (bytes.empty()) return InstructionClass::other;
  return machine == Machine::arm64 ? classify_arm(bytes) : classify_x86(bytes);
}

Result<Decoder> Decoder::create(Machine machine) {
  std::unique_ptr<State, StateDeleter> state(new State);
  const cs_err opened = machine == Machine::arm64
                            ? cs_open(CS_ARCH_ARM64, CS_MODE_ARM, &state->handle)
                            : cs_open(CS_ARCH_X86, CS_MODE_64, &state->handle);
  if (opened != CS_ERR_OK) {
    return fail(fmt::format("capstone cannot decode this machine's code: {}", cs_strerror(opened)));
  }
  cs_option(state->handle, CS_OPT_DETAIL, CS_OPT_ON);
  state->instruction = cs_malloc(state->handle);
  if (!state->instruction) return fail("no memory for capstone");
  return Decoder(machine, std::move(state));
}

std::size_t Decoder::length(std::span<const std::uint8_t> code) const {
  return state_->next(code, 0) ? state_->instruction->size : 0;
}

std::optional<Instruction> Decoder::decode(std::span<const std::uint8_t> code,
                                           std::uint64_t address) const {
  if (!state_->next(code, address)) return std::nullopt;
  const cs_insn& insn = *state_->instruction;
  Instruction result;
  result.size = insn.size;
  result.of_class = classify(machine_, bytes_of(insn));
  result.text = insn.mnemonic;
  if (insn.op_str[0] != '\0') result.text += fmt::format(" {}", insn.op_str);
  result.leaves_block = leaves_block(machine_, insn);
  result.stores = stores(machine_, insn);
  if (machine_ == Machine::arm64) {
    set_flow_arm(insn, result);
  } else {
    set_flow_x86(insn, result);
  }

  Registers regs;
  if (cs_regs_access(state_->handle, &insn, regs.read, &regs.reads, regs.written, &regs.writes) !=
      CS_ERR_OK) {
    return std::nullopt;
  }
  const auto on_write = [&](unsigned reg) {
    if (auto argument = argument_of(machine_, reg)) result.arguments_written |= 1U << *argument;
    if (is_stack_pointer(machine_, reg)) result.pushed = std::nullopt;
    if (is_link(machine_, reg)) result.return_address_written = true;
  };
  if (!only_compares(machine_, insn)) {
    std::for_each(regs.written, regs.written + regs.writes, on_write);
    each_register_of_unknown_access(machine_, insn, on_write);
  }
  if (!result.pushed) {
    result.pushed = machine_ == Machine::arm64 ? pushed_arm(insn) : pushed_x86(insn);
  }
  if (machine_ == Machine::arm64) {
    result.return_address_written |= signs_return_address(bytes_of(insn));
    result.return_address_read =
        std::any_of(regs.read, regs.read + regs.reads,
                    [&](std::uint16_t reg) { return is_link(machine_, reg); });
  }
  return result;
}

}  // namespace leaktrace::tracer
