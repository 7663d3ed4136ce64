// SPDX-License-Identifier: Apache-2.0
// Reports of a few short lines, for tests of what compares them.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "user/analyze/label.h"
#include "user/analyze/report.h"

namespace leaktrace::analyze {

inline constexpr std::uint64_t kKiB = 1024;

/// A frame of a file; the build id is that of the file's `build`, empty for none.
inline ReportFrame frame_of(const std::string& module, const std::string& build,
                            const std::string& function, std::uint64_t offset,
                            std::uint32_t line = 0) {
  return {{function, line == 0 ? "" : "src/" + function + ".c", line, false},
          module,
          build,
          offset,
          0x550000000000 + offset};
}

/// A report of /usr/bin/server, which is another process in each test that says so.
class ReportBuilder {
 public:
  explicit ReportBuilder(std::uint32_t pid = 100) { target(pid, "server"); }

  ReportBuilder& target(std::uint32_t pid, const std::string& comm) {
    return executable(pid, comm, "/usr/bin/" + comm);
  }

  ReportBuilder& executable(std::uint32_t pid, const std::string& comm, const std::string& exe) {
    report_.targets.push_back({pid, comm, exe, "/", false, {}});
    return *this;
  }

  /// Adds a site of the last target.
  ReportSite& site(std::vector<ReportFrame> stack, std::uint64_t count, std::uint64_t bytes,
                   model::Kind kind = model::Kind::heap) {
    ReportSite& site = report_.sites.emplace_back();
    site.pid = report_.targets.back().pid;
    site.comm = report_.targets.back().comm;
    site.kind = kind;
    site.outstanding_count = count;
    site.outstanding_bytes = bytes;
    site.stack_complete = true;
    site.label = site_label(stack);
    site.stack = std::move(stack);
    return site;
  }

  [[nodiscard]] Report& report() { return report_; }

 private:
  Report report_;
};

}  // namespace leaktrace::analyze
