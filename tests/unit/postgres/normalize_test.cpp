// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <string>

#include "user/postgres/sql.h"

namespace leaktrace::postgres {
namespace {

TEST(NormalizeSql, PutsParametersForLiterals) {
  EXPECT_EQ(normalize_sql("SELECT  a,\n 1.5 FROM t -- note\nWHERE b='x' AND c = 17"),
            "SELECT a, $1 FROM t WHERE b=$2 AND c = $3");
  EXPECT_EQ(normalize_sql("SELECT -5, .5e3, x'ff', b'01', e'a', U&'b', $$c$$, $q$d$q$"),
            "SELECT -$1, $2, $3, $4, $5, $6, $7, $8");
  EXPECT_EQ(normalize_sql("SELECT date'2020-01-01'"), "SELECT date $1");
}

TEST(NormalizeSql, KeepsParametersAndNumbersOnFromThem) {
  EXPECT_EQ(normalize_sql("SELECT $2, 'x', $1, 3"), "SELECT $2, $3, $1, $4");
}

TEST(NormalizeSql, KeepsIdentifiers) {
  EXPECT_EQ(normalize_sql("SELECT \"Camel Case\", plain FROM s.t2"),
            "SELECT \"Camel Case\", plain FROM s.t2");
}

TEST(NormalizeSql, LeavesNoLiteralAnywhere) {
  for (const char* text : {
           "SELECT 'secret'",
           "SELECT 'it''s secret'",
           "SELECT e'\\'secret'",
           "SELECT U&'secret' UESCAPE '!'",
           "SELECT $$secret$$, $a$secret$a$",
           "SELECT 'x' -- secret",
           "SELECT /* secret /* secret */ secret */ 1",
           "SELECT 'a'\n  'secret'",
           "DECLARE c CURSOR FOR SELECT * FROM t WHERE a = 'secret'",
           "PREPARE p AS SELECT 'secret'",
           "EXECUTE p('secret')",
           "COPY t FROM STDIN WITH (DELIMITER 'secret')",
           "SET x = 'secret'",
           "CREATE USER u PASSWORD 'secret'",
           "DO $$ secret $$",
           "UPSERT INTO t VALUES ('secret')",
           "SELECT * FROM t AS OF SYSTEM TIME 'secret'",
           "SELECT 'secret",
           "SELECT a, $$secret",
           "SELECT a /* secret",
           "SELECT \"secret",
           // standard_conforming_strings off: the string goes on behind \'
           "SELECT 'it\\'s secret', 'b'",
           "SELECT 'it\\'s secret'",
           "NOTIFY channel, 'secret'",
           "SELECT x'secret'",
       }) {
    EXPECT_EQ(normalize_sql(text).find("secret"), std::string::npos)
        << text << " -> " << normalize_sql(text);
  }
  // Numbers that only servers from 16 on take.
  EXPECT_EQ(normalize_sql("SELECT 0xDEADBEEF, 1"), "SELECT…");
  EXPECT_EQ(normalize_sql("SELECT 1_234_567"), "SELECT…");
}

TEST(NormalizeSql, MarksWhatIsLeftOut) {
  EXPECT_EQ(normalize_sql("SELECT a, 'cut off"), "SELECT a,…");
  EXPECT_EQ(normalize_sql("'cut off"), "(not SQL)");
  EXPECT_EQ(normalize_sql(""), "");
  EXPECT_EQ(normalize_sql(" -- only a comment"), "");
}

TEST(NormalizeSql, IsOfBoundedSizeAndValid) {
  const std::string columns = "SELECT " + std::string(2000, 'a');
  const std::string cut = normalize_sql(columns);
  EXPECT_EQ(cut.size(), 1024U);
  EXPECT_TRUE(cut.ends_with("…"));
  EXPECT_EQ(normalize_sql("SELECT a, '" + std::string(100'000, 'x') + "', b"), "SELECT a,…");
  EXPECT_EQ(normalize_sql("SELECT a" + std::string(100'000, ' ') + "'secret'"), "SELECT a…");
  EXPECT_EQ(normalize_sql("SELECT éé", 11), "SELECT éé");
  EXPECT_EQ(normalize_sql("SELECT ééé", 12), "SELECT é…");
  EXPECT_EQ(normalize_sql("SELECT caf\xe9"), "SELECT caf\xef\xbf\xbd");
}

}  // namespace
}  // namespace leaktrace::postgres
