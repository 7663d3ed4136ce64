// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/runtime/report.h"

namespace leaktrace::runtime {

/// How a stack should read, innermost frame first: names of functions (see is_function), "?" for
/// one frame of any name, "*" for any number of them. Frames of the C library are given so: their
/// names depend on which packages are installed.
using Chain = std::vector<std::string>;

/// What follows main in a program that the C library has started.
[[nodiscard]] Chain started_by_libc(Chain until_main);

/// Nothing is missing between the frames and nothing foreign among them.
[[nodiscard]] bool reads(const std::vector<std::string>& functions, const Chain& chain);

/// The return addresses of a function's callers, innermost first.
using Addresses = std::vector<std::uint64_t>;

/// What a program of testprogs/stacks found with an unwinder of its own: by the function that
/// leaks, each distinct stack. Without those that it could not unwind itself.
[[nodiscard]] std::map<std::string, std::set<Addresses>> stacks_said(const std::string& out);

/// The sites whose innermost frame that is not inlined is `function`.
[[nodiscard]] std::vector<nlohmann::json> sites_of(const Report& report,
                                                   const std::string& function);

/// Of a site, the addresses of its frames but the innermost.
[[nodiscard]] Addresses callers(const nlohmann::json& site);

/// One that leaks, and who calls it. `said` is looked up by `function`.
struct ExpectedLeak {
  std::string function;
  Chain chain;
};

/// What a program printed, and what there is to hold it to.
struct ExpectedStacks {
  std::string out;
  std::string source;  ///< the file name that its frames should have; none: not asked
  std::vector<ExpectedLeak> leaks;
};

/// Every leak has the count and bytes that the program said, whole stacks that read as its chain,
/// file and line in each frame that the chain names, and the very return addresses that the
/// program's own unwinder found.
void expect_stacks(const Report& report, const ExpectedStacks& expected);

/// The line of testprogs/stacks/FILE that has the comment "line: NAME".
[[nodiscard]] int line_of(const std::string& file, const std::string& name);

}  // namespace leaktrace::runtime
