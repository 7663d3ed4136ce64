// SPDX-License-Identifier: Apache-2.0
#include <capstone/capstone.h>

#include <algorithm>
#include <array>
#include <utility>

#include "user/tracer/accessor_machine.h"

namespace leaktrace::tracer {
namespace {

using Bytes = std::span<const std::uint8_t>;

constexpr unsigned kWord = 8;
constexpr std::size_t kStackPointer = 1;
constexpr std::size_t kFramePointer = 2;
constexpr std::size_t kFirstArgument = 3;

/// The registers by their number in a path and, of each, by the logarithm of the size. The high
/// bytes (ah) are left out: no accessor has a use for them.
constexpr std::array<std::array<x86_reg, 4>, 16> kRegisters = {{
    {X86_REG_AL, X86_REG_AX, X86_REG_EAX, X86_REG_RAX},
    {X86_REG_SPL, X86_REG_SP, X86_REG_ESP, X86_REG_RSP},
    {X86_REG_BPL, X86_REG_BP, X86_REG_EBP, X86_REG_RBP},
    {X86_REG_DIL, X86_REG_DI, X86_REG_EDI, X86_REG_RDI},
    {X86_REG_SIL, X86_REG_SI, X86_REG_ESI, X86_REG_RSI},
    {X86_REG_DL, X86_REG_DX, X86_REG_EDX, X86_REG_RDX},
    {X86_REG_CL, X86_REG_CX, X86_REG_ECX, X86_REG_RCX},
    {X86_REG_BL, X86_REG_BX, X86_REG_EBX, X86_REG_RBX},
    {X86_REG_R8B, X86_REG_R8W, X86_REG_R8D, X86_REG_R8},
    {X86_REG_R9B, X86_REG_R9W, X86_REG_R9D, X86_REG_R9},
    {X86_REG_R10B, X86_REG_R10W, X86_REG_R10D, X86_REG_R10},
    {X86_REG_R11B, X86_REG_R11W, X86_REG_R11D, X86_REG_R11},
    {X86_REG_R12B, X86_REG_R12W, X86_REG_R12D, X86_REG_R12},
    {X86_REG_R13B, X86_REG_R13W, X86_REG_R13D, X86_REG_R13},
    {X86_REG_R14B, X86_REG_R14W, X86_REG_R14D, X86_REG_R14},
    {X86_REG_R15B, X86_REG_R15W, X86_REG_R15D, X86_REG_R15},
}};

struct Register {
  std::size_t number = 0;
  unsigned size = 0;
};

std::optional<Register> find_register(unsigned reg) {
  for (std::size_t number = 0; number < kRegisters.size(); ++number) {
    for (unsigned i = 0; i < 4; ++i) {
      if (kRegisters[number][i] == reg) return Register{number, 1U << i};
    }
  }
  return std::nullopt;
}

bool in_range(unsigned id, unsigned first, unsigned last) {
  return id >= first && id <= last;
}
bool is_branch(unsigned id) {
  return in_range(id, X86_INS_JAE, X86_INS_JS) && id != X86_INS_JMP;
}
bool is_conditional_move(unsigned id) {
  return in_range(id, X86_INS_CMOVA, X86_INS_CMOVS);
}
bool is_condition_to_byte(unsigned id) {
  return in_range(id, X86_INS_SETAE, X86_INS_SETS);
}

// endbr64, and the nop of two bytes: not every capstone knows them by name.
bool is_landing_or_filling(const cs_insn& insn) {
  constexpr std::array<std::uint8_t, 4> kEndbr = {0xf3, 0x0f, 0x1e, 0xfa};
  constexpr std::array<std::uint8_t, 2> kNop = {0x66, 0x90};
  const Bytes bytes(insn.bytes, insn.size);
  return std::ranges::equal(bytes, kEndbr) || std::ranges::equal(bytes, kNop);
}

// Flags are not kept: both ways of a condition are taken.
bool does_nothing(const cs_insn& insn) {
  return is_landing_or_filling(insn) || insn.id == X86_INS_NOP || insn.id == X86_INS_CMP ||
         insn.id == X86_INS_TEST || insn.id == X86_INS_BT;
}

/// One instruction of one path. What returns false has not been understood.
class X86Step {
 public:
  X86Step(Algebra& algebra, AccessorPath& path, std::vector<AccessorPath>& others,
          const cs_insn& insn)
      : algebra_(algebra),
        path_(path),
        others_(others),
        insn_(insn),
        x86_(insn.detail->x86),
        begin_(insn.address - path.at) {}

