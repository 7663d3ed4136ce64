// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "user/base/foreign_file.h"
#include "user/base/result.h"
#include "user/base/unique_fd.h"
#include "user/model/record.h"
#include "user/symbolize/debuginfod.h"

namespace leaktrace::symbolize {

/// Where the file of a module can be read from. The descriptor is held from the moment the module
/// was first seen, so files that were deleted or replaced since, and those of processes that have
/// exited, can still be symbolized.
struct ModuleFile {
  model::ModuleId id;
  std::string path;      ///< as the process sees it: for messages, and to find debug files
  std::string build_id;  ///< lower-case hex, or empty
  UniqueFd fd;       ///< open for reading; none: `path` in `root` is tried, if its build id fits
  ForeignRoot root;  ///< what `path` and names of debug files are resolved in
};

/// Addresses to functions, files and lines, with inlined frames expanded.
class Symbolizer {
 public:
  Symbolizer() = default;
  virtual ~Symbolizer() = default;
  Symbolizer(const Symbolizer&) = delete;
  Symbolizer& operator=(const Symbolizer&) = delete;

  /// Makes a module known. Cheap: nothing is parsed before the first look-up.
  virtual void add_module(ModuleFile file) = 0;

  /// The functions at `address`, an address within the module's ELF file (p_vaddr space), inlined
  /// ones first and the one that holds them last. For a return address, pass address - 1. Never
  /// empty: where no symbol is known, one frame without a function.
  [[nodiscard]] virtual std::vector<model::SourceFrame> look_up(model::ModuleId module,
                                                                std::uint64_t address) = 0;

  /// Asks for debug files that are not on this machine from now on; call it before the first
  /// look-up. Look-ups do not wait: they say what is known, and say more when a file is here.
  virtual void use(std::unique_ptr<Debuginfod> debuginfod) = 0;
  /// Null unless there is one in use.
  [[nodiscard]] virtual Debuginfod* debuginfod() const = 0;

  /// What could not be read of the files that names were asked of so far, one record a file.
  [[nodiscard]] virtual std::vector<model::FileLoss> file_losses() const = 0;
};

/// C++ and Rust (legacy and v0) names as their authors wrote them; others as they are.
[[nodiscard]] std::string demangle(const std::string& symbol);

}  // namespace leaktrace::symbolize
