// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <libpq-fe.h>

#include <cstdio>
#include <string>

#include "random_sql.h"

/// A session that is used at random, in all of libpq's modes. It may be left in any of them: the
/// next step goes on there, or leaves.
class RandomSession {
 public:
  /// Its protocol's messages are written to `log`, when there is one.
  RandomSession(Dice& dice, std::FILE* log);
  ~RandomSession();
  RandomSession(const RandomSession&) = delete;
  RandomSession& operator=(const RandomSession&) = delete;

  /// One operation.
  void step();
  /// Leaves every mode, so that the session can be asked. A transaction that has failed is rolled
  /// back, or, at random, left: then the session cannot be asked.
  void settle();
  [[nodiscard]] PGconn* connection() const { return connection_; }

 private:
  enum class Mode { plain, sent, pipeline, copy_in, copy_out };

  [[nodiscard]] RandomSql::Transaction transaction() const;
  void connect();
  void reconnect();

  void plain_step();
  void run_statement();
  void run_prepared();
  void prepare();
  void describe();
  void send(bool row_by_row);
  void begin_copy();

  void pipeline_step();
  void pipeline_command();
  void sync();
  void take_syncs(int most);
  void leave_pipeline();

  void copy_step();
  void end_copy();
  void leave_mode();

  void drain();

  Dice& dice_;
  RandomSql sql_;
  std::FILE* log_;
  PGconn* connection_ = nullptr;
  Mode mode_ = Mode::plain;
  int syncs_ = 0;     ///< of a pipeline, whose results were not taken
  int commands_ = 0;  ///< of it since the last sync
};
