// SPDX-License-Identifier: Apache-2.0
#include "tests/bpf/oracle/workload.h"

#include <dlfcn.h>
#include <fmt/core.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <iterator>

namespace leaktrace::tests {
namespace {

struct Row {
  const char* name;
  std::vector<std::string> needs;     ///< files
  std::vector<std::string> programs;  ///< see Workload
  const char* library;                ///< "libc" stands for this machine's
  std::vector<std::string> functions;
  uint32_t one_in;
};

const std::vector<std::string> allocation = {"malloc", "calloc", "realloc"};
constexpr const char* jemalloc = "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2";
constexpr const char* postgres = "/usr/lib/postgresql/15/bin/postgres";

const std::vector<Row>& rows() {
  static const std::vector<Row> all = {
      {"clang", {"/usr/bin/clang++-14"}, {"clang"}, "libc", allocation, 40},
      {"opt", {"/usr/bin/clang++-14", "/usr/bin/opt-14"}, {"opt"}, "libc", allocation, 20},
      {"llc", {"/usr/bin/clang++-14", "/usr/bin/llc-14"}, {"llc"}, "libc", allocation, 20},
      {"python3", {"/usr/bin/python3.11"}, {"python3.11"}, "libc", allocation, 100},
      {"gdb", {"/usr/bin/gdb"}, {"gdb"}, "libc", allocation, 20},
      {"node", {"/usr/bin/node"}, {"node"}, "libc", allocation, 5},
      {"git", {"/usr/bin/git"}, {"git"}, "libc", allocation, 5},
      {"redis",
       {"/usr/bin/redis-server", "/usr/bin/redis-benchmark", jemalloc},
       {"redis-check-rdb", "redis-server"},
       jemalloc,
       allocation,
       20},
      {"postgres",
       {postgres, "/usr/bin/pgbench"},
       {"postgres"},
       postgres,
       {"palloc", "palloc0"},
       100},
      {"ripgrep", {"/usr/bin/rg"}, {"rg"}, "libc", allocation, 1},
  };
  return all;
}

}  // namespace

std::string path_of_libc() {
  Dl_info info{};
  if (dladdr(reinterpret_cast<const void*>(&std::abort), &info) == 0) return {};
  std::error_code ignored;
  return std::filesystem::canonical(info.dli_fname, ignored).string();
}

std::vector<std::string> workload_names() {
  std::vector<std::string> names;
  std::transform(rows().begin(), rows().end(), std::back_inserter(names),
                 [](const Row& row) { return row.name; });
  return names;
}

Result<Workload> find_workload(const std::string& name) {
  const auto row =
      std::find_if(rows().begin(), rows().end(), [&](const Row& r) { return name == r.name; });
  if (row == rows().end()) {
    return fail(fmt::format("no workload '{}'", name), "see --list");
  }
  for (const std::string& file : row->needs) {
    if (!std::filesystem::exists(file)) {
      return fail(fmt::format("{} needs {}, which is not installed", name, file));
    }
  }
  const std::string script = fmt::format(LEAKTRACE_WORKLOADS "/{}.sh", name);
  const std::string library = row->library == std::string("libc") ? path_of_libc() : row->library;
  return Workload{name, {"/bin/bash", script}, row->programs, library, row->functions, row->one_in};
}

}  // namespace leaktrace::tests
