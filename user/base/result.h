// SPDX-License-Identifier: Apache-2.0
// Errors as values. g++ 12 has no std::expected, so this is the part of it that leaktrace needs,
// under the standard's member names; replace it when the compiler floor moves.
#pragma once

#include <string>
#include <utility>
#include <variant>

namespace leaktrace {

/// What went wrong and what the user can do about it, both as whole phrases without a full stop.
struct Error {
  std::string what;
  std::string advice;  ///< empty when there is nothing to do

  /// One line for a person: "what; advice".
  [[nodiscard]] std::string message() const { return advice.empty() ? what : what + "; " + advice; }
};

/// Marks an error on its way into a Result, so that Result<std::string> stays unambiguous.
struct Unexpected {
  Error error;
};

[[nodiscard]] inline Unexpected fail(std::string what, std::string advice = {}) {
  return {{std::move(what), std::move(advice)}};
}

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Unexpected failure) : state_(std::in_place_index<1>, std::move(failure.error)) {}

  [[nodiscard]] bool has_value() const { return state_.index() == 0; }
  explicit operator bool() const { return has_value(); }

  [[nodiscard]] T& value() & { return std::get<0>(state_); }
  [[nodiscard]] const T& value() const& { return std::get<0>(state_); }
  [[nodiscard]] T&& value() && { return std::get<0>(std::move(state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  [[nodiscard]] const Error& error() const { return std::get<1>(state_); }
  /// Passes the error on, for a function that returns another kind of Result.
  [[nodiscard]] Unexpected unexpected() const { return {error()}; }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Unexpected failure) : error_(std::move(failure.error)), failed_(true) {}

  [[nodiscard]] bool has_value() const { return !failed_; }
  explicit operator bool() const { return has_value(); }
  [[nodiscard]] const Error& error() const { return error_; }
  [[nodiscard]] Unexpected unexpected() const { return {error_}; }

 private:
  Error error_;
  bool failed_ = false;
};

}  // namespace leaktrace
