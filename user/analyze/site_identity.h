// SPDX-License-Identifier: Apache-2.0
// How a call site is recognized in another recording, where addresses, process ids, and perhaps the
// program itself are other ones.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "user/analyze/report.h"

namespace leaktrace::analyze {

/// A function's name without what one build of it adds: "f(int) [clone .cold]" and "f.part.0" give
/// "f(int)" and "f".
[[nodiscard]] std::string_view name_over_builds(std::string_view function);

/// A file's base name without what one version or one process adds: "libfoo.so.1.2" gives
/// "libfoo.so", "perf-1234.map" gives "perf.map".
[[nodiscard]] std::string file_over_builds(std::string_view path);

/// Keys under which the sites of two reports meet. Addresses are in none of them. Processes are
/// known by the name of their executable, so that a program that was started again, or that has
/// more workers now, is the same; where each recording holds one program only, these two are the
/// same whatever they are called.
class SiteIdentity {
 public:
  enum class Side { older, newer };

  SiteIdentity(const Report& older, const Report& newer);

  /// Each report is of one program, whatever its name is in each.
  [[nodiscard]] bool is_one_program() const { return one_program_; }

  /// The same code: each frame by build id and offset. Where a file has no build id: by name,
  /// offset and function; Python and just-in-time code by function, file and line.
  [[nodiscard]] std::string exact(Side side, const ReportSite& site) const;

  /// The same functions: frames of files whose build is another one in the other recording, or that
  /// have no build id, by file and function alone; the rest as in exact(). Nothing where that would
  /// not name the site: the function that stands for it has no name.
  [[nodiscard]] std::optional<std::string> by_names(Side side, const ReportSite& site) const;

 private:
  struct Program {
    std::string name;
    std::string exe;
  };
  /// What is known of one report.
  struct Known {
    std::map<std::uint32_t, Program> programs;            ///< by pid
    std::map<std::string, std::set<std::string>> builds;  ///< build ids, by file
  };

  [[nodiscard]] const Known& known(Side side) const { return known_[side == Side::older ? 0 : 1]; }
  void learn_builds(Known& of, const Report& report) const;
  [[nodiscard]] static std::string file(const ReportFrame& frame, const Program& program);
  [[nodiscard]] static Program program(const Known& of, const ReportSite& site);
  [[nodiscard]] bool was_rebuilt(const ReportFrame& frame, const std::string& file) const;
  [[nodiscard]] static std::string begin(const Program& program, const ReportSite& site);
  static void add_exact(std::string& key, const ReportFrame& frame, const std::string& file);

  bool one_program_ = false;
  std::array<Known, 2> known_;  ///< older, newer
};

}  // namespace leaktrace::analyze
