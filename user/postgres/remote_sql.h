// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "user/base/sandbox.h"
#include "user/base/worker.h"
#include "user/postgres/sql_reader.h"

namespace leaktrace::postgres {

/// Has SQL read by a process that can do nothing else (Sandbox): the text is the program's, and the
/// grammar is a large parser in C. Nothing that comes back is believed: what lies outside of the
/// text, or is no name that a server could have, is refused.
///
/// A text that ends that process, or that it takes too long for, counts as one that the grammar
/// refuses, or is shown as "(not SQL)"; a warning says what happened. When the process ended too
/// often, no text is read any more.
class RemoteSql final : public SqlReader {
 public:
  /// What its sandbox is for.
  [[nodiscard]] static SandboxWork work();

  /// `bounds`: of one text.
  explicit RemoteSql(std::unique_ptr<Sandbox> sandbox,
                     const WorkBounds& bounds = {.cpu_seconds = 3, .seconds = 30});

  [[nodiscard]] ParsedSql parse(std::string_view text, bool cut) override;
  [[nodiscard]] std::string normalize(std::string_view text, std::size_t most) override;

 private:
  void tell(const Error& error, const char* what_now);

  Worker worker_;
  bool told_given_up_ = false;
};

}  // namespace leaktrace::postgres
