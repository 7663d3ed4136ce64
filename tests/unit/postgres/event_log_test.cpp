// SPDX-License-Identifier: Apache-2.0
#include "user/postgres/event_log.h"

#include <gtest/gtest.h>

#include <random>

namespace leaktrace::postgres {
namespace {

TEST(EventLog, IsReadable) {
  Event event;
  event.at_ns = 1200;
  event.connection = {{3}, 0x5581};
  event.stack = {0x9f};
  event.text = "SELECT \"a\"\n";
  event.from_start = true;
  EXPECT_EQ(
      to_line(event),
      R"(command at=1200 image=3 connection=0x5581 stack=0x9f text="SELECT \"a\"\n" from_start)");
}

TEST(EventLog, RoundTripsExactly) {
  std::mt19937_64 random(7);
  const auto text = [&random] {
    std::string bytes(random() % 12, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    return bytes;
  };
  const auto flag = [&random] { return random() % 2 == 0; };
  for (int i = 0; i < 20'000; ++i) {
    Event event;
    event.type = static_cast<EventType>(1 + random() % 13);
    event.connection = {{static_cast<std::uint32_t>(random())}, random()};
    event.at_ns = random() >> (random() % 64);
    event.stack = {random() >> (random() % 64)};
    event.command = static_cast<CommandKind>(random() % 256);
    event.ahead = static_cast<std::uint32_t>(random() >> (random() % 64));
    event.name = text();
    event.text = text();
    event.cut = flag();
    event.unannounced = flag();
    event.status = static_cast<ResultStatus>(random() % 256);
    event.transaction = static_cast<TransactionStatus>(random() % 8);
    event.broken = flag();
    event.pipeline = flag();
    event.lost = flag();
    event.from_start = flag();
    event.host = text();
    event.port = text();
    event.database = text();
    event.user = text();
    event.value = static_cast<std::int64_t>(random());
    const std::string line = to_line(event);
    ASSERT_EQ(line.find('\n'), std::string::npos);
    auto read = from_line(line);
    ASSERT_TRUE(read) << line << ": " << read.error().message();
    ASSERT_EQ(*read, event) << line;
  }
}

TEST(EventLog, SaysWhatIsWrong) {
  const auto error = [](std::string_view line) {
    auto event = from_line(line);
    return event ? std::string("none") : event.error().what;
  };
  EXPECT_EQ(error(""), "no type of event is called ");
  EXPECT_EQ(error("commando at=1"), "no type of event is called commando");
  EXPECT_EQ(error("done at=x"), "at has a wrong value");
  EXPECT_EQ(error("done ahead=4294967296"), "ahead has a wrong value");
  EXPECT_EQ(error("done when=1"), "no field is called when");
  EXPECT_EQ(error("done lost=1"), "lost has a wrong value");
  EXPECT_EQ(error("done text=bare"), "text has a wrong value");
  EXPECT_EQ(error("done at=\"1\""), "at has a wrong value");
  EXPECT_EQ(error("result status=good"), "status has a wrong value");
  EXPECT_EQ(error("result text=\"open"), "the text of text does not end, or has a wrong escape");
  EXPECT_EQ(error("result text=\"\\q\""), "the text of text does not end, or has a wrong escape");
  EXPECT_EQ(error("result text=\"\\x1\""), "the text of text does not end, or has a wrong escape");
  EXPECT_EQ(error("result text=\"a\"b"), "no blank behind text");
  EXPECT_EQ(error("done  at=0x1f   transaction=idle "), "none");
}

}  // namespace
}  // namespace leaktrace::postgres
