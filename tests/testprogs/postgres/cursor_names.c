/* SPDX-License-Identifier: Apache-2.0 */
/* Names and texts that mislead who reads SQL without its grammar. */
#include "scenarios.h"

#define ALPHABET "abcdefghijklmnopqrstuvwxyz"

SITE static void keep_odd_names(PGconn* connection) {
  sql(connection, "DECLARE \"Odd Case\" CURSOR WITH HOLD FOR SELECT 1");
  sql(connection, "declare MiXeD cursor with hold for select 1");
  sql(connection, "DECLARE \"semi;colon\" CURSOR WITH HOLD FOR SELECT 1");
  sql(connection, "DECLARE \"quo\"\"te\" CURSOR WITH HOLD FOR SELECT 1");
  sql(connection, "DECLARE U&\"\\0441\\0443\\0440\" CURSOR WITH HOLD FOR SELECT 1");
  sql(connection, "DECLARE größe CURSOR WITH HOLD FOR SELECT 1");
  sql(connection, "DECLARE \"CLOSE ALL\" CURSOR WITH HOLD FOR SELECT 1");
  sql(connection, "DECLARE cursor CURSOR WITH HOLD FOR SELECT 1");
  sql(connection, "DECLARE \" \" CURSOR WITH HOLD FOR SELECT 1");
  HOLDS(CURSOR, 9);
}

SITE static void keep_among_comments(PGconn* connection) {
  sql(connection,
      "/* DECLARE no CURSOR /* nested; */ ; */ DECLARE--; CLOSE ALL\n"
      "/**/commented/* ; CLOSE ALL */CURSOR\tWITH\nHOLD FOR SELECT 1 -- CLOSE ALL");
  sql(connection, ";;  ; DECLARE semicolons CURSOR WITH HOLD FOR SELECT 1;;");
  HOLDS(CURSOR, 2);
}

SITE static void keep_among_literals(PGconn* connection) {
  sql(connection, "DECLARE in_quotes CURSOR WITH HOLD FOR SELECT '; CLOSE ALL; ''DISCARD ALL'");
  sql(connection, "DECLARE in_dollars CURSOR WITH HOLD FOR SELECT $a$; CLOSE ALL; $b$ '$a$");
  sql(connection, "DECLARE in_escapes CURSOR WITH HOLD FOR SELECT E'\\'; CLOSE ALL; '");
  sql(connection, "SELECT 'DECLARE no CURSOR WITH HOLD FOR SELECT 1'");
  sql(connection, "DO $$ BEGIN PERFORM 'CLOSE ALL'; END $$");
  sql(connection, "SELECT 1 AS \"CLOSE ALL\" -- ; CLOSE ALL");
  HOLDS(CURSOR, 3);
}

/* The server keeps 63 bytes of a name, and no part of a character. */
SITE static void keep_long_names(PGconn* connection) {
  sql(connection, "DECLARE " ALPHABET ALPHABET ALPHABET " CURSOR WITH HOLD FOR SELECT 1");
  sql(connection, "DECLARE \"" ALPHABET ALPHABET "0123456789öö\" CURSOR WITH HOLD FOR SELECT 1");
  HOLDS(CURSOR, 2);
}

SITE static void release_odd_names(PGconn* connection) {
  sql(connection, "DECLARE \"lower\" CURSOR WITH HOLD FOR SELECT 1; CLOSE LOWER");
  sql(connection, "DECLARE \"Up;per\" CURSOR WITH HOLD FOR SELECT 1; CLOSE /* it */ \"Up;per\"");
  sql(connection, "DECLARE \"\\\" CURSOR WITH HOLD FOR SELECT 1; CLOSE \"\\\"");
  sql(connection, "DECLARE U&\"d\\0061ta\" CURSOR WITH HOLD FOR SELECT 1; CLOSE data");
  sql(connection, "DECLARE z" ALPHABET ALPHABET ALPHABET " CURSOR WITH HOLD FOR SELECT 1");
  sql(connection, "CLOSE z" ALPHABET ALPHABET "abcdefghijk_and_another_end");
  HOLDS(CURSOR, 0);
}

/* With standard_conforming_strings off a backslash hides the quote. */
SITE static void keep_with_backslashes(PGconn* connection) {
  sql(connection, "SET standard_conforming_strings = off; SET escape_string_warning = off");
  sql(connection, "DECLARE backslash CURSOR WITH HOLD FOR SELECT '\\'; CLOSE ALL; --'");
  sql(connection, "RESET standard_conforming_strings");
  HOLDS(CURSOR, 1);
}

static void cursors_named_oddly(void) {
  PGconn* connection = open_session();
  keep_odd_names(connection);
  keep_among_comments(connection);
  keep_among_literals(connection);
  keep_long_names(connection);
  release_odd_names(connection);
}

static void cursors_with_backslashes(void) {
  keep_with_backslashes(open_session());
}

/* `before`, then as many letters as fill `size`, then `after`. */
static char* long_text(const char* before, size_t size, const char* after) {
  char* text = malloc(size + 1);
  MUST(text != NULL, NULL);
  const size_t head = strlen(before), tail = strlen(after);
  memset(text, 'x', size);
  memcpy(text, before, head);
  memcpy(text + size - tail, after, tail + 1);
  return text;
}

/* Longer than is read, but its head says all. */
SITE static void keep_long_text(PGconn* connection) {
  char* text = long_text("DECLARE long_text CURSOR WITH HOLD FOR SELECT '", 6000, "'");
  sql(connection, text);
  sql(connection, "PREPARE after_it AS SELECT 1");
  free(text);
  HOLDS(CURSOR, 1);
  HOLDS(STATEMENT, 1);
}

SITE static void release_long_text(PGconn* connection) {
  char* text = long_text("DECLARE to_close CURSOR WITH HOLD FOR SELECT '", 6000, "'");
  sql(connection, text);
  free(text);
  text = long_text("CLOSE to_close -- ", 6000, "");
  sql(connection, text);
  free(text);
  HOLDS(CURSOR, 0);
}

static void cursors_of_long_text(void) {
  PGconn* connection = open_session();
  keep_long_text(connection);
  release_long_text(connection);
}

/* What matters is behind all that is read. */
SITE static void keep_behind_comment(PGconn* connection) {
  char* text = long_text("/*", 6000, "*/ DECLARE unseen CURSOR WITH HOLD FOR SELECT 1");
  sql(connection, text);
  free(text);
  HOLDS(CURSOR, 1);
}

static void cursors_behind_the_cut(void) {
  keep_behind_comment(open_session());
}

const struct scenario cursor_name_scenarios[] = {
    {"cursors_named_oddly", cursors_named_oddly},
    {"cursors_with_backslashes", cursors_with_backslashes},
    {"cursors_of_long_text", cursors_of_long_text},
    {"cursors_behind_the_cut", cursors_behind_the_cut},
    {NULL, NULL}};
