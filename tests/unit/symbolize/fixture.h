// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "user/symbolize/local_symbolizer.h"

namespace leaktrace::symbolize::test {

inline constexpr model::ModuleId kModule{1};

[[nodiscard]] std::filesystem::path fixture(const std::string& name);
/// Fixtures whose name begins so.
[[nodiscard]] std::vector<std::string> fixtures_like(const std::string& prefix);

/// The fixture's name as GoogleTest takes it.
[[nodiscard]] std::string case_name(const ::testing::TestParamInfo<std::string>& fixture);

/// What the command prints; fails the test when its status is not 0.
[[nodiscard]] std::string output_of(const std::string& command);
/// Runs the command; fails the test when its status is not 0.
void run(const std::string& command);
[[nodiscard]] bool have_program(const std::string& name);

/// Addresses that the fixture itself prints, "name hex" a line.
[[nodiscard]] std::map<std::string, std::uint64_t> own_addresses(
    const std::filesystem::path& program);
/// The lines of fixtures/SOURCE that end in "// @name".
[[nodiscard]] std::map<std::string, std::uint32_t> marked_lines(const std::string& source);
/// Symbols of the file as nm prints them (`arguments`: "" or "-D").
[[nodiscard]] std::map<std::string, std::uint64_t> nm(const std::filesystem::path& file,
                                                      const std::string& arguments = {});

/// Looks up one address in a file that is opened for it alone.
[[nodiscard]] std::vector<model::SourceFrame> look_up_in(const std::filesystem::path& file,
                                                         std::uint64_t address,
                                                         const std::string& root = {});

/// The folder as the root of a process; empty: the host's.
[[nodiscard]] ForeignRoot root_at(const std::string& folder);

/// A folder that is removed with its content.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace leaktrace::symbolize::test
