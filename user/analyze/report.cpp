// SPDX-License-Identifier: Apache-2.0
#include "user/analyze/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <tuple>
#include <unordered_map>

#include "user/analyze/growth.h"
#include "user/analyze/label.h"
#include "user/analyze/memory.h"
#include "user/analyze/not_seen.h"
#include "user/analyze/site_verdicts.h"
#include "user/analyze/words.h"

namespace leaktrace::analyze {
namespace {

using model::ImageId;
using model::SiteKey;
using model::Trace;
using model::TracedProcess;

double seconds_between(std::uint64_t from_ns, std::uint64_t to_ns) {
  return to_ns > from_ns ? static_cast<double>(to_ns - from_ns) / 1e9 : 0;
}

/// What the single blocks of a site say.
struct SiteBlocks {
  std::uint64_t number = 0;
  Outstanding outstanding;
  double oldest_seconds = 0;
  std::vector<ReportBlock> blocks;
};

/// A site on its way into the report; `site` gets its stack and label only when it is kept.
struct Candidate {
  SiteKey key;
  Outstanding outstanding;
  ReportSite site;
};

/// The options against how the trace was taken: which of them filter, and in which words.
class Filter {
 public:
  Filter(const Trace& trace, const ReportOptions& options)
      : options_(options),
        traced_min_(trace.start().min_size),
        traced_max_(trace.start().max_size),
        sampled_(trace.start().sampling_bytes > 0),
        by_size_(options.min_size > traced_min_ || options.max_size < traced_max_) {}

  [[nodiscard]] bool needs_blocks() const {
    return by_size_ || options_.older_seconds.has_value() || options_.show_blocks;
  }

  [[nodiscard]] bool passes(model::Kind kind) const {
    return options_.kinds.empty() ||
           std::find(options_.kinds.begin(), options_.kinds.end(), kind) != options_.kinds.end();
  }

  [[nodiscard]] bool passes(const ReportBlock& block) const {
    return block.size >= options_.min_size && block.size <= options_.max_size &&
           (!options_.older_seconds || block.age_seconds >= *options_.older_seconds);
  }

  [[nodiscard]] std::string words() const {
    std::vector<std::string> parts;
    if (!options_.kinds.empty()) parts.push_back("only " + kinds());
    const std::uint64_t least = std::max(options_.min_size, traced_min_);
    const std::uint64_t most = std::min(options_.max_size, traced_max_);
    if (least > 0) parts.push_back(fmt::format("blocks of {} and more", human_bytes(least)));
    if (most < UINT64_MAX) parts.push_back(fmt::format("blocks of {} and less", human_bytes(most)));
    if (options_.older_seconds) {
      parts.push_back("blocks that are " + human_seconds(*options_.older_seconds) + " old or more");
    }
    if (sampled_ && needs_blocks()) {
      parts.emplace_back("single blocks are samples, counted as those that they stand for");
    }
    return fmt::format("{}", fmt::join(parts, "; "));
  }

 private:
  [[nodiscard]] std::string kinds() const {
    std::string names;
    for (model::Kind kind : options_.kinds) {
      if (!names.empty()) names += ", ";
      names += model::kind_name(kind);
    }
    return names;
  }

  const ReportOptions& options_;
  std::uint64_t traced_min_;
  std::uint64_t traced_max_;
  bool sampled_;
  bool by_size_;
};

/// Builds one report; holds what its steps share.
class Builder {
 public:
  Builder(const Trace& trace, const ReportOptions& options, const Namer& namer)
      : trace_(trace), options_(options), namer_(namer), filter_(trace, options), memory_(trace) {}

  [[nodiscard]] Result<Report> build() {
    if (filter_.needs_blocks() && !trace_.blocks()) {
      return fail(
          "ages, sizes and lists of single blocks need the walk of all blocks that is made "
          "when tracing ends, and this trace has none",
          "let tracing end in order, or leave out --older, --min-size, --max-size and the "
          "list of blocks");
    }
    read_periods();
    read_blocks();
    std::vector<Candidate> candidates = collect();
    Report report = head();
    add_totals(candidates, report);
    report.sites = choose_all(std::move(candidates));
    add_postgres_totals(report);
    add_connections(report);
    return report;
  }

