// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "user/base/result.h"
#include "user/tracer/modules.h"
#include "user/tracer/unwind_loader.h"
#include "user/tracer/unwind_tables.h"

namespace leaktrace::tracer {

/// An executable mapping of a process.
struct CodeMapping {
  uint64_t start = 0;
  uint64_t end = 0;
  uint64_t file_offset = 0;
  const Module* module = nullptr;  ///< null: no file
  bool vdso = false;
  bool operator==(const CodeMapping&) const = default;
};

/// What a file's unwind information could not give.
struct UnwindLoss {
  std::string path;
  uint64_t count = 0;  ///< frame descriptions left out; 0: all of the file
  std::string why;
};

/// Keeps the BPF unwinder informed of the code of the traced processes.
///
///     set_code(process, mappings) ──▶ UnwindTables::set_process
///          │ files that are new                ▲ again, with their rows
///          ▼                                   │
///     UnwindLoader (threads) ──▶ poll_fd() ──▶ on_loaded()
///
/// Until a file's table is there, its code is followed by frame pointers. One thread calls.
class UnwindFollower {
 public:
  struct Options {
    uint64_t most_row_bytes = 0;    ///< bound of the rows' kernel memory
    std::string cache_folder;       ///< of unwind::TableCache; empty: none
    UnwindLoader::Sources sources;  ///< one at least
  };
  enum class Tables {
    waited_for,  ///< the process's next stack is whole
    to_follow,   ///< they come by on_loaded(): the caller's loop is not held up
  };

  /// `fds` must outlive this. `on_loss` is called once for a file that has lost something.
  [[nodiscard]] static Result<std::unique_ptr<UnwindFollower>> create(
      const UnwindMapFds& fds, const Options& options,
      std::function<void(const UnwindLoss&)> on_loss);

  /// The executable mappings of a process, sorted by start, in place of those known before. Modules
  /// must outlive this. True when they are other ones.
  bool set_code(uint32_t tgid, std::vector<CodeMapping> code, Tables tables);
  /// A child has its parent's code.
  void copy_code(uint32_t parent, uint32_t child);
  /// Exit or exec: what the process had mapped is gone.
  void forget(uint32_t tgid);
  /// Is the address in one of the mappings of the process, as far as they are known?
  [[nodiscard]] bool knows(uint32_t tgid, uint64_t address) const;

  /// Readable when on_loaded() has something to do.
  [[nodiscard]] int poll_fd() const { return loader_->poll_fd(); }
  /// Gives the processes the tables that have been loaded.
  void on_loaded();
  /// Now and then: frees what no process has mapped for a while, and tries again what found no room
  /// before.
  void tend();

  [[nodiscard]] UnwindUsage usage() const;

 private:
  struct File {
    unwind::FileIdentity identity;
    std::string key;  ///< empty: it cannot be read
  };

  UnwindFollower(UnwindTables tables, std::unique_ptr<UnwindLoader> loader,
                 std::function<void(const UnwindLoss&)> on_loss)
      : tables_(std::move(tables)), loader_(std::move(loader)), on_loss_(std::move(on_loss)) {}
  void request_tables(const std::vector<CodeMapping>& code);
  void wait_for_tables(const std::vector<CodeMapping>& code);
  void accept(const std::vector<LoadedUnwindTable>& loaded);
  [[nodiscard]] bool accept(const LoadedUnwindTable& loaded);
  [[nodiscard]] Result<UnwindModule> add_table(const LoadedUnwindTable& loaded);
  void publish(uint32_t tgid, const std::vector<CodeMapping>& code);
  [[nodiscard]] const File& file_of(const Module& module);
  [[nodiscard]] UnwindModule unwind_module(const CodeMapping& mapping);

  UnwindTables tables_;
  std::chrono::duration<double> waited_{};
  std::unique_ptr<UnwindLoader> loader_;
  std::function<void(const UnwindLoss&)> on_loss_;
  std::map<uint32_t, std::vector<CodeMapping>> processes_;  ///< by tgid
  std::map<uint32_t, File> files_;                          ///< by module
  std::map<std::string, std::string> requested_;            ///< key → path: on their way
  std::set<std::string> unreadable_;                        ///< keys
  std::set<std::string> told_;                              ///< keys whose loss was told
};

}  // namespace leaktrace::tracer
