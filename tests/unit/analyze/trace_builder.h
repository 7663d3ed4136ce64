// SPDX-License-Identifier: Apache-2.0
// A trace from a few short lines, for tests of the report.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "user/analyze/report.h"

namespace leaktrace::analyze {

inline constexpr std::uint64_t kSecond = 1'000'000'000;

class TraceBuilder {
 public:
  TraceBuilder() {
    model::TraceStart start;
    start.unix_ns = 1'767'225'600 * static_cast<std::int64_t>(kSecond);
    start.tool_version = "0.1.0";
    trace_.apply(start);
    trace_.apply(model::Module{model::ModuleId{1}, "/usr/bin/server", "ab12"});
  }

  TraceBuilder& start(const model::TraceStart& start) { return apply(start); }

  TraceBuilder& process(std::uint32_t image, std::uint32_t pid, const std::string& comm,
                        std::uint64_t since_ns = 0) {
    return apply(
        model::Process{model::ImageId{image}, pid, comm, "/usr/bin/" + comm, "/cg", since_ns});
  }

  TraceBuilder& end(std::uint32_t image, model::EndReason reason, std::uint64_t at_ns,
                    std::uint32_t status = 0) {
    return apply(model::ProcessEnd{model::ImageId{image}, reason, status, at_ns});
  }

  /// A stack of frames with those offsets in /usr/bin/server, innermost first.
  TraceBuilder& stack(std::uint64_t id, std::vector<std::uint64_t> offsets,
                      model::StackEnd stack_end = model::StackEnd::complete) {
    model::Stack stack{model::StackId{id}, model::ImageId{1}, stack_end, {}};
    for (std::uint64_t offset : offsets) {
      stack.frames.push_back({0x550000000000 + offset, model::ModuleId{1}, offset});
    }
    return apply(stack);
  }

  TraceBuilder& read(std::uint64_t at_ns, std::vector<model::SiteCounters> sites) {
    return apply(model::Snapshot{at_ns, std::move(sites), {}, 0});
  }

  TraceBuilder& walk(std::uint64_t at_ns, std::vector<model::Block> blocks) {
    return apply(model::Blocks{at_ns, std::move(blocks)});
  }

  TraceBuilder& apply(const model::Record& record) {
    trace_.apply(record);
    return *this;
  }

  [[nodiscard]] const model::Trace& trace() const { return trace_; }

 private:
  model::Trace trace_;
};

inline model::SiteKey site_key(std::uint64_t stack, std::uint32_t image = 1,
                               model::Kind kind = model::Kind::heap) {
  return {model::StackId{stack}, model::ImageId{image}, kind};
}

/// Names the frame at offset 0x10 "f10", at 0x20 "f20" inlined from "g20", others not at all.
inline std::vector<model::SourceFrame> test_namer(const model::Trace&,
                                                  const model::RawFrame& frame) {
  if (frame.offset == 0x10) return {{"f10", "f.c", 10, false}};
  if (frame.offset == 0x20) return {{"f20", "f.h", 20, true}, {"g20", "g.c", 21, false}};
  return {{}};
}

inline Result<Report> report_of(const TraceBuilder& builder, const ReportOptions& options = {}) {
  return build_report(builder.trace(), options, test_namer);
}

}  // namespace leaktrace::analyze
