// SPDX-License-Identifier: Apache-2.0
// Replays recordings of sessions (tests/testdata/postgres/*.events) in the format of event_log.h.
// Lines between them say what is expected at that point:
//
//   # a remark
//   = open cursor:c statement:p copy:pipeline     what is open on all connections, oldest first
//   = losses undecided=1                          what is lost so far; those not named are 0
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "user/postgres/event_log.h"
#include "user/postgres/sessions.h"

namespace leaktrace::postgres {
namespace {

std::string word_of(const model::OpenResource& open) {
  switch (open.kind) {
    case model::Kind::pg_cursor:
      return "cursor:" + open.name;
    case model::Kind::pg_statement:
      return "statement:" + open.name;
    case model::Kind::pg_copy:
      return "copy:" + open.state;
    default:
      return "large_object:" + open.name;
  }
}

std::string open_words(const Sessions& sessions) {
  std::vector<model::OpenResource> all;
  for (const auto& connection : sessions.connections(0, 1000).connections) {
    all.insert(all.end(), connection.open.begin(), connection.open.end());
  }
  std::ranges::stable_sort(all, {}, &model::OpenResource::since_ns);
  std::string words = "= open";
  for (const auto& open : all) words += " " + word_of(open);
  return words;
}

std::string losses_words(const SessionLosses& losses) {
  std::string words = "= losses";
  const auto add = [&words](const char* name, std::uint64_t count) {
    if (count != 0) words += std::string(" ") + name + "=" + std::to_string(count);
  };
  add("text_cut", losses.text_cut);
  add("unparsed", losses.unparsed);
  add("undecided", losses.undecided);
  add("unmatched_close", losses.unmatched_close);
  add("table_full", losses.table_full);
  return words;
}

void replay(const std::filesystem::path& path) {
  Sessions sessions{SessionOptions{}};
  std::ifstream file(path);
  std::string line;
  int expectations = 0;
  for (int number = 1; std::getline(file, line); ++number) {
    SCOPED_TRACE(path.filename().string() + ":" + std::to_string(number));
    if (line.empty() || line.starts_with("#")) continue;
    if (line.starts_with("=")) {
      ++expectations;
      EXPECT_EQ(
          line.starts_with("= losses") ? losses_words(sessions.losses()) : open_words(sessions),
          line);
      continue;
    }
    auto event = from_line(line);
    ASSERT_TRUE(event) << event.error().message();
    EXPECT_EQ(from_line(to_line(*event)).value(), *event);
    sessions.apply(*event);
  }
  EXPECT_GT(expectations, 0) << path;
}

TEST(SessionsReplay, RecordingsComeOutAsExpected) {
  int recordings = 0;
  const std::filesystem::path folder = LEAKTRACE_SOURCE_DIR "/tests/testdata/postgres";
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".events") continue;
    replay(entry.path());
    ++recordings;
  }
  EXPECT_GE(recordings, 3);
}

}  // namespace
}  // namespace leaktrace::postgres