  StepOutcome run() {
    if (insn_.id == X86_INS_RET) return returns() ? StepOutcome::returned : StepOutcome::lost;
    const std::uint64_t next = path_.at + insn_.size;
    if (is_jump()) return jump(next) ? StepOutcome::goes_on : StepOutcome::lost;
    path_.at = next;
    return does_nothing(insn_) || compute() ? StepOutcome::goes_on : StepOutcome::lost;
  }

 private:
  [[nodiscard]] bool is_jump() const { return insn_.id == X86_INS_JMP || is_branch(insn_.id); }

  // Elsewhere on the stack it is no return address that is taken.
  [[nodiscard]] bool returns() {
    return x86_.op_count == 0 && algebra_.in_frame(path_.registers[kStackPointer]) == 0;
  }

  // Before the function's beginning the offset is a large one, and leads to no code either.
  bool jump(std::uint64_t next) {
    if (x86_.op_count != 1 || x86_.operands[0].type != X86_OP_IMM) return false;
    if (is_branch(insn_.id)) {
      others_.push_back(path_);
      others_.back().at = next;
    }
    path_.at = static_cast<std::uint64_t>(x86_.operands[0].imm) - begin_;
    return true;
  }

  bool compute() {
    if (is_conditional_move(insn_.id)) return conditional_move();
    if (is_condition_to_byte(insn_.id)) return either(constant_form(0), constant_form(1));
    switch (insn_.id) {
      case X86_INS_PUSH:
        return x86_.op_count == 1 && x86_.operands[0].size == kWord && push(read(0));
      case X86_INS_POP:
        return x86_.op_count == 1 && x86_.operands[0].size == kWord && write(pop());
      case X86_INS_LEAVE:
        path_.registers[kStackPointer] = path_.registers[kFramePointer];
        return set(path_.registers[kFramePointer], pop());
      case X86_INS_CDQE:
        return set(path_.registers[0], algebra_.sign_extended(path_.registers[0], 4));
      case X86_INS_NEG:
        return x86_.op_count == 1 && write(difference(constant_form(0), read(0)));
      case X86_INS_NOT:
        return x86_.op_count == 1 && write(difference(constant_form(UINT64_MAX), read(0)));
      case X86_INS_INC:
        return x86_.op_count == 1 && write(sum(read(0), constant_form(1)));
      case X86_INS_DEC:
        return x86_.op_count == 1 && write(sum(read(0), constant_form(UINT64_MAX)));
      default:
        return compute_of_two();
    }
  }

  bool compute_of_two() {
    if (insn_.id == X86_INS_IMUL && x86_.op_count == 3) return write(product(read(1), read(2)));
    if (x86_.op_count != 2) return false;
    if (is_same_register()) {
      // Whatever it holds: the common ways to write 0, and 0 or -1.
      if (insn_.id == X86_INS_XOR || insn_.id == X86_INS_SUB) return write(constant_form(0));
      if (insn_.id == X86_INS_SBB) return either(constant_form(0), constant_form(UINT64_MAX));
    }
    switch (insn_.id) {
      case X86_INS_MOV:
      case X86_INS_MOVABS:
      case X86_INS_MOVZX:
        return write(read(1));
      case X86_INS_MOVSX:
      case X86_INS_MOVSXD:
        return write(extended(read(1), x86_.operands[1].size));
      case X86_INS_LEA:
        return write(address_of(x86_.operands[1]));
      case X86_INS_ADD:
        return write(sum(read(0), read(1)));
      case X86_INS_SUB:
        return write(difference(read(0), read(1)));
      case X86_INS_ADC:
        return either(sum(read(0), read(1)), sum(sum(read(0), read(1)), constant_form(1)));
      case X86_INS_SBB:
        return either(difference(read(0), read(1)),
                      difference(difference(read(0), read(1)), constant_form(1)));
      case X86_INS_IMUL:
        return write(product(read(0), read(1)));
      default:
        return compute_bits(read(0), read(1));
    }
  }

