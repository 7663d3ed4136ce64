// SPDX-License-Identifier: Apache-2.0
#include "user/output/diff_writers.h"
#include "user/output/json_parts.h"
#include "user/output/reasons.h"

namespace leaktrace::output {
namespace {

using analyze::DiffAmount;
using analyze::DiffPair;

Json recording(const analyze::DiffRecording& recording) {
  const analyze::Report& report = recording.report;
  Json out;
  out["recording"] = recording.name;
  out["tool_version"] = report.tool_version;
  out["target"] = array_of(report.targets, json_target);
  out["period"] = json_period(report);
  out["cut_off"] = report.cut_off;
  out["mode"] = json_mode(report);
  out["filters"] = report.filters;
  out["losses"] = json_losses(report.losses);
  out["file_losses"] = array_of(report.file_losses, json_file_loss);
  out["not_seen"] = array_of(report.not_seen, json_not_seen);
  out["stacks_recycled"] = report.stacks_recycled;
  out["all"] = json_all(report);
  return out;
}

Json amount(const DiffAmount& amount) {
  return {{"count", amount.count},
          {"bytes", amount.bytes},
          {"sites", amount.sites},
          {"estimate", json_estimate(amount.estimate)}};
}

Json amounts_per_second(double count, double bytes) {
  return {{"count", count}, {"bytes", bytes}};
}

Json limits(const DiffPair& pair) {
  if (!pair.count_limits || !pair.bytes_limits) return nullptr;
  return {{"confidence", 0.95},
          {"count_low", pair.count_limits->low},
          {"count_high", pair.count_limits->high},
          {"bytes_low", pair.bytes_limits->low},
          {"bytes_high", pair.bytes_limits->high}};
}

/// The fields that a site and a kind have in common.
void put_amounts(Json& out, const DiffPair& pair) {
  const DiffAmount& older = pair.older;
  const DiffAmount& newer = pair.newer;
  out["old"] = amount(older);
  out["new"] = amount(newer);
  out["difference"] = {{"count", pair.count_difference()}, {"bytes", pair.bytes_difference()}};
  out["difference_limits"] = limits(pair);
  out["per_second"] = {
      {"old", amounts_per_second(older.count_per_second, older.bytes_per_second)},
      {"new", amounts_per_second(newer.count_per_second, newer.bytes_per_second)},
      {"difference", amounts_per_second(newer.count_per_second - older.count_per_second,
                                        newer.bytes_per_second - older.bytes_per_second)}};
}

Json changes(const analyze::DiffKind& kind) {
  Json out = Json::object();
  for (const analyze::DiffChange change : analyze::kDiffChanges) {
    const auto found = kind.changes.find(change);
    const analyze::DiffSum sum = found == kind.changes.end() ? analyze::DiffSum{} : found->second;
    out[std::string(analyze::change_name(change))] = {{"sites", sum.sites},
                                                      {"within_sampling", sum.within_sampling},
                                                      {"count", sum.count},
                                                      {"bytes", sum.bytes}};
  }
  return out;
}

Json kinds(const analyze::Diff& diff) {
  Json out = Json::object();
  for (const auto& [kind, sums] : diff.kinds) {
    Json& entry = out[std::string(model::kind_name(kind))];
    put_amounts(entry, sums.amounts);
    entry["changes"] = changes(sums);
  }
  return out;
}

Json site(const analyze::DiffSite& site) {
  Json out;
  out["change"] = std::string(analyze::change_name(site.change));
  out["within_sampling"] = site.within_sampling;
  out["kind"] = std::string(model::kind_name(site.site.kind));
  out["label"] = site.site.label;
  out["comm"] = site.site.comm;
  put_amounts(out, site.amounts);
  out["matched_by_names"] = site.by_names;
  out["detail"] = json_detail(site.site);
  out["stack_complete"] = site.site.stack_complete;
  out["stack_end"] = std::string(stack_end_name(site.site));
  out["stack"] = array_of(site.site.stack, json_frame);
  return out;
}

}  // namespace

std::string write_diff_json(const analyze::Diff& diff) {
  Json out;
  out["version"] = 1;
  out["tool"] = {{"name", "leaktrace"}, {"version", diff.tool_version}};
  out["old"] = recording(diff.older);
  out["new"] = recording(diff.newer);
  out["kinds"] = kinds(diff);
  out["sites"] = array_of(diff.sites, site);
  return json_text(out);
}

}  // namespace leaktrace::output