 private:
  [[nodiscard]] Report head() const;
  [[nodiscard]] std::vector<ReportTarget> targets() const;
  void read_periods();
  void read_blocks();
  [[nodiscard]] std::vector<Candidate> collect();
  [[nodiscard]] std::optional<Candidate> candidate(const SiteKey& key,
                                                   const model::Site& site) const;
  void judge(std::vector<Candidate>& candidates);
  void foresee_limit(Candidate& candidate) const;
  void add_totals(const std::vector<Candidate>& candidates, Report& report) const;
  [[nodiscard]] bool count_outstanding(const model::Site& site, Candidate& out) const;
  void find_oldest(const SiteKey& key, const model::Site& site, ReportSite& out) const;
  [[nodiscard]] std::vector<ReportSite> choose_all(std::vector<Candidate> candidates) const;
  [[nodiscard]] std::vector<ReportSite> choose(std::vector<Candidate> candidates) const;
  void add_detail(const SiteKey& key, ReportSite& out) const;
  void add_postgres_totals(Report& report) const;
  void add_connections(Report& report) const;
  void name(Candidate& candidate) const;
  [[nodiscard]] ReportFrame frame(const model::RawFrame& raw) const;
  [[nodiscard]] const TracedProcess* process(ImageId image) const;
  /// Where ages of the image are measured from: now, or its end if that was earlier.
  [[nodiscard]] std::uint64_t end_of(ImageId image, std::uint64_t now_ns) const;