  // Of constants only, but for what stands for 0 and for a multiplication.
  bool compute_bits(const std::optional<LinearForm>& left, const std::optional<LinearForm>& right) {
    if (!left || !right) return false;
    const auto a = constant_of(*left);
    const auto b = constant_of(*right);
    switch (insn_.id) {
      case X86_INS_XOR:
        return write(a && b ? constant_form(*a ^ *b) : algebra_.unknown());
      case X86_INS_AND:
        if (a == 0 || b == 0) return write(constant_form(0));
        return write(a && b ? constant_form(*a & *b) : algebra_.unknown());
      case X86_INS_OR:
        return write(a && b ? constant_form(*a | *b) : algebra_.unknown());
      case X86_INS_SHL:
      case X86_INS_SAL:
        return write(b ? scaled(*left, std::uint64_t{1} << shift(*b)) : algebra_.unknown());
      case X86_INS_SHR:
        return write(a && b ? constant_form(*a >> shift(*b)) : algebra_.unknown());
      case X86_INS_SAR:
        return write(algebra_.unknown());
      default:
        return false;
    }
  }

  [[nodiscard]] bool is_same_register() const {
    const cs_x86_op& one = x86_.operands[0];
    const cs_x86_op& other = x86_.operands[1];
    return one.type == X86_OP_REG && other.type == X86_OP_REG && one.reg == other.reg;
  }

  [[nodiscard]] unsigned shift(std::uint64_t count) const {
    return static_cast<unsigned>(count & (x86_.operands[0].size == kWord ? 63 : 31));
  }

  // Both values, one on a path of its own.
  bool either(const std::optional<LinearForm>& one, const std::optional<LinearForm>& other) {
    AccessorPath second = path_;
    if (!write(other)) return false;
    std::swap(second, path_);
    others_.push_back(std::move(second));
    return write(one);
  }

  // A register of 32 bits loses its upper half even when it is not moved to.
  bool conditional_move() { return x86_.op_count == 2 && either(read(0), read(1)); }

  using Value = std::optional<LinearForm>;

  static Value sum(const Value& left, const Value& right) {
    if (!left || !right) return std::nullopt;
    return *left + *right;
  }
  static Value difference(const Value& left, const Value& right) {
    if (!left || !right) return std::nullopt;
    return *left - *right;
  }
  Value product(const Value& left, const Value& right) {
    if (!left || !right) return std::nullopt;
    if (const auto factor = constant_of(*right)) return scaled(*left, *factor);
    if (const auto factor = constant_of(*left)) return scaled(*right, *factor);
    return algebra_.unknown();
  }
  Value extended(const Value& value, unsigned size) {
    if (!value) return std::nullopt;
    return algebra_.sign_extended(*value, size);
  }

  Value register_value(unsigned reg) {
    const auto found = find_register(reg);
    if (!found) return std::nullopt;
    return algebra_.low(path_.registers[found->number], found->size);
  }

  // Addresses of 32 bits are left to others.
  Value address_register(unsigned reg) {
    if (reg == X86_REG_INVALID || reg == X86_REG_RIZ) return constant_form(0);
    if (reg == X86_REG_RIP) {
      return algebra_.atom(Atom::Kind::image) + constant_form(insn_.address + insn_.size);
    }
    const auto found = find_register(reg);
    if (!found || found->size != kWord) return std::nullopt;
    return path_.registers[found->number];
  }

  Value address_of(const cs_x86_op& operand) {
    if (operand.type != X86_OP_MEM) return std::nullopt;
    const Value base = address_register(operand.mem.base);
    const Value index = address_register(operand.mem.index);
    if (!base || !index) return std::nullopt;
    return *base + scaled(*index, static_cast<std::uint64_t>(operand.mem.scale)) +
           constant_form(static_cast<std::uint64_t>(operand.mem.disp));
  }

