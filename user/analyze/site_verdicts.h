// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <span>

#include "user/analyze/report.h"
#include "user/model/trace.h"

namespace leaktrace::analyze {

/// A site of a trace, and where what is said of it goes; neither is owned.
struct SiteToJudge {
  model::SiteKey key;
  const model::Site* site = nullptr;
  ReportSite* out = nullptr;
};

/// Judges these sites together and writes verdict, confidence, evidence and, unless undecided, the
/// rates of each. `end_of`: the newest reading of an image, or when it ended.
void judge_sites(const model::Trace& trace, std::span<const SiteToJudge> sites,
                 const std::function<std::uint64_t(model::ImageId)>& end_of);

}  // namespace leaktrace::analyze
