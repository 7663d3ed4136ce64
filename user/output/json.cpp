// SPDX-License-Identifier: Apache-2.0
#include "user/output/json_parts.h"
#include "user/output/reasons.h"
#include "user/output/writers.h"

namespace leaktrace::output {
namespace {

Json block(const analyze::ReportBlock& block) {
  return {{"handle", json_hex(block.handle)},
          {"size", block.size},
          {"age_seconds", block.age_seconds},
          {"stands_for", block.stands_for}};
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
  out["handle"] = json_hex(connection.handle);
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
  out["estimate"] = json_estimate(site.estimate);
  out["total"] = {{"acquired_count", site.total.acquired_count},
                  {"acquired_bytes", site.total.acquired_bytes},
                  {"released_count", site.total.released_count},
                  {"released_bytes", site.total.released_bytes}};
  out["growth"] = {{"bytes_per_second", site.bytes_per_second},
                   {"count_per_second", site.count_per_second},
                   {"low", site.growth_low},
                   {"high", site.growth_high},
                   {"count_low", site.count_low},
                   {"count_high", site.count_high}};
  out["seconds_to_limit"] = site.seconds_to_limit ? Json(*site.seconds_to_limit) : Json(nullptr);
  out["oldest_seconds"] = site.oldest_seconds;
  out["oldest_exact"] = site.oldest_exact;
  out["detail"] = json_detail(site);
  out["stack_complete"] = site.stack_complete;
  out["stack_end"] = std::string(stack_end_name(site));
  out["frames_by_frame_pointer"] = site.by_frame_pointer;
  out["stack"] = array_of(site.stack, json_frame);
  if (!site.blocks.empty()) out["blocks"] = array_of(site.blocks, block);
  return out;
}

}  // namespace

std::string write_json(const analyze::Report& report) {
  Json out;
  out["version"] = 1;
  out["tool"] = {{"name", "leaktrace"}, {"version", report.tool_version}};
  out["target"] = array_of(report.targets, json_target);
  out["period"] = json_period(report);
  out["final"] = report.final;
  out["cut_off"] = report.cut_off;
  out["mode"] = json_mode(report);
  out["filters"] = report.filters;
  out["overhead"] = {{"probe_hits", report.probe_hits},
                     {"nanoseconds_per_hit", report.nanoseconds_per_hit},
                     {"percent_of_target_cpu", report.percent_of_target_cpu}};
  out["losses"] = json_losses(report.losses);
  out["file_losses"] = array_of(report.file_losses, json_file_loss);
  out["not_seen"] = array_of(report.not_seen, json_not_seen);
  out["stacks_recycled"] = report.stacks_recycled;
  out["all"] = json_all(report);
  out["growing"] = {{"sites", report.growing_sites},
                    {"bytes_per_second", report.growing_bytes_per_second}};
  out["suppressed"] = array_of(report.suppressed, suppression);
  out["sites"] = array_of(report.sites, site);
  out["postgres"] = postgres(report);
  return json_text(out);
}

}  // namespace leaktrace::output
