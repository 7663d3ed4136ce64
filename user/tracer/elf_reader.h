// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "leaktrace/pg_abi.h"
#include "user/base/result.h"
#include "user/tracer/elf_image.h"
#include "user/tracer/function_exits.h"
#include "user/tracer/probe_site.h"
#include "user/tracer/python_image.h"

namespace leaktrace::tracer {

/// What a file's headers and symbol tables say.
struct ElfContents {
  ElfImage image;                     ///< empty of a file that is no ELF file that can be traced
  std::string not_elf{};              ///< why it is none
  std::optional<PythonImage> python;  ///< of a file that has CPython's interpreter
};

/// A function of which a probe's place is asked for, and whether its exits are, too.
struct HookRequest {
  SiteRequest site;
  bool exits = false;
};

struct HookPlace {
  ProbeSite site;
  FunctionExits exits;   ///< where they were asked for
  std::string declined;  ///< why there must be no probe at all
};

/// Reads what hooking needs of ELF files: in this process, which this class does, or in another one
/// (RemoteElfReader).
class ElfReader {
 public:
  ElfReader() = default;
  virtual ~ElfReader() = default;
  ElfReader(const ElfReader&) = delete;
  ElfReader& operator=(const ElfReader&) = delete;

  /// ElfImage::read(), and read_python_image() where `wanted` and the file have its function. An
  /// error says what kept it from being read.
  [[nodiscard]] virtual Result<ElfContents> read(int fd, std::span<const std::string> wanted);
  /// choose_sites(), and ExitFinder: one answer a request, in their order.
  [[nodiscard]] virtual Result<std::vector<HookPlace>> find_places(
      int fd, const ElfImage& image, std::span<const HookRequest> requests,
      const ClassSet& emulated);
  /// libpq_layout().
  [[nodiscard]] virtual std::optional<lt_pg_layout> find_libpq_layout(int fd,
                                                                      const ElfImage& image);
};

}  // namespace leaktrace::tracer
