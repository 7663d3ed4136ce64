// SPDX-License-Identifier: Apache-2.0
#include "user/app/judgement_options.h"

#include <string>
#include <vector>

namespace leaktrace::app {
namespace {

/// All conditions as one; throws as CLI11 wants it.
analyze::FailOn fail_on_of(const std::vector<std::string>& words) {
  analyze::FailOn sum;
  for (const std::string& word : words) {
    const auto condition = analyze::parse_fail_on(word);
    if (!condition) throw CLI::ValidationError("--fail-on", condition.error().message());
    const auto joined = analyze::both(sum, *condition);
    if (!joined) throw CLI::ValidationError("--fail-on", joined.error().message());
    sum = *joined;
  }
  return sum;
}

}  // namespace

void add_judgement_options(CLI::App& command, ReportOptionsLine& report) {
  auto* group = command.add_option_group("Judgement");
  group
      ->add_option("--suppressions", report.suppressions,
                   "Leave out the call sites that this YAML file lists, and say so; several times "
                   "for several files")
      ->allow_extra_args(false)
      ->option_text("FILE");
  group
      ->add_option_function<std::vector<std::string>>(
          "--fail-on",
          [&report](const std::vector<std::string>& words) { report.fail_on = fail_on_of(words); },
          "Exit with status 3 when the last report has a call site that grows: growing, or "
          "growing:RATE by that rate at least. A RATE with B, K, M, G or T is bytes of memory "
          "(growing:10K/s), one without is what is counted, as cursors are (growing:5/min); /s, "
          "/m, /h or /d, /s unless told; both with a comma between them")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->option_text("growing[:RATE]");
}

}  // namespace leaktrace::app
