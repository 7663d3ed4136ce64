// SPDX-License-Identifier: Apache-2.0
// What a small function of one pointer returns, read from its machine code: so a library itself
// tells where it keeps the fields of a structure that no header describes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "user/tracer/elf_image.h"
#include "user/tracer/instruction.h"

namespace leaktrace::tracer {

/// constant + Σ coefficient · atom, in arithmetic of 64 bits. An atom is an index into
/// AccessorValues::atoms; terms are in the order of their atoms, and none has a coefficient of 0.
///
///     movslq 0x18c(%rdi), %rax       one atom: the load of argument + 0x18c
///     lea    (%rax,%rax,4), %rax     5 · atom
///     lea    (%rdx,%rax,8), %rdx     %rdx + 40 · atom
struct LinearForm {
  struct Term {
    std::uint32_t atom = 0;
    std::uint64_t coefficient = 0;
    bool operator==(const Term&) const = default;
  };
  std::uint64_t constant = 0;
  std::vector<Term> terms;
  bool operator==(const LinearForm&) const = default;
};

/// A value that linear forms are made of.
struct Atom {
  enum class Kind : std::uint8_t {
    argument,  ///< the function's first argument
    frame,     ///< the stack pointer at its entry
    image,     ///< where the file is mapped: an address in its own numbering plus this
    load,      ///< what memory holds
    unknown,   ///< anything; equal to itself only
  };
  Kind kind = Kind::unknown;
  unsigned size = 0;       ///< bytes of a load
  bool is_signed = false;  ///< a load that is shorter than a register: how it fills the rest
  LinearForm address;      ///< of a load
  bool operator==(const Atom&) const = default;
};

/// All that a function may return. Both ways of every condition are taken, so there can be values
/// that it never returns; there is one that it returns and that is missing only if it is not whole.
struct AccessorValues {
  std::vector<Atom> atoms;
  std::vector<LinearForm> returned;  ///< no two alike
  bool whole = false;                ///< every path led to a return

  /// The atom that the value is, without anything added; null for another value.
  [[nodiscard]] const Atom* atom_of(const LinearForm& value) const;
  /// What is added to an atom of that kind; nothing for another value.
  [[nodiscard]] std::optional<std::uint64_t> beyond(const LinearForm& value, Atom::Kind kind) const;
};

/// Evaluates the code of a function, which ends where `code` does and is at `address` in the
/// file's own numbering. A path that calls, leaves the function, writes memory other than its own
/// frame, or does what is not understood is given up. The code is never executed.
[[nodiscard]] AccessorValues evaluate_accessor(Machine machine, std::span<const std::uint8_t> code,
                                               std::uint64_t address);

/// The same for a function of a file. Nothing of it is whole when it cannot be read.
[[nodiscard]] AccessorValues evaluate_accessor(int fd, const ElfImage& image,
                                               const FunctionSymbol& function);

}  // namespace leaktrace::tracer
