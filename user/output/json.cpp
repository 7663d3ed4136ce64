// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "user/output/reasons.h"
#include "user/output/writers.h"

namespace leaktrace::output {
namespace {

using Json = nlohmann::ordered_json;

/// As text, because a JSON number keeps only 53 bits in most readers.
std::string hex(std::uint64_t value) {
  return fmt::format("{:#x}", value);
}

template <typename T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

Json target(const analyze::ReportTarget& target) {
  return {{"pid", target.pid},       {"comm", target.comm},
          {"exe", target.exe},       {"cgroup", target.cgroup},
          {"exited", target.exited}, {"wait_status", or_null(target.wait_status)}};
}

Json losses(const model::Losses& losses) {
  Json out = Json::object();
  for (std::size_t i = 0; i < losses.size(); ++i) {
    out[std::string(model::kLossNames[i])] = losses[i];
  }
  return out;
}

Json file_loss(const model::FileLoss& loss) {
  return {{"file", loss.path},
          {"subject", std::string(subject_name(loss.subject))},
          {"count", loss.count},
          {"why", loss.why}};
}

Json frame(const analyze::ReportFrame& frame) {
  return {{"function", frame.source.function}, {"file", frame.source.file},
          {"line", frame.source.line},         {"module", frame.module},
          {"build_id", frame.build_id},        {"offset", frame.offset},
          {"inlined", frame.source.inlined},   {"address", hex(frame.address)}};
}

Json block(const analyze::ReportBlock& block) {
  return {{"handle", hex(block.handle)},
          {"size", block.size},
          {"age_seconds", block.age_seconds},
          {"stands_for", block.stands_for}};
}

Json estimate(const std::optional<analyze::Estimate>& estimate) {
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

template <typename T, typename F>
Json array_of(const std::vector<T>& items, F to_json) {
  Json out = Json::array();
  for (const T& item : items) out.push_back(to_json(item));
  return out;
}

/// An empty object where there is no more to say of a site.
Json detail(const analyze::ReportSite& site) {
  Json out = Json::object();
  if (!site.detail) return out;
  out["sql"] = site.detail->sql;
  out["connection"] = site.detail->connection;
  out["connections"] = site.detail->connections;
  out["names"] = site.detail->names;
  out["state"] = site.detail->state;
  return out;
}

/// What a rule has left out of the sites.
Json suppression(const analyze::SuppressionUse& use) {
  return {{"entry", use.entry},
          {"reason", use.reason},
          {"expires", use.expires.empty() ? Json(nullptr) : Json(use.expires)},
          {"state", std::string(analyze::suppression_state_name(use.state))},
          {"sites", use.sites},
          {"outstanding", {{"count", use.outstanding_count}, {"bytes", use.outstanding_bytes}}},
          {"postgres_open", use.postgres_count}};
}

Json open_resource(const analyze::ReportOpen& open) {
  return {{"kind", std::string(model::kind_name(open.kind))},
          {"name", open.name},
          {"sql", open.sql},
          {"state", open.state},
          {"age_seconds", open.age_seconds},
          {"label", open.label}};
}

Json connection(const analyze::ReportConnection& connection) {
  Json out;
  out["pid"] = connection.pid;
  out["handle"] = hex(connection.handle);
  out["connection"] = connection.words;
  out["host"] = connection.host;
  out["port"] = connection.port;
  out["database"] = connection.database;
  out["user"] = connection.user;
  out["state"] = std::string(analyze::connection_state_name(connection.state));
  out["state_seconds"] = connection.state_seconds;
  out["transaction_seconds"] = connection.transaction_seconds;
  out["known_seconds"] = connection.known_seconds;
  out["seen_from_start"] = connection.from_start;
  out["open_total"] = connection.open_total;
  out["open"] = array_of(connection.open, open_resource);
  return out;
}

Json postgres(const analyze::Report& report) {
  Json out;
  for (const char* count : {"open", "opened", "closed"}) out[count] = Json::object();
  for (const auto& [kind, counters] : report.postgres) {
    const std::string name(model::kind_name(kind));
    out["open"][name] = counters.outstanding_count();
    out["opened"][name] = counters.acquired_count;
    out["closed"][name] = counters.released_count;
  }
  out["connections_total"] = report.all_connections;
  out["connections"] = array_of(report.connections, connection);
  return out;
}

Json site(const analyze::ReportSite& site) {
  Json out;
  out["pid"] = site.pid;
  out["kind"] = std::string(model::kind_name(site.kind));
  out["label"] = site.label;
  out["verdict"] = std::string(analyze::verdict_name(site.verdict));
  out["confidence"] = site.confidence;
  out["evidence"] = site.evidence;
  out["outstanding"] = {{"count", site.outstanding_count}, {"bytes", site.outstanding_bytes}};
  out["estimate"] = estimate(site.estimate);
  out["total"] = {{"acquired_count", site.total.acquired_count},
                  {"acquired_bytes", site.total.acquired_bytes},
                  {"released_count", site.total.released_count},
                  {"released_bytes", site.total.released_bytes}};
  out["growth"] = {{"bytes_per_second", site.bytes_per_second},
                   {"count_per_second", site.count_per_second},
                   {"low", site.growth_low},
                   {"high", site.growth_high}};
  out["oldest_seconds"] = site.oldest_seconds;
  out["oldest_exact"] = site.oldest_exact;
  out["detail"] = detail(site);
  out["stack_complete"] = site.stack_complete;
  out["stack_end"] = std::string(stack_end_name(site));
  out["frames_by_frame_pointer"] = site.by_frame_pointer;
  out["stack"] = array_of(site.stack, frame);
  if (!site.blocks.empty()) out["blocks"] = array_of(site.blocks, block);
  return out;
}

}  // namespace

std::string write_json(const analyze::Report& report) {
  Json out;
  out["version"] = 1;
  out["tool"] = {{"name", "leaktrace"}, {"version", report.tool_version}};
  out["target"] = array_of(report.targets, target);
  out["period"] = {{"start", utc_time(report.start_unix_ns)},
                   {"seconds", report.seconds},
                   {"intervals", report.intervals}};
  out["final"] = report.final;
  out["cut_off"] = report.cut_off;
  out["mode"] = {{"sampling_bytes", report.sampling_bytes},
                 {"sampling_bytes_now", report.sampling_bytes_now},
                 {"budget_percent", or_null(report.budget_percent)},
                 {"duty_percent", report.duty_percent}};
  out["filters"] = report.filters;
  out["overhead"] = {{"probe_hits", report.probe_hits},
                     {"nanoseconds_per_hit", report.nanoseconds_per_hit},
                     {"percent_of_target_cpu", report.percent_of_target_cpu}};
  out["losses"] = losses(report.losses);
  out["file_losses"] = array_of(report.file_losses, file_loss);
  out["stacks_recycled"] = report.stacks_recycled;
  out["all"] = {
      {"sites", report.all_sites},
      {"outstanding",
       {{"count", report.all_outstanding_count}, {"bytes", report.all_outstanding_bytes}}},
      {"estimate", estimate(report.all_estimate)}};
  out["suppressed"] = array_of(report.suppressed, suppression);
  out["sites"] = array_of(report.sites, site);
  out["postgres"] = postgres(report);
  return out.dump(2, ' ', false, Json::error_handler_t::replace) + '\n';
}

}  // namespace leaktrace::output
