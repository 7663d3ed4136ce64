// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <elfutils/libdwfl.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/bpf/oracle/oracle_probe.h"
#include "user/base/result.h"

namespace leaktrace::tests {

/// A stack as libdwfl unwinds it.
struct ReferenceStack {
  /// frames[0] is the interrupted instruction, then return addresses; interrupted frames further
  /// out (callers of signal handlers) are given as pc + 1, as leaktrace's unwinder gives them.
  std::vector<uint64_t> frames;
  /// Empty: the outermost frame was reached. Otherwise libdwfl's words for why it could not go on.
  std::string stopped_by;
  /// What its last step wanted to read and the copy does not hold.
  std::optional<uint64_t> missing;
  bool at_entry_point = false;  ///< the last frame is that of its file's entry point
};

/// The address of the copy's first byte.
[[nodiscard]] uint64_t copy_start(const oracle_stack& moment);

/// libdwfl on one layout of a process's mappings. It reads files, a thread's registers and a copy
/// of its stack; nothing of it is leaktrace's.
class CopyUnwinder {
 public:
  /// `maps`: the text of /proc/PID/maps.
  [[nodiscard]] static Result<std::unique_ptr<CopyUnwinder>> create(const std::string& maps);
  ~CopyUnwinder();
  CopyUnwinder(const CopyUnwinder&) = delete;
  CopyUnwinder& operator=(const CopyUnwinder&) = delete;

  [[nodiscard]] ReferenceStack unwind(const oracle_stack& moment);

  /// "libc.so.6 malloc+0x12" for a person; "generated code" when no file holds the address.
  [[nodiscard]] std::string describe(uint64_t address) const;

 private:
  CopyUnwinder() = default;

  /// Does the address lie at its file's entry point, which nothing calls?
  [[nodiscard]] bool is_entry_point(uint64_t address) const;

  static pid_t next_thread(Dwfl*, void* self, void** thread);
  static bool get_thread(Dwfl*, pid_t tid, void* self, void** thread);
  static bool read_memory(Dwfl*, Dwarf_Addr address, Dwarf_Word* word, void* self);
  static bool set_registers(Dwfl_Thread* thread, void* self);
  static int note_frame(Dwfl_Frame* frame, void* self);

  static const Dwfl_Callbacks files;
  static const Dwfl_Thread_Callbacks threads;

  Dwfl* dwfl_ = nullptr;
  const oracle_stack* moment_ = nullptr;
  ReferenceStack result_;
  bool at_trampoline_ = false;  ///< the frame noted last is that of a signal handler's return
};

}  // namespace leaktrace::tests
