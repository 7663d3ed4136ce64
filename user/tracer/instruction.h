// SPDX-License-Identifier: Apache-2.0
// Machine instructions, as far as the choice of a probe's place needs to know them.
#pragma once

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "user/base/result.h"

namespace leaktrace::tracer {

enum class Machine : std::uint8_t { x86_64, arm64 };

/// The machine that leaktrace runs on, and nothing else can be traced on it.
#if defined(__aarch64__)
inline constexpr Machine kOwnMachine = Machine::arm64;
#else
inline constexpr Machine kOwnMachine = Machine::x86_64;
#endif

/// Of the ELF header's e_machine; nothing for one that leaktrace does not know.
[[nodiscard]] std::optional<Machine> machine_of(std::uint16_t elf_machine);

/// Instructions that a kernel treats alike when there is a probe on one: it emulates all of a class
/// or executes all of them out of line, in a single step. An instruction that is exactly of no such
/// form (another prefix, say) is `other`.
enum class InstructionClass : std::uint8_t {
  other,
  // x86-64
  push,           ///< of rax to rdi
  push_extended,  ///< of r8 to r15
  nop,            ///< of one byte
  nop_long,       ///< 0f 1f, of any length but five bytes
  nop_five,       ///< 0f 1f 44 00 00: newer kernels replace it by a call
  endbr,
  jump_short,
  jump_near,
  branch_short,
  branch_near,
  call,
  ret,
  move_register,  ///< of 64 bits, from register to register
  move_register_32,
  move_immediate_32,
  test_register,
  test_register_32,
  xor_register_32,
  load_address,  ///< lea, not relative to the instruction
  stack_short,   ///< sub $8 bits, %rsp
  stack_long,    ///< sub $32 bits, %rsp
  // arm64
  a64_branch,            ///< b
  a64_branch_condition,  ///< b.cond
  a64_branch_zero,       ///< cbz, cbnz
  a64_branch_bit,        ///< tbz, tbnz
  a64_call,              ///< bl
  a64_ret,
  a64_address,  ///< adr, adrp
  a64_nop,
  a64_landing,     ///< bti
  a64_sign,        ///< paciasp
  a64_push_frame,  ///< stp x29, x30, [sp, #-n]!
  a64_stack,       ///< sub sp, sp, #n
  count,
};

using ClassSet = std::bitset<static_cast<std::size_t>(InstructionClass::count)>;

[[nodiscard]] inline ClassSet class_set(std::initializer_list<InstructionClass> classes) {
  ClassSet set;
  for (InstructionClass one : classes) set.set(static_cast<std::size_t>(one));
  return set;
}
[[nodiscard]] inline bool contains(const ClassSet& set, InstructionClass one) {
  return set.test(static_cast<std::size_t>(one));
}

/// A stable name in plain words: "push r8-r15".
[[nodiscard]] std::string_view class_name(InstructionClass one);

/// The class of one instruction, by its bytes: all of them and no more.
[[nodiscard]] InstructionClass classify(Machine machine, std::span<const std::uint8_t> bytes);

/// Where control goes after an instruction.
enum class Flow : std::uint8_t {
  next,      ///< to the instruction behind it; calls too
  branch,    ///< there, or to `target`
  jump,      ///< to `target`
  indirect,  ///< to an address from a register or from memory
  leave,     ///< it returns
  stop,      ///< nowhere: ud2, hlt
};

/// What one instruction does, as far as the choice asks. What is not known for sure is taken for
/// the worse.
struct Instruction {
  std::size_t size = 0;  ///< bytes
  InstructionClass of_class = InstructionClass::other;
  std::string text;                     ///< "je 0x98fb8", addresses as in the file
  bool leaves_block = false;            ///< what follows it is not always executed
  std::uint32_t arguments_written = 0;  ///< one bit for each register of LT_MAX_ARGUMENTS
  /// Bytes that it moves the stack pointer down by; nothing when that is not known.
  std::optional<std::uint32_t> pushed = 0;
  bool return_address_read = false;  ///< these two only where it is in a register (arm64)
  bool return_address_written = false;
  bool stores = false;  ///< to memory, other than by pushing
  Flow flow = Flow::next;
  std::uint64_t target = 0;  ///< of a branch or a jump, counted as `address` is
  /// Of an indirect jump through memory relative to the instruction (`jmp *x(%rip)`): that address.
  std::optional<std::uint64_t> pointer;
};

/// Decodes machine code, through capstone. Not for use in two threads at once.
class Decoder {
 public:
  [[nodiscard]] static Result<Decoder> create(Machine machine);

  /// The first instruction of `code`, which is at `address`; nothing when there is none whole.
  [[nodiscard]] std::optional<Instruction> decode(std::span<const std::uint8_t> code,
                                                  std::uint64_t address) const;
  /// Its length only; 0 when there is none.
  [[nodiscard]] std::size_t length(std::span<const std::uint8_t> code) const;

  [[nodiscard]] Machine machine() const { return machine_; }

 private:
  struct State;
  struct StateDeleter {
    void operator()(State* state) const;
  };
  Decoder(Machine machine, std::unique_ptr<State, StateDeleter> state)
      : machine_(machine), state_(std::move(state)) {}

  Machine machine_;
  std::unique_ptr<State, StateDeleter> state_;
};

}  // namespace leaktrace::tracer
