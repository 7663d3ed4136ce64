// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/runtime/temp_dir.h"

namespace leaktrace::runtime {

using Seconds = std::chrono::duration<double>;

/// Asks every 10 ms until it is true; false when it never was.
bool wait_until(const std::function<bool()>& condition, Seconds limit);

/// How a command ended and what it said.
struct Outcome {
  int status = -1;         ///< exit status, or 128 + the signal that ended it
  bool timed_out = false;  ///< it did not end in time and was killed
  std::string out;
  std::string err;
};

struct SpawnOptions {
  std::string input{};                     ///< stdin, whole; none: /dev/null
  std::vector<std::string> environment{};  ///< NAME=value, added to our own
};

/// A program that was started, in a process group of its own. It and its group are killed, by id,
/// when this goes out of scope. Its output goes to files, so that a program that says much never
/// waits for the test.
class Process {
 public:
  explicit Process(std::vector<std::string> command, const SpawnOptions& options = {});
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  void signal(int number) const;
  [[nodiscard]] bool running();

  /// What it has said so far.
  [[nodiscard]] std::string out() const { return read_whole(files_->file("out")); }
  [[nodiscard]] std::string err() const { return read_whole(files_->file("err")); }

  /// Waits for a whole line on stdout that begins with `word`; what follows the word and a blank.
  std::optional<std::string> wait_for_line(const std::string& word, Seconds limit = Seconds(20));

  /// Waits until it ends; kills it when it does not.
  Outcome wait(Seconds limit = Seconds(60));

 private:
  bool reap(int flags);

  std::unique_ptr<TempDir> files_;
  pid_t pid_ = -1;
  bool ended_ = false;
  int wait_status_ = 0;
};

/// Starts a command and waits for its end.
Outcome run_command(std::vector<std::string> command, const SpawnOptions& options = {},
                    Seconds limit = Seconds(60));

}  // namespace leaktrace::runtime
