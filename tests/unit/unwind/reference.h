// SPDX-License-Identifier: Apache-2.0
// The answer that the tests hold rows to: what libdw says of one address, its DWARF expressions
// evaluated by the book, without any of the pattern matching that makes rows.
#pragma once

#include <elfutils/libdw.h>
#include <libelf.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "user/base/unique_fd.h"
#include "user/unwind/table.h"

namespace leaktrace::unwind::reference {

/// Registers by DWARF number, and a stack whose every word tells its address. The code was
/// interrupted: the other registers lie in a signal frame at `signal_sp`.
struct State {
  uint64_t pc = 0;
  uint64_t sp = 0;
  uint64_t fp = 0;
  int sp_number = 7;
  int fp_number = 6;
  int extra_number = 3;
  static constexpr uint64_t signal_sp = 0x7ffe00001000;

  [[nodiscard]] std::optional<uint64_t> reg(int number) const;
  [[nodiscard]] static uint64_t word(uint64_t address);
};

/// The caller's registers; what is empty cannot be known.
struct Caller {
  bool described = false;  ///< there is unwind information at all
  bool outermost = false;
  bool link = false;  ///< the return address is still in the link register
  bool signal = false;
  std::optional<uint64_t> cfa;
  std::optional<uint64_t> fp;
  std::optional<uint64_t> ra;
  std::optional<uint64_t> extra;  ///< of rows: as far as they say
};

/// An ELF file and libdw's view of its call frame information.
class File {
 public:
  explicit File(const std::string& path);
  ~File();
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] bool has_cfi() const { return cfi_ != nullptr; }
  /// What libdw says of `state.pc` with these registers.
  [[nodiscard]] Caller caller(const State& state) const;

 private:
  UniqueFd fd_;
  Elf* elf_ = nullptr;
  Dwarf_CFI* cfi_ = nullptr;
};

/// What the table says, evaluated as the BPF unwinder does.
[[nodiscard]] Caller caller(const Table& table, const State& state);

}  // namespace leaktrace::unwind::reference
