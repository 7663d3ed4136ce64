// SPDX-License-Identifier: Apache-2.0
// What the evaluation of accessor functions has in common for all machines.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "user/tracer/accessor.h"

namespace leaktrace::tracer {

[[nodiscard]] inline LinearForm constant_form(std::uint64_t value) {
  return {.constant = value, .terms = {}};
}
[[nodiscard]] LinearForm operator+(const LinearForm& left, const LinearForm& right);
[[nodiscard]] LinearForm scaled(const LinearForm& value, std::uint64_t factor);
[[nodiscard]] inline LinearForm operator-(const LinearForm& left, const LinearForm& right) {
  return left + scaled(right, UINT64_MAX);
}
/// The value when it is a constant.
[[nodiscard]] std::optional<std::uint64_t> constant_of(const LinearForm& value);

/// Makes values, and keeps each atom once: values that are equal have equal forms.
class Algebra {
 public:
  [[nodiscard]] LinearForm atom(Atom::Kind kind) { return form_of({.kind = kind, .address = {}}); }
  [[nodiscard]] LinearForm unknown();
  [[nodiscard]] LinearForm load(const LinearForm& address, unsigned size, bool is_signed = false);
  /// The low bytes of a value, the rest 0.
  [[nodiscard]] LinearForm low(const LinearForm& value, unsigned size);
  /// The low bytes of a value, the rest filled with their sign.
  [[nodiscard]] LinearForm sign_extended(const LinearForm& value, unsigned size);
  /// A register of the old value when its low bytes only are written, with a value of that size.
  [[nodiscard]] LinearForm with_low(const LinearForm& old, const LinearForm& value, unsigned size);
  /// The distance from the stack pointer at the entry when the value is an address in the frame.
  [[nodiscard]] std::optional<std::int64_t> in_frame(const LinearForm& value);
  [[nodiscard]] bool mentions_frame(const LinearForm& value) const;

  [[nodiscard]] const std::vector<Atom>& atoms() const { return atoms_; }

 private:
  [[nodiscard]] LinearForm form_of(const Atom& atom);
  [[nodiscard]] const Atom* only_atom(const LinearForm& value) const;

  std::vector<Atom> atoms_;
};

/// A path through the function: where it is, and what it has computed.
struct AccessorPath {
  static constexpr std::size_t kMostRegisters = 32;
  struct Slot {
    std::int64_t offset = 0;
    unsigned size = 0;
    LinearForm value;
  };
  std::uint64_t at = 0;  ///< bytes from the beginning of the code
  std::size_t steps = 0;
  std::array<LinearForm, kMostRegisters> registers;
  std::vector<Slot> frame;  ///< what it has stored on the stack; no two overlap
};

/// What memory holds: its own for the frame, a load elsewhere. Nothing when a part of the frame is
/// read that was not stored so.
[[nodiscard]] std::optional<LinearForm> read_memory(Algebra& algebra, const AccessorPath& path,
                                                    const LinearForm& address, unsigned size);
/// False when it is not the frame that is written. `value` is of that size.
[[nodiscard]] bool write_memory(Algebra& algebra, AccessorPath& path, const LinearForm& address,
                                unsigned size, const LinearForm& value);

enum class StepOutcome : std::uint8_t { goes_on, returned, lost };

/// Evaluates one instruction of a path at a time.
class AccessorMachine {
 public:
  AccessorMachine() = default;
  AccessorMachine(const AccessorMachine&) = delete;
  AccessorMachine& operator=(const AccessorMachine&) = delete;
  virtual ~AccessorMachine() = default;

  /// The registers at the function's entry.
  virtual void enter(Algebra& algebra, AccessorPath& path) = 0;
  /// Takes the path one instruction on. Where there are two ways, the other is added to `others`.
  /// After a return the value is in kResultRegister.
  virtual StepOutcome step(Algebra& algebra, AccessorPath& path,
                           std::vector<AccessorPath>& others) = 0;
};

/// All return their value in their first register here: rax, x0.
inline constexpr std::size_t kResultRegister = 0;

/// Null when capstone cannot be had.
[[nodiscard]] std::unique_ptr<AccessorMachine> x86_accessor_machine(
    std::span<const std::uint8_t> code, std::uint64_t address);
[[nodiscard]] std::unique_ptr<AccessorMachine> arm_accessor_machine(
    std::span<const std::uint8_t> code, std::uint64_t address);

}  // namespace leaktrace::tracer