  Value read(unsigned i) {
    const cs_x86_op& operand = x86_.operands[i];
    if (operand.type == X86_OP_REG) return register_value(operand.reg);
    if (operand.type == X86_OP_IMM) return constant_form(static_cast<std::uint64_t>(operand.imm));
    const Value address = address_of(operand);
    if (!address || !is_power(operand.size)) return std::nullopt;
    if (operand.mem.segment != X86_REG_INVALID) return algebra_.unknown();
    return read_memory(algebra_, path_, *address, operand.size);
  }
  static bool is_power(unsigned size) { return size == 1 || size == 2 || size == 4 || size == 8; }

  static bool set(LinearForm& into, const Value& value) {
    if (value) into = *value;
    return value.has_value();
  }

  bool write(const Value& value) {
    const cs_x86_op& operand = x86_.operands[0];
    if (!value) return false;
    if (operand.type == X86_OP_REG) return write_register(operand.reg, *value);
    if (operand.type != X86_OP_MEM || operand.mem.segment != X86_REG_INVALID) return false;
    const Value address = address_of(operand);
    return address && is_power(operand.size) &&
           write_memory(algebra_, path_, *address, operand.size,
                        algebra_.low(*value, operand.size));
  }

  bool write_register(unsigned reg, const LinearForm& value) {
    const auto found = find_register(reg);
    if (!found) return false;
    LinearForm& into = path_.registers[found->number];
    const LinearForm part = algebra_.low(value, found->size);
    into = found->size >= 4 ? part : algebra_.with_low(into, part, found->size);
    return true;
  }

  bool push(const Value& value) {
    LinearForm& stack_pointer = path_.registers[kStackPointer];
    if (!value) return false;
    stack_pointer = stack_pointer - constant_form(kWord);
    return write_memory(algebra_, path_, stack_pointer, kWord, *value);
  }

  Value pop() {
    LinearForm& stack_pointer = path_.registers[kStackPointer];
    Value value = read_memory(algebra_, path_, stack_pointer, kWord);
    stack_pointer = stack_pointer + constant_form(kWord);
    return value;
  }

  Algebra& algebra_;
  AccessorPath& path_;
  std::vector<AccessorPath>& others_;
  const cs_insn& insn_;
  const cs_x86& x86_;
  std::uint64_t begin_;  ///< address of the code
};

class X86Accessor final : public AccessorMachine {
 public:
  X86Accessor(Bytes code, std::uint64_t address) : code_(code), address_(address) {
    if (cs_open(CS_ARCH_X86, CS_MODE_64, &handle_) != CS_ERR_OK) return;
    cs_option(handle_, CS_OPT_DETAIL, CS_OPT_ON);
    instruction_ = cs_malloc(handle_);
  }
  ~X86Accessor() override {
    if (instruction_ != nullptr) cs_free(instruction_, 1);
    if (handle_ != 0) cs_close(&handle_);
  }
  [[nodiscard]] bool ready() const { return instruction_ != nullptr; }

  void enter(Algebra& algebra, AccessorPath& path) override {
    for (std::size_t i = 0; i < kRegisters.size(); ++i) path.registers[i] = algebra.unknown();
    path.registers[kStackPointer] = algebra.atom(Atom::Kind::frame);
    path.registers[kFirstArgument] = algebra.atom(Atom::Kind::argument);
  }

  StepOutcome step(Algebra& algebra, AccessorPath& path,
                   std::vector<AccessorPath>& others) override {
    if (path.at >= code_.size()) return StepOutcome::lost;
    const Bytes rest = code_.subspan(path.at);
    const std::uint8_t* bytes = rest.data();
    std::size_t left = rest.size();
    std::uint64_t address = address_ + path.at;
    if (!cs_disasm_iter(handle_, &bytes, &left, &address, instruction_)) return StepOutcome::lost;
    return X86Step(algebra, path, others, *instruction_).run();
  }

 private:
  Bytes code_;
  std::uint64_t address_;
  csh handle_ = 0;
  cs_insn* instruction_ = nullptr;
};

}  // namespace

std::unique_ptr<AccessorMachine> x86_accessor_machine(std::span<const std::uint8_t> code,
                                                      std::uint64_t address) {
  auto machine = std::make_unique<X86Accessor>(code, address);
  if (!machine->ready()) return nullptr;
  return machine;
}

}  // namespace leaktrace::tracer
