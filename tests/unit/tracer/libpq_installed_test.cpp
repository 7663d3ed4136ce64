// SPDX-License-Identifier: Apache-2.0
// The layout of the libpq that the test is linked with, against what its functions say.
#include <dlfcn.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <libpq-fe.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "user/base/unique_fd.h"
#include "user/tracer/libpq_layout.h"

namespace leaktrace::tracer {
namespace {

using Connection = std::unique_ptr<PGconn, decltype([](PGconn* one) { PQfinish(one); })>;
using QueryResult = std::unique_ptr<PGresult, decltype([](PGresult* one) { PQclear(one); })>;

class InstalledLibpq : public testing::Test {
 protected:
  void SetUp() override {
    Dl_info info{};
    ASSERT_NE(::dladdr(::dlsym(RTLD_DEFAULT, "PQstatus"), &info), 0);
    const UniqueFd fd(::open(info.dli_fname, O_RDONLY | O_CLOEXEC));
    ASSERT_TRUE(fd);
    const std::vector<std::string> wanted(kLibpqAccessors.begin(), kLibpqAccessors.end());
    const auto image = ElfImage::read(fd.get(), wanted);
    ASSERT_TRUE(image);
    const auto found = libpq_layout(fd.get(), *image);
    ASSERT_TRUE(found);
    layout_ = *found;
  }

  template <typename T>
  static T read(const void* object, std::uint64_t offset) {
    T value;
    std::memcpy(&value, static_cast<const char*>(object) + offset, sizeof(value));
    return value;
  }
  static void write(void* object, std::uint64_t offset, int value) {
    std::memcpy(static_cast<char*>(object) + offset, &value, sizeof(value));
  }

  /// As the kernel side reads it.
  [[nodiscard]] const char* string(const PGconn* connection, lt_pg_string_of which) const {
    const lt_pg_string& place = layout_.strings[which];
    EXPECT_NE(place.field, LT_PG_NO_FIELD) << which;
    if (place.array == LT_PG_NO_FIELD) return read<const char*>(connection, place.field);
    const auto array = read<const char*>(connection, place.array);
    const auto index = static_cast<std::uint64_t>(read<int>(connection, place.index));
    return read<const char*>(array, index * place.stride + place.field);
  }

  [[nodiscard]] const char* host(const PGconn* connection) const {
    const char* named = string(connection, LT_PG_HOST);
    return named != nullptr && *named != '\0' ? named : string(connection, LT_PG_HOSTADDR);
  }

  void expect_what_functions_say(const PGconn* connection) const {
    EXPECT_EQ(read<int>(connection, layout_.connection_status), PQstatus(connection));
    EXPECT_EQ(host(connection), PQhost(connection));
    EXPECT_EQ(string(connection, LT_PG_PORT), PQport(connection));
    EXPECT_EQ(string(connection, LT_PG_DATABASE), PQdb(connection));
    EXPECT_EQ(string(connection, LT_PG_USER), PQuser(connection));
  }

  lt_pg_layout layout_{};
};

Connection connect(const std::string& options) {
  Connection connection(
      PQconnectStart((options + " dbname=a_database user=a_user password=a_password").c_str()));
  EXPECT_NE(connection, nullptr);
  return connection;
}

TEST_F(InstalledLibpq, HasStrings) {
  const Connection connection = connect("host=/no/such/folder port=4711");
  expect_what_functions_say(connection.get());
  EXPECT_STREQ(string(connection.get(), LT_PG_HOST), "/no/such/folder");
  EXPECT_STREQ(string(connection.get(), LT_PG_PORT), "4711");
  EXPECT_STREQ(string(connection.get(), LT_PG_DATABASE), "a_database");
  EXPECT_STREQ(string(connection.get(), LT_PG_USER), "a_user");
}

TEST_F(InstalledLibpq, HasStringsOfTheHostInUse) {
  const Connection connection = connect("host=/no/first,/no/second,/no/third port=1,2,3");
  expect_what_functions_say(connection.get());
  // None of the hosts is there: the last one was tried in the end.
  EXPECT_STREQ(string(connection.get(), LT_PG_HOST), "/no/third");
  EXPECT_STREQ(string(connection.get(), LT_PG_PORT), "3");
  for (int used = 0; used < 3; ++used) {
    write(connection.get(), layout_.strings[LT_PG_HOST].index, used);
    expect_what_functions_say(connection.get());
  }
}

TEST_F(InstalledLibpq, HasAddresses) {
  const Connection unnamed = connect("hostaddr=127.0.0.1 port=1");
  expect_what_functions_say(unnamed.get());
  EXPECT_STREQ(string(unnamed.get(), LT_PG_HOSTADDR), "127.0.0.1");
  const Connection named = connect("host=a_name hostaddr=127.0.0.2 port=1");
  expect_what_functions_say(named.get());
  EXPECT_STREQ(string(named.get(), LT_PG_HOST), "a_name");
  EXPECT_STREQ(string(named.get(), LT_PG_HOSTADDR), "127.0.0.2");
}

// There is no server: the states are written.
TEST_F(InstalledLibpq, HasStatesOfAConnection) {
  const Connection connection = connect("host=/no/such/folder");
  const int before = read<int>(connection.get(), layout_.connection_status);
  EXPECT_EQ(before, CONNECTION_BAD);
  write(connection.get(), layout_.connection_status, CONNECTION_OK);
  EXPECT_EQ(PQstatus(connection.get()), CONNECTION_OK);
  for (const auto state : {PQTRANS_INTRANS, PQTRANS_INERROR, PQTRANS_IDLE}) {
    write(connection.get(), layout_.transaction, state);
    EXPECT_EQ(PQtransactionStatus(connection.get()), state);
  }
#ifdef LIBPQ_HAS_PIPELINING
  for (const auto state : {PQ_PIPELINE_ON, PQ_PIPELINE_ABORTED, PQ_PIPELINE_OFF}) {
    write(connection.get(), layout_.pipeline, state);
    EXPECT_EQ(PQpipelineStatus(connection.get()), state);
  }
#endif
  write(connection.get(), layout_.connection_status, before);
}

TEST_F(InstalledLibpq, HasFieldsOfAResult) {
  for (int status = PGRES_EMPTY_QUERY; status <= PGRES_SINGLE_TUPLE; ++status) {
    const QueryResult result(PQmakeEmptyPGresult(nullptr, static_cast<ExecStatusType>(status)));
    ASSERT_NE(result, nullptr);
    EXPECT_EQ(read<int>(result.get(), layout_.result_status), status);
    EXPECT_EQ(PQresultStatus(result.get()), status);
    EXPECT_NE(PQresultMemorySize(result.get()), 0U);
    EXPECT_EQ(read<std::size_t>(result.get(), layout_.result_memory),
              PQresultMemorySize(result.get()));
    EXPECT_EQ(reinterpret_cast<const char*>(result.get()) + layout_.result_tag,
              PQcmdStatus(result.get()));
  }
}

}  // namespace
}  // namespace leaktrace::tracer
