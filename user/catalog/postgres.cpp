// SPDX-License-Identifier: Apache-2.0
// The functions of libpq that open something at a server or give the program something to give
// back. Which do is said in PostgreSQL's documentation of libpq, chapter "libpq — C Library"; those
// that came later (PostgreSQL 14: pipelines, 17: closing, cancelling) are hooked where they are.
#include <array>

#include "user/catalog/row.h"
#include "user/catalog/values.h"

namespace leaktrace::catalog {
namespace {

constexpr lt_value_source kResultMemory{LT_FROM_PG_RESULT, 0, 0, 0};

Row pg_row(std::string_view symbol, lt_kind kind, lt_operation operation, lt_success success) {
  Row row{std::string(symbol), Applies::always, lt_row{}};
  row.abi.kind = static_cast<__u8>(kind);
  row.abi.operation = static_cast<__u8>(operation);
  row.abi.success = static_cast<__u8>(success);
  row.abi.extent = LT_EXTENT_POINT;
  return row;
}

Row acquires(std::string_view symbol, lt_kind kind, lt_pg_role role = LT_PG_NO_ROLE) {
  Row row = pg_row(symbol, kind, LT_OP_ACQUIRE, LT_SUCCESS_NONNULL);
  row.abi.handle = kReturn;
  row.abi.pg_role = static_cast<__u8>(role);
  return row;
}

Row releases(std::string_view symbol, lt_kind kind, lt_pg_role role = LT_PG_NO_ROLE) {
  Row row = pg_row(symbol, kind, LT_OP_RELEASE, LT_SUCCESS_ALWAYS);
  row.abi.old_handle = argument(0);
  row.abi.pg_role = static_cast<__u8>(role);
  return row;
}

Row makes_result(std::string_view symbol, lt_pg_role role = LT_PG_RESULT) {
  Row row = acquires(symbol, LT_KIND_PG_RESULT, role);
  row.abi.weight = kResultMemory;
  return row;
}

Row only_imported(Row row) {
  row.applies = Applies::once_imported;
  return row;
}

/// Where SQL and name of a command are, by how it is sent: see enum lt_pg_command.
void set_arguments(Row& row, lt_pg_command command) {
  row.abi.pg_command = static_cast<__u8>(command);
  switch (command) {
    case LT_PG_QUERY:
    case LT_PG_PARAMETERS:
      row.abi.pg_sql = argument(1);
      break;
    case LT_PG_PREPARE:
      row.abi.pg_name = argument(1);
      row.abi.pg_sql = argument(2);
      break;
    case LT_PG_SYNC:
      break;
    default:
      row.abi.pg_name = argument(1);
  }
}

/// Sends a command and returns its last result.
Row runs(std::string_view symbol, lt_pg_command command) {
  Row row = makes_result(symbol, LT_PG_RUN);
  set_arguments(row, command);
  return row;
}

/// Sends a command, whose results PQgetResult brings; returns 1 when it was sent.
Row sends(std::string_view symbol, lt_pg_command command) {
  Row row = pg_row(symbol, LT_KIND_PG_STATEMENT, LT_OP_NOTE, LT_SUCCESS_ALWAYS);
  row.abi.pg_role = LT_PG_COMMAND;
  set_arguments(row, command);
  return row;
}

/// Changes what a connection is in. `value`: of LT_PG_ROW_MODE, 1: single, 2: chunked.
Row changes(std::string_view symbol, lt_pg_role role, int value = 0) {
  Row row = pg_row(symbol, LT_KIND_PG_STATEMENT, LT_OP_NOTE, LT_SUCCESS_ALWAYS);
  row.abi.pg_role = static_cast<__u8>(role);
  row.abi.pg_command = static_cast<__u8>(value);
  return row;
}

// int PQgetCopyData(conn, char** buffer, async): the length when there is a row.
Row copy_data_row() {
  Row row = pg_row("PQgetCopyData", LT_KIND_PG_BUFFER, LT_OP_ACQUIRE, LT_SUCCESS_POSITIVE);
  row.abi.handle = pointee(1);
  row.abi.weight = kReturn;
  return row;
}

Row large_object_row(std::string_view symbol, lt_pg_role role) {
  Row row = pg_row(symbol, LT_KIND_PG_LARGE_OBJECT, LT_OP_NOTE, LT_SUCCESS_ALWAYS);
  row.abi.pg_role = static_cast<__u8>(role);
  row.abi.old_weight = argument(1);  // lo_close's descriptor
  return row;
}

void add_connections(std::vector<Row>& rows) {
  for (const char* symbol : {"PQconnectdb", "PQconnectdbParams", "PQconnectStart",
                             "PQconnectStartParams", "PQsetdbLogin"}) {
    rows.push_back(acquires(symbol, LT_KIND_PG_CONNECTION, LT_PG_CONNECT));
  }
  rows.push_back(releases("PQfinish", LT_KIND_PG_CONNECTION, LT_PG_FINISH));
  rows.push_back(changes("PQreset", LT_PG_RESET));
  rows.push_back(changes("PQresetStart", LT_PG_RESET));
}

void add_commands(std::vector<Row>& rows) {
  rows.insert(rows.end(), {
                              runs("PQexec", LT_PG_QUERY),
                              runs("PQexecParams", LT_PG_PARAMETERS),
                              runs("PQprepare", LT_PG_PREPARE),
                              runs("PQexecPrepared", LT_PG_EXECUTE),
                              runs("PQdescribePrepared", LT_PG_DESCRIBE),
                              runs("PQdescribePortal", LT_PG_DESCRIBE),
                              runs("PQclosePrepared", LT_PG_CLOSE_STATEMENT),
                              runs("PQclosePortal", LT_PG_CLOSE_PORTAL),
                              sends("PQsendQuery", LT_PG_QUERY),
                              sends("PQsendQueryParams", LT_PG_PARAMETERS),
                              sends("PQsendPrepare", LT_PG_PREPARE),
                              sends("PQsendQueryPrepared", LT_PG_EXECUTE),
                              sends("PQsendDescribePrepared", LT_PG_DESCRIBE),
                              sends("PQsendDescribePortal", LT_PG_DESCRIBE),
                              sends("PQsendClosePrepared", LT_PG_CLOSE_STATEMENT),
                              sends("PQsendClosePortal", LT_PG_CLOSE_PORTAL),
                              sends("PQpipelineSync", LT_PG_SYNC),
                              sends("PQsendPipelineSync", LT_PG_SYNC),
                          });
}

void add_results(std::vector<Row>& rows) {
  rows.insert(rows.end(), {
                              makes_result("PQgetResult", LT_PG_GET_RESULT),
                              makes_result("PQfn"),
                              makes_result("PQcopyResult"),
                              only_imported(makes_result("PQmakeEmptyPGresult")),
                              releases("PQclear", LT_KIND_PG_RESULT, LT_PG_RESULT),
                          });
}

void add_modes(std::vector<Row>& rows) {
  rows.insert(rows.end(), {
                              changes("PQenterPipelineMode", LT_PG_PIPELINE_ENTER),
                              changes("PQexitPipelineMode", LT_PG_PIPELINE_LEAVE),
                              changes("PQsetSingleRowMode", LT_PG_ROW_MODE, 1),
                              changes("PQsetChunkedRowsMode", LT_PG_ROW_MODE, 2),
                              large_object_row("lo_open", LT_PG_LO_OPEN),
                              large_object_row("lo_close", LT_PG_LO_CLOSE),
                          });
}

void add_buffers(std::vector<Row>& rows) {
  for (const char* symbol :
       {"PQnotifies", "PQescapeLiteral", "PQescapeIdentifier", "PQescapeByteaConn", "PQescapeBytea",
        "PQunescapeBytea", "PQencryptPasswordConn", "PQencryptPassword", "PQgetCancel",
        "PQcancelCreate", "PQconndefaults", "PQconninfo", "PQconninfoParse"}) {
    rows.push_back(acquires(symbol, LT_KIND_PG_BUFFER));
  }
  rows.push_back(copy_data_row());
  for (const char* symbol :
       {"PQfreemem", "PQfreeNotify", "PQfreeCancel", "PQcancelFinish", "PQconninfoFree"}) {
    rows.push_back(releases(symbol, LT_KIND_PG_BUFFER));
  }
}

std::vector<Row> build_postgres_rows() {
  std::vector<Row> rows;
  add_connections(rows);
  add_commands(rows);
  add_results(rows);
  add_modes(rows);
  add_buffers(rows);
  return rows;
}

}  // namespace

std::span<const Row> postgres_rows() {
  static const std::vector<Row> rows = build_postgres_rows();
  return rows;
}

Row free_of_buffers_row() {
  return releases("free", LT_KIND_PG_BUFFER);
}

}  // namespace leaktrace::catalog
