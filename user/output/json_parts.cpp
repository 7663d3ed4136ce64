// SPDX-License-Identifier: Apache-2.0
#include "user/output/json_parts.h"

#include <fmt/format.h>

#include "user/output/reasons.h"

namespace leaktrace::output {
namespace {

template <typename T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

}  // namespace

std::string json_hex(std::uint64_t value) {
  return fmt::format("{:#x}", value);
}

Json json_target(const analyze::ReportTarget& target) {
  return {{"pid", target.pid},       {"comm", target.comm},
          {"exe", target.exe},       {"cgroup", target.cgroup},
          {"exited", target.exited}, {"wait_status", or_null(target.wait_status)}};
}

Json json_losses(const model::Losses& losses) {
  Json out = Json::object();
  for (std::size_t i = 0; i < losses.size(); ++i) {
    out[std::string(model::kLossNames[i])] = losses[i];
  }
  return out;
}

Json json_file_loss(const model::FileLoss& loss) {
  return {{"file", loss.path},
          {"subject", std::string(subject_name(loss.subject))},
          {"count", loss.count},
          {"why", loss.why}};
}

Json json_frame(const analyze::ReportFrame& frame) {
  return {{"function", frame.source.function}, {"file", frame.source.file},
          {"line", frame.source.line},         {"module", frame.module},
          {"build_id", frame.build_id},        {"offset", frame.offset},
          {"inlined", frame.source.inlined},   {"address", json_hex(frame.address)}};
}

Json json_estimate(const std::optional<analyze::Estimate>& estimate) {
  if (!estimate) return nullptr;
  return {{"confidence", 0.95},
          {"samples", estimate->samples},
          {"count_low", estimate->count.low},
          {"count_high", estimate->count.high},
          {"bytes_low", estimate->bytes.low},
          {"bytes_high", estimate->bytes.high},
          {"unseen_count", estimate->unseen_count},
          {"unseen_bytes", estimate->unseen_bytes}};
}

Json json_detail(const analyze::ReportSite& site) {
  Json out = Json::object();
  if (!site.detail) return out;
  out["sql"] = site.detail->sql;
  out["connection"] = site.detail->connection;
  out["connections"] = site.detail->connections;
  out["names"] = site.detail->names;
  out["state"] = site.detail->state;
  return out;
}

Json json_period(const analyze::Report& report) {
  return {{"start", utc_time(report.start_unix_ns)},
          {"seconds", report.seconds},
          {"intervals", report.intervals}};
}

Json json_mode(const analyze::Report& report) {
  return {{"sampling_bytes", report.sampling_bytes},
          {"sampling_bytes_now", report.sampling_bytes_now},
          {"budget_percent", or_null(report.budget_percent)},
          {"duty_percent", report.duty_percent}};
}

Json json_all(const analyze::Report& report) {
  return {{"sites", report.all_sites},
          {"outstanding",
           {{"count", report.all_outstanding_count}, {"bytes", report.all_outstanding_bytes}}},
          {"estimate", json_estimate(report.all_estimate)}};
}

std::string json_text(const Json& document) {
  return document.dump(2, ' ', false, Json::error_handler_t::replace) + '\n';
}

}  // namespace leaktrace::output
