// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/symbolize/fixture.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <sstream>

namespace leaktrace::symbolize::test {

namespace fs = std::filesystem;

fs::path fixture(const std::string& name) {
  return fs::path(FIXTURES) / name;
}

std::vector<std::string> fixtures_like(const std::string& prefix) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(FIXTURES)) {
    std::string name = entry.path().filename();
    if (name.starts_with(prefix) && entry.path().extension() != ".dwo") names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string case_name(const ::testing::TestParamInfo<std::string>& fixture) {
  std::string name = fixture.param;
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
}

std::string output_of(const std::string& command) {
  std::unique_ptr<FILE, int (*)(FILE*)> pipe(::popen(command.c_str(), "r"), &::pclose);
  std::string output;
  std::array<char, 4096> buffer{};
  while (std::size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe.get())) {
    output.append(buffer.data(), n);
  }
  EXPECT_EQ(::pclose(pipe.release()), 0) << command;
  return output;
}

void run(const std::string& command) {
  EXPECT_EQ(std::system(command.c_str()), 0) << command;
}

bool have_program(const std::string& name) {
  return std::system(fmt::format("command -v '{}' >/dev/null", name).c_str()) == 0;
}

std::map<std::string, std::uint64_t> own_addresses(const fs::path& program) {
  std::map<std::string, std::uint64_t> addresses;
  std::istringstream lines(output_of(program));
  std::string name;
  std::uint64_t address = 0;
  while (lines >> name >> std::hex >> address) addresses[name] = address;
  return addresses;
}

std::map<std::string, std::uint32_t> marked_lines(const std::string& source) {
  const std::string path =
      fmt::format("{}/tests/unit/symbolize/fixtures/{}", LEAKTRACE_SOURCE_DIR, source);
  std::ifstream file(path);
  std::map<std::string, std::uint32_t> lines;
  std::uint32_t number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    const auto mark = line.find("// @");
    if (mark != std::string::npos) lines[line.substr(mark + 4)] = number;
  }
  return lines;
}

std::map<std::string, std::uint64_t> nm(const fs::path& file, const std::string& arguments) {
  std::map<std::string, std::uint64_t> symbols;
  std::istringstream lines(
      output_of(fmt::format("nm --defined-only {} '{}'", arguments, file.string())));
  std::uint64_t address = 0;
  std::string type;
  std::string name;
  while (lines >> std::hex >> address >> type >> name) symbols[name] = address;
  return symbols;
}

ForeignRoot root_at(const std::string& folder) {
  if (folder.empty()) return {};
  auto root = ForeignRoot::open(folder);
  EXPECT_TRUE(root) << folder;
  return root ? *root : ForeignRoot::none();
}

std::vector<model::SourceFrame> look_up_in(const fs::path& file, std::uint64_t address,
                                           const std::string& root) {
  LocalSymbolizer symbolizer;
  UniqueFd fd(::open((root + file.string()).c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_TRUE(fd) << root << file;
  symbolizer.add_module({kModule, file, "", std::move(fd), root_at(root)});
  return symbolizer.look_up(kModule, address);
}

TemporaryFolder::TemporaryFolder() {
  std::string name = fs::temp_directory_path() / "leaktrace.XXXXXX";
  path_ = ::mkdtemp(name.data());
}

TemporaryFolder::~TemporaryFolder() {
  fs::remove_all(path_);
}

}  // namespace leaktrace::symbolize::test
