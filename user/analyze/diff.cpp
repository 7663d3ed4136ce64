// SPDX-License-Identifier: Apache-2.0
#include "user/analyze/diff.h"

#include <algorithm>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "user/analyze/diff_limits.h"
#include "user/analyze/site_identity.h"

namespace leaktrace::analyze {
namespace {

using Side = SiteIdentity::Side;

/// The sites of both reports that are one.
struct Group {
  std::vector<ReportSite*> older;
  std::vector<ReportSite*> newer;
  bool by_names = false;

  [[nodiscard]] bool is_met() const { return !older.empty() && !newer.empty(); }
};

/// Groups in the order in which they were begun.
class Groups {
 public:
  Group& at(const std::string& key) {
    const auto [known, is_new] = index_.try_emplace(key, groups_.size());
    if (is_new) groups_.emplace_back();
    return groups_[known->second];
  }
  [[nodiscard]] std::vector<Group> take() { return std::move(groups_); }

 private:
  std::unordered_map<std::string, std::size_t> index_;
  std::vector<Group> groups_;
};

std::vector<Group> by_code(const SiteIdentity& identity, Report& older, Report& newer) {
  Groups groups;
  for (ReportSite& site : newer.sites) {
    groups.at(identity.exact(Side::newer, site)).newer.push_back(&site);
  }
  for (ReportSite& site : older.sites) {
    groups.at(identity.exact(Side::older, site)).older.push_back(&site);
  }
  return groups.take();
}

void append(std::vector<ReportSite*>& to, const std::vector<ReportSite*>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

/// The key by names of a group that has one side only.
std::optional<std::string> name_of(const SiteIdentity& identity, const Group& group) {
  return group.newer.empty() ? identity.by_names(Side::older, *group.older.front())
                             : identity.by_names(Side::newer, *group.newer.front());
}

/// Groups that met already stay; of the others those that have the same names meet.
std::vector<Group> by_names(const SiteIdentity& identity, std::vector<Group> groups) {
  std::vector<Group> out;
  Groups named;
  std::vector<std::pair<std::string, Group>> left;
  for (Group& group : groups) {
    std::optional<std::string> key = group.is_met() ? std::nullopt : name_of(identity, group);
    if (!key) {
      out.push_back(std::move(group));
      continue;
    }
    Group& meeting = named.at(*key);
    append(meeting.older, group.older);
    append(meeting.newer, group.newer);
    left.emplace_back(std::move(*key), std::move(group));
  }
  // Sites that read alike and have nobody to meet stay apart: their lines may tell them apart.
  for (auto& [key, group] : left) {
    if (!named.at(key).is_met()) out.push_back(std::move(group));
  }
  for (Group& meeting : named.take()) {
    if (!meeting.is_met()) continue;
    meeting.by_names = true;
    out.push_back(std::move(meeting));
  }
  return out;
}

DiffAmount sum(const std::vector<ReportSite*>& sites) {
  DiffAmount amount;
  for (const ReportSite* site : sites) {
    add(amount, {.sites = 1,
                 .count = site->outstanding_count,
                 .bytes = site->outstanding_bytes,
                 .estimate = site->estimate,
                 .bytes_per_second = site->bytes_per_second,
                 .count_per_second = site->count_per_second});
  }
  return amount;
}

/// The largest, which stands for the others.
ReportSite& largest(const std::vector<ReportSite*>& sites) {
  return **std::ranges::max_element(sites, {}, [](const ReportSite* site) {
    return std::make_tuple(site->outstanding_bytes, site->outstanding_count);
  });
}

/// What is counted is compared by its number, what is weighed by its bytes.
std::pair<std::int64_t, std::int64_t> ordered_difference(const DiffPair& amounts,
                                                         model::Kind kind) {
  const std::int64_t count = amounts.count_difference();
  const std::int64_t bytes = amounts.bytes_difference();
  return model::is_postgres(kind) ? std::make_pair(count, bytes) : std::make_pair(bytes, count);
}

void classify(DiffSite& site) {
  const std::pair<std::int64_t, std::int64_t> zero;
  const auto change = ordered_difference(site.amounts, site.site.kind);
  if (change != zero && is_within_limits(site.amounts, site.site.kind)) {
    site.within_sampling = true;
    site.change = DiffChange::same;
  } else if (site.amounts.older.sites == 0) {
    site.change = DiffChange::appeared;
  } else if (site.amounts.newer.sites == 0) {
    site.change = DiffChange::gone;
  } else if (change != zero) {
    site.change = change > zero ? DiffChange::grew : DiffChange::shrank;
  }
}

DiffSite site_of(const Group& group, const SiteIdentity& identity, const Diff& diff) {
  DiffSite out;
  out.by_names = group.by_names;
  ReportSite& from = largest(group.newer.empty() ? group.older : group.newer);
  out.amounts.older = sum(group.older);
  out.amounts.newer = sum(group.newer);
  out.site = std::move(from);
  // What is gone is shown beside the rest, though its program had another name.
  if (identity.is_one_program()) out.site.comm = diff.newer.report.targets.front().comm;
  set_limits(out.amounts, out.site.kind, diff.older.report, diff.newer.report);
  classify(out);
  return out;
}

void add_up(Diff& diff) {
  for (const DiffSite& site : diff.sites) {
    DiffKind& kind = diff.kinds[site.site.kind];
    add(kind.amounts.older, site.amounts.older);
    add(kind.amounts.newer, site.amounts.newer);
    DiffSum& sum = kind.changes[site.change];
    ++sum.sites;
    if (site.within_sampling) ++sum.within_sampling;
    sum.count = saturating_sum(sum.count, site.amounts.count_difference());
    sum.bytes = saturating_sum(sum.bytes, site.amounts.bytes_difference());
  }
  for (auto& [kind, sums] : diff.kinds) {
    set_limits(sums.amounts, kind, diff.older.report, diff.newer.report);
  }
}

/// The part of the list that a site is in.
std::pair<bool, DiffDirection> part_of(const DiffSite& site) {
  return {model::is_postgres(site.site.kind), direction_of(site.change)};
}

/// Unsigned: of the smallest number there is no positive one.
std::uint64_t magnitude(std::int64_t number) {
  return number < 0 ? ~static_cast<std::uint64_t>(number) + 1 : static_cast<std::uint64_t>(number);
}

auto rank_of(const DiffSite& site) {
  const auto change = ordered_difference(site.amounts, site.site.kind);
  return std::make_tuple(magnitude(change.first), magnitude(change.second),
                         site.amounts.newer.bytes, site.amounts.newer.count);
}

void order(std::vector<DiffSite>& sites, std::optional<std::size_t> top) {
  std::ranges::stable_sort(sites, [](const DiffSite& a, const DiffSite& b) {
    if (part_of(a) != part_of(b)) return part_of(a) < part_of(b);
    if (rank_of(a) != rank_of(b)) return rank_of(a) > rank_of(b);
    return a.site.label < b.site.label;
  });
  if (!top) return;
  std::map<std::pair<bool, DiffDirection>, std::size_t> kept;
  std::erase_if(sites, [&](const DiffSite& site) { return ++kept[part_of(site)] > *top; });
}

}  // namespace

std::string_view change_name(DiffChange change) {
  switch (change) {
    case DiffChange::appeared:
      return "appeared";
    case DiffChange::grew:
      return "grew";
    case DiffChange::shrank:
      return "shrank";
    case DiffChange::gone:
      return "gone";
    case DiffChange::same:
      break;
  }
  return "same";
}

DiffDirection direction_of(DiffChange change) {
  if (change == DiffChange::same) return DiffDirection::same;
  const bool more = change == DiffChange::appeared || change == DiffChange::grew;
  return more ? DiffDirection::more : DiffDirection::less;
}

std::int64_t difference(std::uint64_t from, std::uint64_t to) {
  constexpr std::uint64_t kMost = INT64_MAX;
  return to >= from ? static_cast<std::int64_t>(std::min(to - from, kMost))
                    : -static_cast<std::int64_t>(std::min(from - to, kMost));
}

std::int64_t saturating_sum(std::int64_t a, std::int64_t b) {
  std::int64_t sum = 0;
  if (!__builtin_add_overflow(a, b, &sum)) return sum;
  return a < 0 ? INT64_MIN : INT64_MAX;
}

Diff diff_recordings(DiffRecording older, DiffRecording newer, const DiffOptions& options) {
  Diff diff;
  diff.tool_version = options.tool_version;
  diff.older = std::move(older);
  diff.newer = std::move(newer);
  const SiteIdentity identity(diff.older.report, diff.newer.report);
  for (const Group& group :
       by_names(identity, by_code(identity, diff.older.report, diff.newer.report))) {
    diff.sites.push_back(site_of(group, identity, diff));
  }
  diff.older.report.sites.clear();
  diff.newer.report.sites.clear();
  add_up(diff);
  order(diff.sites, options.top);
  return diff;
}

}  // namespace leaktrace::analyze
