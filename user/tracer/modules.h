// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "user/base/foreign_file.h"
#include "user/base/unique_fd.h"
#include "user/tracer/elf_image.h"
#include "user/tracer/elf_reader.h"
#include "user/tracer/procfs.h"
#include "user/tracer/python_image.h"

namespace leaktrace::tracer {

/// A mapped file. The descriptor is held from first sight, so that it can be probed and symbolized
/// after it was deleted or replaced, and after the process has exited.
struct Module {
  std::uint32_t id = 0;  ///< from 1
  std::string path;      ///< as the process sees it
  ForeignRoot root;      ///< of the process that it was first seen in
  UniqueFd fd;
  ElfImage image;                     ///< empty when the file could not be read as ELF
  std::optional<PythonImage> python;  ///< of a file that has CPython's interpreter
  std::string unread;                 ///< why it is not known what the file has
  bool on_overlay = false;
  /// Of a file in a layer of an overlay: the module of the file that processes name (layers_of).
  const Module* original = nullptr;
};

/// All files that code of the traced processes was mapped from, each read once, whichever and
/// however many processes map it.
class ModuleTable {
 public:
  /// `wanted`: the function names that ElfImage looks for. `reader` reads the files.
  ModuleTable(std::vector<std::string> wanted, std::shared_ptr<ElfReader> reader)
      : wanted_(std::move(wanted)), reader_(std::move(reader)) {}

  /// The module of a mapping of a file, opened and read when it is new. Never null; lives as long
  /// as the table.
  const Module* find_or_open(pid_t pid, const Mapping& mapping);

  /// The files in the layers of an overlay that a module's file may be mapped from, as modules of
  /// their own with the same names; none where it is on no overlay or they are out of reach. Looked
  /// for anew each time, for a copy may have come. `path`: as /proc/PID/maps of that process has
  /// it.
  std::vector<const Module*> layers_of(const Module& module, pid_t pid, const std::string& path);

  [[nodiscard]] const std::vector<std::unique_ptr<Module>>& all() const { return modules_; }

 private:
  void read(Module& module);

  std::vector<std::string> wanted_;
  std::shared_ptr<ElfReader> reader_;
  std::map<std::pair<std::uint64_t, std::uint64_t>, const Module*> by_inode_;  ///< device, inode
  std::map<std::pair<std::uint64_t, std::uint64_t>, const Module*> layers_;    ///< likewise
  std::vector<std::unique_ptr<Module>> modules_;
};

}  // namespace leaktrace::tracer
