// SPDX-License-Identifier: Apache-2.0
#include "user/app/replayed_trace.h"

#include "user/base/log.h"
#include "user/collect/record_sink.h"
#include "user/collect/replay.h"

namespace leaktrace::app {

Result<ReplayedTrace> replay_recording(const std::string& path, symbolize::Symbolizer& symbolizer) {
  auto source = collect::ReplaySource::open(path);
  if (!source) return source.unexpected();
  ReplayedTrace replayed;
  collect::TraceSink sink(replayed.trace);
  auto summary = source->replay(sink);
  if (!summary) return summary.unexpected();
  replayed.cut_off = summary->cut_off;
  if (!summary->reason.empty()) log::warning("{}: {}", path, summary->reason);
  if (summary->unknown_records > 0) {
    log::warning("{}: {} records of a newer leaktrace were left out", path,
                 summary->unknown_records);
  }
  for (const auto& [id, module] : replayed.trace.modules()) {
    symbolizer.add_module(
        {.id = id, .path = module.path, .build_id = module.build_id, .fd = UniqueFd(), .root = {}});
  }
  return replayed;
}

}  // namespace leaktrace::app
