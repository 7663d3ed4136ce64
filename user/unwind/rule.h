// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <elfutils/libdw.h>

#include <cstdint>
#include <map>
#include <optional>
#include <tuple>
#include <vector>

#include "leaktrace/unwind_abi.h"

namespace leaktrace::unwind {

/// What the unwinder must know of a processor: DWARF numbers of registers.
struct Machine {
  int stack_pointer;
  int frame_pointer;
  int extra;                ///< the register that is followed beside them (see unwind_abi.h)
  bool call_pushes_return;  ///< the return address is on the stack and not in a register
};

/// The machine of an e_machine value; empty for those that leaktrace does not unwind.
[[nodiscard]] std::optional<Machine> machine_of(uint16_t elf_machine);

/// One frame's rule in its general form: every kind and offset of lt_unwind_rule is used, also by
/// rules that will fit a row. What the tracer cannot do becomes LT_UNWIND_CFA_UNSUPPORTED.
[[nodiscard]] lt_unwind_rule decode_rule(Dwarf_Frame* frame, const Machine& machine);

/// Packs rules into rows (see unwind_abi.h) and gathers those that do not fit.
class RulePacker {
 public:
  /// `follow_extra`: frames become rules that say where the extra register is, in files where
  /// something needs it; as long as they are few.
  explicit RulePacker(bool follow_extra = false) : follow_extra_(follow_extra) {}

  /// The row of a rule, without the address bits.
  [[nodiscard]] uint64_t pack(const lt_unwind_rule& rule);

  /// A frame was packed whose CFA is counted from the extra register.
  [[nodiscard]] bool needs_extra() const { return needs_extra_; }

  /// The rules that rows with LT_UNWIND_CFA_RULE refer to, by index, each once.
  [[nodiscard]] std::vector<lt_unwind_rule> take_rules() { return std::move(rules_); }

 private:
  using Key = std::tuple<uint32_t, int32_t, int32_t, int32_t, int32_t, int32_t>;

  [[nodiscard]] lt_unwind_rule without_extra(lt_unwind_rule rule) const;

  bool follow_extra_;
  bool needs_extra_ = false;
  std::vector<lt_unwind_rule> rules_;
  std::map<Key, uint32_t> index_;
};

/// A row that has only a kind: LT_UNWIND_CFA_NONE, _END or _UNSUPPORTED.
[[nodiscard]] constexpr uint64_t bare_row(lt_unwind_cfa kind) {
  return static_cast<uint64_t>(kind) << 12;
}

}  // namespace leaktrace::unwind
