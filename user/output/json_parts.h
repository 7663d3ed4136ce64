// SPDX-License-Identifier: Apache-2.0
// What the JSON of one trace and that of two have in common; the fields are those of the contract
// (tests/testdata/output/report.schema.json).
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "user/analyze/report.h"

namespace leaktrace::output {

using Json = nlohmann::ordered_json;

/// As text, because a JSON number keeps only 53 bits in most readers.
[[nodiscard]] std::string json_hex(std::uint64_t value);

[[nodiscard]] Json json_target(const analyze::ReportTarget& target);
[[nodiscard]] Json json_losses(const model::Losses& losses);
[[nodiscard]] Json json_file_loss(const model::FileLoss& loss);
[[nodiscard]] Json json_not_seen(const model::NotSeen& not_seen);
[[nodiscard]] Json json_frame(const analyze::ReportFrame& frame);
/// Null where the amount is exact.
[[nodiscard]] Json json_estimate(const std::optional<analyze::Estimate>& estimate);
/// An empty object where there is no more to say of a site.
[[nodiscard]] Json json_detail(const analyze::ReportSite& site);
[[nodiscard]] Json json_period(const analyze::Report& report);
[[nodiscard]] Json json_mode(const analyze::Report& report);
/// What is outstanding over all sites of memory.
[[nodiscard]] Json json_all(const analyze::Report& report);

template <typename T, typename F>
[[nodiscard]] Json array_of(const std::vector<T>& items, F to_json) {
  Json out = Json::array();
  for (const T& item : items) out.push_back(to_json(item));
  return out;
}

/// The document as it is written: bytes that are no UTF-8 are replaced.
[[nodiscard]] std::string json_text(const Json& document);

}  // namespace leaktrace::output
