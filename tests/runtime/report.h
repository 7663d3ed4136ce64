// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <ostream>
#include <string>
#include <vector>

namespace leaktrace::runtime {

/// Of one call site or of many.
struct Amount {
  std::uint64_t count = 0;
  std::uint64_t bytes = 0;
  bool operator==(const Amount&) const = default;
  Amount& operator+=(const Amount& other) {
    count += other.count;
    bytes += other.bytes;
    return *this;
  }
};

std::ostream& operator<<(std::ostream& out, const Amount& amount);

/// Is `function`, as a report names it, the one that a test calls `name`? Parameters, namespaces
/// and classes in front may be left out: "remember" is "leaky_server::SessionStore::remember(…)".
bool is_function(const std::string& function, const std::string& name);

/// A JSON report (design, section 8), read as a user of it would.
class Report {
 public:
  /// Throws when the text is no report.
  explicit Report(const std::string& text);

  [[nodiscard]] const nlohmann::json& json() const { return json_; }

  /// Sum over the sites that have `function` anywhere in their stacks; `kind` and `pid` may be left
  /// open.
  [[nodiscard]] Amount outstanding(const std::string& function, const std::string& kind = {},
                                   int pid = 0) const;
  [[nodiscard]] Amount acquired(const std::string& function, const std::string& kind = {}) const;
  /// Over all the sites that are in it.
  [[nodiscard]] Amount outstanding_at_all() const;
  [[nodiscard]] std::size_t sites_with(const std::string& function) const;
  [[nodiscard]] std::vector<nlohmann::json> stacks_with(const std::string& function) const;
  /// Names of the functions of a site's stack, innermost first.
  [[nodiscard]] static std::vector<std::string> functions(const nlohmann::json& site);

  /// The loss counters that are not zero.
  [[nodiscard]] std::map<std::string, std::uint64_t> losses() const;
  [[nodiscard]] std::uint64_t loss(const std::string& cause) const;

 private:
  nlohmann::json json_;
};

}  // namespace leaktrace::runtime
