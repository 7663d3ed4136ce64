// SPDX-License-Identifier: Apache-2.0
#include "user/analyze/top_sites.h"

namespace leaktrace::analyze {

void keep_top(Report& report, std::size_t top) {
  std::size_t memory = 0;
  std::size_t postgres = 0;
  std::erase_if(report.sites, [&](const ReportSite& site) {
    return ++(model::is_postgres(site.kind) ? postgres : memory) > top;
  });
}

}  // namespace leaktrace::analyze
