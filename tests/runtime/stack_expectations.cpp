// SPDX-License-Identifier: Apache-2.0
#include "tests/runtime/stack_expectations.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <iterator>
#include <sstream>

#include "tests/runtime/leaktrace.h"

namespace leaktrace::runtime {

using nlohmann::json;

namespace {

using Names = std::vector<std::string>;

bool reads_from(Names::const_iterator frame, Names::const_iterator end,
                Chain::const_iterator wanted, Chain::const_iterator last) {
  if (wanted == last) return frame == end;
  if (*wanted == "*") {
    return reads_from(frame, end, wanted + 1, last) ||
           (frame != end && reads_from(frame + 1, end, wanted, last));
  }
  return frame != end && (*wanted == "?" || is_function(*frame, *wanted)) &&
         reads_from(frame + 1, end, wanted + 1, last);
}

bool names_a_function_of_ours(const Chain& chain, const std::string& function) {
  return std::any_of(chain.begin(), chain.end(), [&](const std::string& name) {
    return name != "?" && name != "*" && name != "_start" && is_function(function, name);
  });
}

void expect_lines(const json& site, const ExpectedLeak& leak, const std::string& source) {
  for (const json& frame : site.at("stack")) {
    if (!names_a_function_of_ours(leak.chain, frame.at("function"))) continue;
    EXPECT_THAT(frame.at("file").get<std::string>(), testing::EndsWith("/" + source))
        << frame.dump();
    EXPECT_GT(frame.at("line"), 0) << frame.dump();
  }
}

}  // namespace

Chain started_by_libc(Chain until_main) {
  until_main.insert(until_main.end(), {"main", "*", "_start"});
  return until_main;
}

bool reads(const std::vector<std::string>& functions, const Chain& chain) {
  return reads_from(functions.begin(), functions.end(), chain.begin(), chain.end());
}

std::map<std::string, std::set<Addresses>> stacks_said(const std::string& out) {
  std::map<std::string, std::set<Addresses>> said;
  std::istringstream lines(out);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string word, function;
    if (!(words >> word >> function) || word != "stack") continue;
    Addresses addresses;
    for (std::string address; words >> address;) {
      addresses.push_back(std::stoull(address, nullptr, 16));
    }
    if (!addresses.empty()) said[function].insert(addresses);
  }
  return said;
}

std::vector<json> sites_of(const Report& report, const std::string& function) {
  std::vector<json> sites = report.stacks_with(function);
  std::erase_if(sites, [&](const json& site) {
    for (const json& frame : site.at("stack")) {
      if (!frame.at("inlined")) return !is_function(frame.at("function"), function);
    }
    return true;
  });
  return sites;
}

Addresses callers(const json& site) {
  Addresses addresses;
  for (const json& frame : site.at("stack")) {
    if (frame.at("inlined")) continue;
    addresses.push_back(std::stoull(frame.at("address").get<std::string>(), nullptr, 16));
  }
  if (!addresses.empty()) addresses.erase(addresses.begin());
  return addresses;
}

void expect_stacks(const Report& report, const ExpectedStacks& expected) {
  auto amounts = leaks_said(expected.out);
  auto said = stacks_said(expected.out);
  for (const ExpectedLeak& leak : expected.leaks) {
    SCOPED_TRACE(leak.function);
    ASSERT_TRUE(amounts.contains(leak.function)) << "the program does not know of it";
    const std::vector<json> sites = sites_of(report, leak.function);
    ASSERT_FALSE(sites.empty());
    Amount amount;
    std::set<Addresses> found;
    for (const json& site : sites) {
      amount += {site.at("outstanding").at("count"), site.at("outstanding").at("bytes")};
      EXPECT_EQ(site.at("stack_complete"), true) << site.at("stack_end");
      EXPECT_EQ(site.at("stack_end"), "complete");
      EXPECT_TRUE(reads(Report::functions(site), leak.chain))
          << testing::PrintToString(Report::functions(site)) << "\nwanted "
          << testing::PrintToString(leak.chain);
      if (!expected.source.empty()) expect_lines(site, leak, expected.source);
      found.insert(callers(site));
    }
    EXPECT_EQ(amount, amounts[leak.function]);
    if (said.contains(leak.function)) {
      EXPECT_EQ(found, said[leak.function]);
    }
  }
}

int line_of(const std::string& file, const std::string& name) {
  std::istringstream lines(
      read_whole(std::string(LEAKTRACE_SOURCE_DIR "/tests/testprogs/stacks/") + file));
  int number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (line.find("line: " + name + " */") != std::string::npos) return number;
  }
  ADD_FAILURE() << file << " has no comment \"line: " << name << "\"";
  return 0;
}

}  // namespace leaktrace::runtime
