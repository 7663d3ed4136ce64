// SPDX-License-Identifier: Apache-2.0
#include "user/output/text_postgres.h"

#include <fmt/format.h>

#include <algorithm>

#include "user/analyze/words.h"
#include "user/base/printable.h"
#include "user/output/shorten.h"
#include "user/output/text_layout.h"

namespace leaktrace::output {
namespace {

using analyze::human_bytes;
using analyze::human_seconds;

constexpr std::size_t kMostConnections = 10;
constexpr std::size_t kMostOpen = 5;
constexpr std::size_t kMostNames = 5;
constexpr std::size_t kMostSql = 400;  ///< columns

const std::string kBlanks(kIndent, ' ');

std::string shortened(std::string_view text, std::size_t most) {
  const std::string shown = printable(text);
  if (columns(shown) <= most) return shown;
  return std::string(first_columns(shown, most - 1)) + "…";
}

std::string names_words(const std::vector<std::string>& names, std::uint64_t all) {
  std::string words;
  const std::size_t shown = std::min(names.size(), kMostNames);
  for (std::size_t i = 0; i < shown; ++i) {
    words += (i == 0 ? "" : ", ") + (names[i].empty() ? "(unnamed)" : shortened(names[i], 40));
  }
  if (shown < all && shown > 0) words += fmt::format(" and {} more", all - shown);
  return words;
}

std::string where_words(const analyze::ReportSite& site) {
  const analyze::ReportDetail& detail = *site.detail;
  std::string words = shortened(detail.connection, 60);
  if (detail.connections > 1) {
    words += fmt::format(" and {}",
                         counted(detail.connections - 1, "other connection", "other connections"));
  }
  const std::string names = names_words(detail.names, site.outstanding_count);
  if (!names.empty()) words += (words.empty() ? "" : ": ") + names;
  if (!detail.state.empty()) words += (words.empty() ? "" : ": ") + printable(detail.state);
  return words;
}

std::string amount_of(model::Kind kind, const model::Counters& counters) {
  std::string words = resources(kind, counters.outstanding_count());
  if (counters.outstanding_bytes() > 0) {
    words += fmt::format(" ({} of the heap)", human_bytes(counters.outstanding_bytes()));
  }
  return words;
}

/// "1 prepared statement, 6 cursors".
std::string holds_words(const analyze::ReportConnection& connection) {
  std::string words;
  for (const auto& [kind, count] : connection.open_by_kind) {
    words += (words.empty() ? "" : ", ") + resources(kind, count);
  }
  return words.empty() ? "nothing" : words;
}

std::string connection_head(const analyze::ReportConnection& connection, bool several) {
  std::string words = shortened(connection.words, 60);
  if (several) words += fmt::format("  [{} {}]", printable(connection.comm), connection.pid);
  words += fmt::format("  {}", analyze::connection_state_name(connection.state));
  if (connection.state != model::ConnectionState::unknown) {
    words += fmt::format(" for {}", human_seconds(connection.state_seconds));
  }
  if (connection.transaction_seconds > 0) {
    words +=
        fmt::format(", transaction open for {}", human_seconds(connection.transaction_seconds));
  }
  words += ", holds " + holds_words(connection);
  if (!connection.from_start) words += ", and what it opened unseen";
  return words;
}

std::string open_line(const analyze::ReportOpen& open) {
  std::string line = fmt::format("{}  {:<18} {:<10} ", kBlanks, one_of(open.kind),
                                 human_seconds(open.age_seconds));
  std::string words = open.name.empty() && open.kind == model::Kind::pg_statement
                          ? "(unnamed)"
                          : shortened(open.name, 40);
  if (!open.state.empty()) words += (words.empty() ? "" : ", ") + printable(open.state);
  if (!open.label.empty()) words += fmt::format(", by {}", shortened(open.label, 50));
  line = paragraph(line, words);
  if (!open.sql.empty()) line += paragraph(kBlanks + "    ", shortened(open.sql, 150));
  return line;
}

std::string lines_of(const analyze::ReportConnection& connection, bool several) {
  std::string out = paragraph("  ", connection_head(connection, several));
  const std::size_t shown = std::min(connection.open.size(), kMostOpen);
  for (std::size_t i = 0; i < shown; ++i) out += open_line(connection.open[i]);
  if (shown < connection.open_total) {
    out += paragraph(kBlanks + "  ", fmt::format("… and {} more", connection.open_total - shown));
  }
  return out;
}

/// A transaction in which nothing happens keeps what its cursors keep, and locks, and old rows.
std::string idle_words(const analyze::Report& report) {
  const auto idle_with_cursors =
      std::ranges::count_if(report.connections, [](const analyze::ReportConnection& connection) {
        const bool is_idle = connection.state == model::ConnectionState::in_transaction ||
                             connection.state == model::ConnectionState::failed;
        return is_idle && std::ranges::any_of(connection.open, [](const analyze::ReportOpen& open) {
                 return open.kind == model::Kind::pg_cursor;
               });
      });
  if (idle_with_cursors == 0) return {};
  return fmt::format("; {} idle in a transaction with open cursors", idle_with_cursors);
}

}  // namespace

std::string postgres_total_words(const analyze::Report& report) {
  std::string words;
  for (const auto& [kind, counters] : report.postgres) {
    if (counters.outstanding_count() == 0) continue;
    words += (words.empty() ? "" : ", ") + amount_of(kind, counters);
  }
  return words.empty() ? words : words + " open";
}

std::string postgres_site_lines(const analyze::ReportSite& site) {
  std::string amount = fmt::format("{} open", resources(site.kind, site.outstanding_count));
  if (site.outstanding_bytes > 0)
    amount += fmt::format(" ({})", human_bytes(site.outstanding_bytes));
  amount += count_rate(site.kind, site.count_per_second);
  amount += fmt::format(", oldest {}{}",
                        site.oldest_exact ? "" : "<= ", human_seconds(site.oldest_seconds));
  std::string out = paragraph(kBlanks, amount);
  out += paragraph(kBlanks, fmt::format("opened {}, closed {}", site.total.acquired_count,
                                        site.total.released_count));
  return out + postgres_detail_lines(site);
}

std::string postgres_detail_lines(const analyze::ReportSite& site) {
  if (!site.detail) return {};
  std::string out;
  if (const std::string where = where_words(site); !where.empty()) out += paragraph(kBlanks, where);
  if (!site.detail->sql.empty()) out += paragraph(kBlanks, shortened(site.detail->sql, kMostSql));
  return out;
}

std::string connection_lines(const analyze::Report& report) {
  if (report.all_connections == 0) return {};
  std::string out =
      paragraph("", fmt::format("PostgreSQL: {} seen{}",
                                counted(report.all_connections, "connection", "connections"),
                                idle_words(report)));
  const bool several = report.targets.size() != 1;
  const std::size_t shown = std::min(report.connections.size(), kMostConnections);
  for (std::size_t i = 0; i < shown; ++i) out += lines_of(report.connections[i], several);
  if (shown < report.all_connections) {
    out += fmt::format("  … and {} that hold no more\n",
                       counted(report.all_connections - shown, "connection", "connections"));
  }
  return out;
}

}  // namespace leaktrace::output
