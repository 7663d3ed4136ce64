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

Json memory_limit(const analyze::ReportMemory& memory) {
  const model::MemoryLimit& limit = memory.now.limit;
  if (limit.bytes == 0) return nullptr;
  return {{"cgroup", limit.cgroup.empty() ? Json(nullptr) : Json(limit.cgroup)},
          {"bytes", limit.bytes},
          {"used_bytes", limit.used_bytes},
          {"seconds_left", or_null(memory.seconds_to_limit)}};
}

/// In columns: element i of each belongs to reading i.
Json memory_series(const std::vector<model::ProcessMemory>& series) {
  Json out;
  for (const model::ProcessMemory& reading : series) {
    out["seconds"].push_back(static_cast<double>(reading.at_ns) / 1e9);
    out["resident_bytes"].push_back(reading.resident_bytes);
    out["anonymous_bytes"].push_back(reading.anonymous_bytes);
    out["swapped_bytes"].push_back(reading.swapped_bytes);
    out["heap_bytes"].push_back(reading.heap_bytes);
    out["minor_faults"].push_back(reading.minor_faults);
    out["major_faults"].push_back(reading.major_faults);
  }
  return out;
}

Json memory(const analyze::ReportMemory& memory) {
  return {{"resident_bytes", memory.now.resident_bytes},
          {"anonymous_bytes", memory.now.anonymous_bytes},
          {"swapped_bytes", memory.now.swapped_bytes},
          {"heap_bytes", memory.now.heap_bytes},
          {"seconds", memory.seconds},
          {"growth_bytes", memory.growth_bytes},
          {"growing_sites_bytes", memory.growing_sites_bytes},
          {"growing_sites_high", memory.growing_sites_high},
          {"other_sites_bytes", memory.other_sites_bytes},
          {"unexplained_bytes", memory.unexplained_bytes},
          {"minor_faults_per_second", memory.minor_faults_per_second},
          {"major_faults_per_second", memory.major_faults_per_second},
          {"limit", memory_limit(memory)},
          {"series", memory_series(memory.series)}};
}

}  // namespace

std::string json_hex(std::uint64_t value) {
  return fmt::format("{:#x}", value);
}

Json json_target(const analyze::ReportTarget& target) {
  return {{"pid", target.pid},
          {"comm", target.comm},
          {"exe", target.exe},
          {"cgroup", target.cgroup},
          {"exited", target.exited},
          {"wait_status", or_null(target.wait_status)},
          {"memory", target.memory ? memory(*target.memory) : Json(nullptr)}};
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

Json json_not_seen(const model::NotSeen& not_seen) {
  return {{"what", std::string(unseen_subject_name(not_seen.what))},
          {"name", not_seen.name},
          {"why", not_seen.why},
          {"advice", not_seen.advice}};
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
