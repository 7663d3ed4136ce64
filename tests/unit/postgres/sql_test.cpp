// SPDX-License-Identifier: Apache-2.0
#include "user/postgres/sql.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>

namespace leaktrace::postgres {
namespace {

using ::testing::ElementsAre;

std::vector<Verb> verbs(std::string_view text, bool cut = false) {
  std::vector<Verb> found;
  for (const Statement& statement : parse_sql(text, cut).statements) {
    found.push_back(statement.verb);
  }
  return found;
}

Statement only(std::string_view text, bool cut = false) {
  const ParsedSql parsed = parse_sql(text, cut);
  EXPECT_EQ(parsed.statements.size(), 1U) << text;
  return parsed.statements.empty() ? Statement{} : parsed.statements.front();
}

struct Case {
  const char* text;
  Verb verb;
  const char* name;
};

TEST(ParseSql, KnowsEachStatementByTheGrammar) {
  const Case cases[] = {
      {"BEGIN", Verb::begin, ""},
      {"begin work isolation level serializable, read only", Verb::begin, ""},
      {"START TRANSACTION READ ONLY", Verb::begin, ""},
      {"COMMIT", Verb::commit, ""},
      {"COMMIT WORK AND CHAIN", Verb::commit, ""},
      {"END TRANSACTION", Verb::commit, ""},
      {"COMMIT PREPARED 'x'", Verb::other, ""},
      {"ROLLBACK", Verb::rollback, ""},
      {"ROLLBACK WORK AND NO CHAIN", Verb::rollback, ""},
      {"ABORT", Verb::rollback, ""},
      {"ROLLBACK PREPARED 'x'", Verb::other, ""},
      {"SAVEPOINT Sp", Verb::savepoint, "sp"},
      {"RELEASE sp", Verb::release, "sp"},
      {"RELEASE SAVEPOINT sp", Verb::release, "sp"},
      {"RELEASE savepoint", Verb::release, "savepoint"},
      {"ROLLBACK TO sp", Verb::rollback_to, "sp"},
      {"ROLLBACK TRANSACTION TO SAVEPOINT sp", Verb::rollback_to, "sp"},
      {"ROLLBACK WORK TO sp", Verb::rollback_to, "sp"},
      {"ROLLBACK TO savepoint", Verb::rollback_to, "savepoint"},
      {"PREPARE TRANSACTION 'gid'", Verb::prepare_transaction, ""},
      {"PREPARE p (int, text) AS SELECT $1", Verb::prepare, "p"},
      {"PREPARE transaction AS SELECT 1", Verb::prepare, "transaction"},
      {"EXECUTE p(1)", Verb::execute, "p"},
      {"DEALLOCATE p", Verb::deallocate, "p"},
      {"DEALLOCATE PREPARE p", Verb::deallocate, "p"},
      {"DEALLOCATE prepare", Verb::deallocate, "prepare"},
      {"DEALLOCATE ALL", Verb::deallocate_all, ""},
      {"DEALLOCATE PREPARE ALL", Verb::deallocate_all, ""},
      {"DISCARD ALL", Verb::discard_all, ""},
      {"DISCARD PLANS", Verb::other, ""},
      {"DISCARD TEMP", Verb::other, ""},
      {"CLOSE c", Verb::close, "c"},
      {"CLOSE ALL", Verb::close_all, ""},
      {"CLOSE \"all\"", Verb::close, "all"},
      {"DECLARE c CURSOR FOR SELECT 1", Verb::declare, "c"},
      {"COPY t FROM STDIN", Verb::copy, ""},
      {"COPY t (a, b) TO STDOUT WITH (FORMAT csv)", Verb::copy, ""},
      {"COPY (SELECT a FROM t) TO STDOUT", Verb::copy, ""},
      {"COPY t FROM '/tmp/file'", Verb::other, ""},
      {"COPY (SELECT 1) TO PROGRAM 'cat'", Verb::other, ""},
      {"SELECT 1", Verb::other, ""},
      {"EXPLAIN SELECT 1", Verb::other, ""},
  };
  for (const Case& each : cases) {
    const Statement statement = only(each.text);
    EXPECT_EQ(statement.verb, each.verb) << each.text;
    EXPECT_EQ(statement.name, each.name) << each.text;
    EXPECT_EQ(statement.text, each.text);
    EXPECT_TRUE(parse_sql(each.text, false).by_grammar) << each.text;
    EXPECT_TRUE(may_matter(each.text) || each.verb == Verb::other) << each.text;
  }
}

TEST(ParseSql, KnowsWhetherACursorIsHeld) {
  EXPECT_FALSE(only("DECLARE c CURSOR FOR SELECT 1").hold);
  EXPECT_TRUE(only("DECLARE c CURSOR WITH HOLD FOR SELECT 1").hold);
  EXPECT_FALSE(only("DECLARE c CURSOR WITHOUT HOLD FOR SELECT 1").hold);
  EXPECT_TRUE(
      only("DECLARE c BINARY INSENSITIVE NO SCROLL CURSOR WITH /**/ HOLD FOR SELECT 1").hold);
  EXPECT_FALSE(only("DECLARE hold CURSOR FOR WITH hold AS (SELECT 1) TABLE hold").hold);
}

TEST(ParseSql, FoldsAndCutsNamesAsTheServer) {
  EXPECT_EQ(only("CLOSE MiXed").name, "mixed");
  EXPECT_EQ(only("CLOSE \"Mi\"\"Xed\"").name, "Mi\"Xed");
  EXPECT_EQ(only("CLOSE U&\"d\\0061t\\+000061\"").name, "data");
  EXPECT_EQ(only("CLOSE U&\"d!0061ta\" UESCAPE '!'").name, "data");
  EXPECT_EQ(only("CLOSE " + std::string(70, 'A')).name, std::string(63, 'a'));
  // It cuts between characters: 62 bytes, and a character of two that does not fit.
  EXPECT_EQ(only("CLOSE " + std::string(62, 'a') + "éé").name, std::string(62, 'a'));
}

TEST(ParseSql, ListsEveryStatementInOrder) {
  const std::string_view text =
      " /* x; */ BEGIN ;; DECLARE c CURSOR FOR SELECT ';' ; -- COMMIT;\n SELECT 1; END ";
  EXPECT_THAT(verbs(text), ElementsAre(Verb::begin, Verb::declare, Verb::other, Verb::commit));
  EXPECT_EQ(parse_sql(text, false).statements[1].text, "DECLARE c CURSOR FOR SELECT ';'");
  EXPECT_TRUE(verbs("").empty());
  EXPECT_TRUE(verbs(" ; -- nothing\n;").empty());
}

TEST(ParseSql, IsNotMisledByQuotesAndComments) {
  EXPECT_THAT(verbs("SELECT 'x; COMMIT; '"), ElementsAre(Verb::other));
  EXPECT_THAT(verbs("SELECT $q$; COMMIT; $q$"), ElementsAre(Verb::other));
  EXPECT_THAT(verbs("/* /* nested */ COMMIT; */ ROLLBACK"), ElementsAre(Verb::rollback));
  EXPECT_THAT(verbs("SELECT \"a; CLOSE b\" FROM t"), ElementsAre(Verb::other));
}

TEST(ParseSql, ABodyInSqlIsOneStatement) {
  const char* function =
      "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; "
      "SELECT 2; END; COMMIT";
  EXPECT_THAT(verbs(function), ElementsAre(Verb::other, Verb::commit));
  // So it is where the grammar refuses a statement after it.
  EXPECT_THAT(verbs(std::string(function) + "; UPSERT INTO t VALUES (1)"),
              ElementsAre(Verb::other, Verb::commit, Verb::other));
}

TEST(ParseSql, ReadsTokensWhereTheGrammarRefuses) {
  const ParsedSql parsed = parse_sql(
      "BEGIN PRIORITY HIGH; UPSERT INTO t VALUES (1, 'a;b'); SAVEPOINT cockroach_restart; "
      "DECLARE c CURSOR FOR SELECT * FROM t AS OF SYSTEM TIME '-1s'; COMMIT",
      false);
  EXPECT_FALSE(parsed.by_grammar);
  EXPECT_TRUE(parsed.complete);
  ASSERT_EQ(parsed.statements.size(), 5U);
  EXPECT_EQ(parsed.statements[0].verb, Verb::begin);
  EXPECT_EQ(parsed.statements[1].verb, Verb::other);
  EXPECT_EQ(parsed.statements[2].name, "cockroach_restart");
  EXPECT_EQ(parsed.statements[3].verb, Verb::declare);
  EXPECT_EQ(parsed.statements[3].name, "c");
  EXPECT_EQ(parsed.statements[4].verb, Verb::commit);
  EXPECT_THAT(verbs("SHOW STATEMENTS"), ElementsAre(Verb::other));
}

TEST(ParseSql, ACutTextTellsWhatIsCertain) {
  for (const char* cut :
       {"DECLARE c CURSOR FOR SELECT 'aaaa", "DECLARE c CURSOR FOR SELECT a",
        "DECLARE c CURSOR FOR SELECT $x$ aa", "DECLARE c CURSOR FOR /* comm",
        "DECLARE c CURSOR FOR SELECT \"na", "DECLARE c CURSOR FOR SELECT é, 'é"}) {
    const ParsedSql parsed = parse_sql(cut, true);
    EXPECT_FALSE(parsed.complete) << cut;
    ASSERT_EQ(parsed.statements.size(), 1U) << cut;
    EXPECT_EQ(parsed.statements[0].verb, Verb::declare) << cut;
    EXPECT_EQ(parsed.statements[0].name, "c") << cut;
  }
  EXPECT_THAT(verbs("BEGIN; CLOSE c; SELECT 'x", true),
              ElementsAre(Verb::begin, Verb::close, Verb::other));
}

TEST(ParseSql, ACutTextDoesNotGuess) {
  // Each could go on and be something else.
  for (const char* cut :
       {"COMMIT", "COMMIT ", "ROLLBACK", "ROLLBACK ", "ROLLBACK WORK ", "CLOSE cur", "CLOSE AL",
        "DECLARE c CURSOR WITH", "DECLARE c CURSOR ", "SAVEPOINT a", "DEALLOCATE prepare ",
        "PREPARE transaction ", "DISCARD ALL", "RELEASE savepoint ", "ROLLBACK TO savepoint ",
        "CLOSE U&\"a!0061\" ", "COPY t FROM ", "BEGI", "DISCARD "}) {
    const ParsedSql parsed = parse_sql(cut, true);
    EXPECT_FALSE(parsed.complete) << cut;
    for (const Statement& statement : parsed.statements) {
      EXPECT_EQ(statement.verb, Verb::other) << cut;
    }
  }
  // These cannot.
  EXPECT_EQ(only("COMMIT;", true).verb, Verb::commit);
  EXPECT_EQ(only("CLOSE cur ", true).verb, Verb::close);
  EXPECT_EQ(only("COMMIT AND ", true).verb, Verb::commit);
  EXPECT_EQ(only("BEGIN ", true).verb, Verb::begin);
  EXPECT_EQ(only("PREPARE p AS SELECT ", true).verb, Verb::prepare);
}

TEST(ParseSql, AnUnclosedQuoteLeavesWhatIsBeforeIt) {
  const ParsedSql parsed = parse_sql("CLOSE a; SELECT 'never closed", false);
  EXPECT_FALSE(parsed.complete);
  ASSERT_EQ(parsed.statements.size(), 2U);
  EXPECT_EQ(parsed.statements[0].name, "a");
  EXPECT_THAT(verbs("CLOSE a; SELECT e'\\u00zz'; COMMIT"), ElementsAre(Verb::close, Verb::other));
}

TEST(ParseSql, EndsAtANul) {
  const std::string text("BEGIN\0; COMMIT", 14);
  EXPECT_THAT(verbs(text), ElementsAre(Verb::begin));
  EXPECT_TRUE(parse_sql(text, false).complete);
  EXPECT_TRUE(parse_sql(text, true).complete);
  EXPECT_FALSE(may_matter(std::string_view("\0COMMIT", 7)));
}

TEST(ParseSql, TakesBytesThatAreNoUtf8) {
  EXPECT_EQ(only("CLOSE caf\xe9").name, "caf\xe9");
  EXPECT_THAT(verbs("SELECT '\xff\xf0'; COMMIT"), ElementsAre(Verb::other, Verb::commit));
  EXPECT_THAT(verbs("SELECT '\xf0", true), ElementsAre(Verb::other));
  EXPECT_THAT(verbs("SELECT \xf0\xf0\xf0, 'a"), ElementsAre(Verb::other));
}

std::string repeated(std::string_view part, std::size_t size) {
  std::string text;
  while (text.size() < size) text += part;
  return text;
}

TEST(ParseSql, LongAndDeepTextsTakeNoLongTimeAndNoStack) {
  constexpr std::size_t kMebibyte = std::size_t{1} << 20;
  const auto began = std::chrono::steady_clock::now();
  for (const char* part : {"(",    "1+",       "- ", "a.", "a||", ";",          "/*",
                           "+",    "+-*/",     "'",  "''", "[",   "case when ", "select 1 union ",
                           "not ", "(select ", "--", "$",  "$$",  "\"",         "\xf0",
                           "é,"}) {
    const std::string text = "BEGIN; SELECT " + repeated(part, kMebibyte / 4);
    EXPECT_LE(parse_sql(text, false).statements.size(), text.size()) << part;
    EXPECT_LE(normalize_sql(text).size(), 1024U) << part;
  }
  const std::string sum = "BEGIN; SELECT " + repeated("1+", kMebibyte) + "1; COMMIT";
  EXPECT_THAT(verbs(sum), ElementsAre(Verb::begin, Verb::other, Verb::commit));
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(50));
}

TEST(ParseSql, DeclinesWhatTheScannerWouldTakeHoursFor) {
  const ParsedSql parsed = parse_sql("COMMIT " + repeated("/*", 1U << 20), false);
  EXPECT_TRUE(parsed.statements.empty());
  EXPECT_FALSE(parsed.by_grammar);
  EXPECT_FALSE(parsed.complete);
}

TEST(MayMatter, IsFalseOnlyForWhatDoesNothing) {
  for (const char* text :
       {"BeGiN", ";close c", "/**/COMMIT", "(1);DEALLOCATE x", "\tdiscard\nall", "x;END",
        "execute p", "start transaction", "abort", "release x", "savepoint a", "copy t to stdout",
        "prepare a as select 1", "declare c cursor for select 1", "rollback"}) {
    EXPECT_TRUE(may_matter(text)) << text;
  }
  for (const char* text :
       {"", "SELECT 1", "INSERT INTO begins VALUES (1)", "SELECT commit_date, is_end",
        "SELECT \xc3\xa9"
        "end",
        "update t set a = 1"}) {
    EXPECT_FALSE(may_matter(text)) << text;
  }
}

}  // namespace
}  // namespace leaktrace::postgres