  const Trace& trace_;
  const ReportOptions& options_;
  const Namer& namer_;
  Filter filter_;
  MemoryAccount memory_;
  std::unordered_map<ImageId, Period> periods_;
  std::unordered_map<SiteKey, SiteBlocks> blocks_;
};

const TracedProcess* Builder::process(ImageId image) const {
  const auto found = trace_.processes().find(image);
  // An end without a beginning makes an entry that knows no process.
  if (found == trace_.processes().end() || found->second.process.pid == 0) return nullptr;
  return &found->second;
}

std::uint64_t Builder::end_of(ImageId image, std::uint64_t now_ns) const {
  const TracedProcess* found = process(image);
  return found != nullptr && found->end ? std::min(now_ns, found->end->at_ns) : now_ns;
}

std::vector<ReportTarget> Builder::targets() const {
  std::map<std::uint32_t, const TracedProcess*> newest;  // by pid
  for (const auto& [image, traced] : trace_.processes()) {
    if (process(image) == nullptr) continue;
    if (traced.end && traced.end->reason == model::EndReason::replaced) continue;
    const TracedProcess*& known = newest[traced.process.pid];
    if (known == nullptr || known->process.since_ns <= traced.process.since_ns) known = &traced;
  }
  std::vector<ReportTarget> targets;
  for (const auto& [pid, traced] : newest) {
    const model::Process& from = traced->process;
    ReportTarget& target = targets.emplace_back();
    target.pid = pid;
    target.comm = from.comm;
    target.exe = from.exe;
    target.cgroup = from.cgroup;
    target.exited = traced->end.has_value();
    if (traced->end) target.wait_status = traced->end->wait_status;
    target.memory = memory_.of(from.image);
  }
  return targets;
}

Report Builder::head() const {
  Report report;
  report.tool_version = trace_.start().tool_version;
  report.targets = targets();
  report.start_unix_ns = trace_.start().unix_ns;
  report.seconds = seconds_between(0, trace_.now_ns());
  report.intervals = trace_.snapshots();
  report.final = trace_.ended();
  const model::Overhead& overhead = trace_.overhead();
  report.sampling_bytes = trace_.start().sampling_bytes;
  report.sampling_bytes_now = std::max(report.sampling_bytes, overhead.sampling_bytes);
  if (trace_.start().budget_percent > 0) report.budget_percent = trace_.start().budget_percent;
  report.duty_percent = 100 * trace_.observed_share();
  report.probe_hits = trace_.probe_hits();
  report.nanoseconds_per_hit = overhead.nanoseconds_per_hit;
  report.percent_of_target_cpu = overhead.percent_of_target_cpu;
  report.losses = trace_.losses();
  for (const auto& [file, loss] : trace_.file_losses()) report.file_losses.push_back(loss);
  report.not_seen = not_seen(trace_);
  report.stacks_recycled = trace_.recycled_stacks();
  report.filters = filter_.words();
  return report;
}

void Builder::read_periods() {
  for (const auto& [key, site] : trace_.sites()) {
    const std::uint64_t first = trace_.readings(key.image).first_ns;
    periods_.try_emplace(key.image, Period{first, end_of(key.image, trace_.now_ns())});
  }
}

void Builder::read_blocks() {
  if (!trace_.blocks()) return;
  for (const model::Block& block : trace_.blocks()->blocks) {
    const std::uint64_t now = end_of(block.site.image, trace_.blocks()->at_ns);
    const ReportBlock seen{block.handle, block.size, seconds_between(block.acquired_ns, now),
                           block.stands_for};
    if (!filter_.passes(seen)) continue;
    SiteBlocks& site = blocks_[block.site];
    ++site.number;
    site.outstanding.add_block(seen.size, seen.stands_for);
    site.oldest_seconds = std::max(site.oldest_seconds, seen.age_seconds);
    if (options_.show_blocks) site.blocks.push_back(seen);
  }
}

std::vector<Candidate> Builder::collect() {
  std::vector<Candidate> candidates;
  for (const auto& [key, site] : trace_.sites()) {
    if (!filter_.passes(key.kind)) continue;
    if (auto found = candidate(key, site)) candidates.push_back(std::move(*found));
  }
  judge(candidates);
  return candidates;
}

void Builder::judge(std::vector<Candidate>& candidates) {
  std::vector<SiteToJudge> sites;
  sites.reserve(candidates.size());
  for (Candidate& candidate : candidates) {
    sites.push_back({candidate.key, &trace_.sites().at(candidate.key), &candidate.site});
  }
  judge_sites(trace_, sites, [this](ImageId image) { return end_of(image, trace_.now_ns()); });
  for (Candidate& candidate : candidates) {
    if (candidate.site.verdict != Verdict::growing) continue;
    memory_.add_growing(candidate.key, candidate.site.bytes_per_second);
    foresee_limit(candidate);
  }
}

void Builder::foresee_limit(Candidate& candidate) const {
  if (model::is_postgres(candidate.key.kind)) return;
  ReportSite& site = candidate.site;
  site.seconds_to_limit = memory_.seconds_to_limit(candidate.key.image, site.bytes_per_second);
  if (!site.seconds_to_limit) return;
  site.evidence += fmt::format("; at this rate {} is reached in {}",
                               limit_words(trace_.memory(candidate.key.image)->newest().limit),
                               human_seconds(*site.seconds_to_limit));
}

void Builder::add_totals(const std::vector<Candidate>& candidates, Report& report) const {
  Outstanding all;
  for (const Candidate& candidate : candidates) {
    if (candidate.site.verdict == Verdict::growing) {
      ++report.growing_sites;
      report.growing_bytes_per_second += candidate.site.bytes_per_second;
    }
    if (model::is_postgres(candidate.key.kind)) continue;
    ++report.all_sites;
    report.all_outstanding_count += candidate.site.outstanding_count;
    report.all_outstanding_bytes += candidate.site.outstanding_bytes;
    all.add(candidate.outstanding);
  }
  report.all_estimate = all.estimate();
  // Mappings are never sampled: where no others are asked for, nothing is unknown.
  if (report.sampling_bytes_now > 0 && all.samples() == 0 && filter_.passes(model::Kind::heap)) {
    report.all_estimate = all.estimate_without_samples(report.sampling_bytes_now);
  }
}

bool Builder::count_outstanding(const model::Site& site, Candidate& out) const {
  if (filter_.needs_blocks()) {
    const auto walked = blocks_.find(out.key);
    if (walked == blocks_.end()) return false;
    out.outstanding = walked->second.outstanding;
    out.site.blocks = walked->second.blocks;
    out.site.outstanding_count = out.outstanding.count();
    out.site.outstanding_bytes = out.outstanding.bytes();
  } else {
    out.outstanding = Outstanding(site.counters);
    out.site.outstanding_count = site.counters.outstanding_count();
    out.site.outstanding_bytes = site.counters.outstanding_bytes();
    if (out.site.outstanding_count == 0 && out.site.outstanding_bytes == 0) return false;
  }
  out.site.estimate = out.outstanding.estimate();
  return true;
}

void Builder::find_oldest(const SiteKey& key, const model::Site& site, ReportSite& out) const {
  const model::Estimate& estimate = site.counters.estimate;
  const std::uint64_t held =
      estimate.acquired_samples > 0 ? estimate.outstanding_samples() : out.outstanding_count;
  const auto walked = blocks_.find(key);
  // A walk that found other blocks than the counters say was taken at another moment. Blocks that
  // are presumed released may be the oldest that it found.
  out.oldest_exact = walked != blocks_.end() && estimate.unseen_count == 0 &&
                     (walked->second.number == held || filter_.needs_blocks());
  const std::uint64_t now = end_of(key.image, trace_.now_ns());
  out.oldest_seconds = out.oldest_exact ? walked->second.oldest_seconds
                                        : seconds_between(site.counters.since_ns, now);
}

std::optional<Candidate> Builder::candidate(const SiteKey& key, const model::Site& site) const {
  Candidate made{key, {}, {}};
  ReportSite& out = made.site;
  if (!count_outstanding(site, made)) return std::nullopt;
  find_oldest(key, site, out);
  if (const TracedProcess* owner = process(key.image)) {
    out.pid = owner->process.pid;
    out.comm = owner->process.comm;
  }
  out.kind = key.kind;
  out.total = site.counters;
  const auto period = periods_.find(key.image);
  const Change change = change_of(site, period == periods_.end() ? Period{} : period->second);
  const auto estimate = Outstanding(site.counters).estimate();  // of all blocks, as the change is
  const double observed = key.kind == model::Kind::pg_connection ? 1 : trace_.observed_share();
  const RateLimits limits =
      rate_limits(change, estimate ? std::optional(estimate->bytes) : std::nullopt, observed);
  out.bytes_per_second = change.bytes_per_second();
  out.count_per_second = change.count_per_second();
  out.growth_low = limits.low;
  out.growth_high = limits.high;
  return made;
}

void Builder::add_detail(const SiteKey& key, ReportSite& out) const {
  const model::SiteDetail* detail = trace_.detail(key);
  if (detail == nullptr) return;
  out.detail = ReportDetail{detail->sql, detail->connection, detail->state, detail->names,
                            detail->connections};
}

void Builder::add_postgres_totals(Report& report) const {
  for (const auto& [key, site] : trace_.sites()) {
    if (!model::is_postgres(key.kind) || !filter_.passes(key.kind)) continue;
    report.postgres[key.kind].add(site.counters);
  }
}

void Builder::add_connections(Report& report) const {
  const bool any = std::ranges::any_of(model::kKinds, [&](model::Kind kind) {
    return model::is_postgres(kind) && filter_.passes(kind);
  });
  if (!any || !trace_.connections()) return;
  std::map<model::StackId, std::string> labels;
  const auto label = [&](model::StackId stack) -> std::string {
    auto [known, is_new] = labels.try_emplace(stack);
    if (is_new) {
      Candidate named{{stack, {}, model::Kind::pg_cursor}, {}, {}};
      name(named);
      known->second = named.site.label;
    }
    return known->second;
  };
  report.all_connections = trace_.connections()->count;
  report.connections = report_connections(
      trace_, [&](model::Kind kind) { return filter_.passes(kind); }, label);
}

// What is counted and what is weighed cannot be ranked together.
std::vector<ReportSite> Builder::choose_all(std::vector<Candidate> candidates) const {
  const auto rest = std::stable_partition(
      candidates.begin(), candidates.end(),
      [](const Candidate& candidate) { return !model::is_postgres(candidate.key.kind); });
  std::vector<Candidate> postgres(std::make_move_iterator(rest),
                                  std::make_move_iterator(candidates.end()));
  candidates.erase(rest, candidates.end());
  std::vector<ReportSite> sites = choose(std::move(candidates));
  std::ranges::move(choose(std::move(postgres)), std::back_inserter(sites));
  return sites;
}

std::vector<ReportSite> Builder::choose(std::vector<Candidate> candidates) const {
  const auto size = [](const Candidate& c) {
    const bool by_number = model::is_postgres(c.key.kind);
    const bool grows = c.site.verdict == Verdict::growing;
    return by_number ? std::make_tuple(grows, c.site.outstanding_count, c.site.outstanding_bytes)
                     : std::make_tuple(grows, c.site.outstanding_bytes, c.site.outstanding_count);
  };
  std::sort(candidates.begin(), candidates.end(),
            [&](const Candidate& a, const Candidate& b) { return size(a) > size(b); });
  const std::size_t top = options_.top.value_or(candidates.size());
  // Naming a stack is dear. It is done for what is kept, and for what ties with the last of those.
  std::size_t named = std::min(top, candidates.size());
  while (named > 0 && named < candidates.size() &&
         size(candidates[named]) == size(candidates[named - 1])) {
    ++named;
  }
  candidates.erase(candidates.begin() + static_cast<std::ptrdiff_t>(named), candidates.end());
  for (Candidate& candidate : candidates) name(candidate);
  std::sort(candidates.begin(), candidates.end(), [&](const Candidate& a, const Candidate& b) {
    if (size(a) != size(b)) return size(a) > size(b);
    return std::tie(a.site.label, a.key) < std::tie(b.site.label, b.key);
  });
  std::vector<ReportSite> sites;
  for (Candidate& candidate : candidates) {
    if (sites.size() == top) break;
    sites.push_back(std::move(candidate.site));
  }
  for (ReportSite& site : sites) {
    std::sort(site.blocks.begin(), site.blocks.end(),
              [](const ReportBlock& a, const ReportBlock& b) {
                return std::make_tuple(b.size, b.age_seconds, a.handle) <
                       std::make_tuple(a.size, a.age_seconds, b.handle);
              });
  }
  return sites;
}

ReportFrame Builder::frame(const model::RawFrame& raw) const {
  ReportFrame out;
  out.address = raw.address;
  // The raw frame holds where the call returns to, which may already be the next line.
  out.offset = raw.offset > 0 ? raw.offset - 1 : 0;
  if (const model::Module* module = trace_.module(raw.module)) {
    out.module = module->path;
    out.build_id = module->build_id;
  }
  return out;
}

void Builder::name(Candidate& candidate) const {
  ReportSite& site = candidate.site;
  const model::Stack* stack = trace_.stack(candidate.key.stack);
  site.stack_missing = stack == nullptr;
  if (stack != nullptr) {
    site.stack_end = stack->end;
    site.by_frame_pointer = stack->by_frame_pointer;
    site.stack_complete = stack->end == model::StackEnd::complete;
    for (const model::RawFrame& raw : stack->frames) {
      const ReportFrame place = frame(raw);
      std::vector<model::SourceFrame> sources = namer_(trace_, raw);
      for (model::SourceFrame& source : sources) {
        site.stack.push_back(place);
        site.stack.back().source = std::move(source);
      }
    }
  }
  site.label = site_label(site.stack);
  if (model::is_postgres(candidate.key.kind)) add_detail(candidate.key, site);
}

}  // namespace

Result<Report> build_report(const Trace& trace, const ReportOptions& options, const Namer& namer) {
  return Builder(trace, options, namer).build();
}

}  // namespace leaktrace::analyze
