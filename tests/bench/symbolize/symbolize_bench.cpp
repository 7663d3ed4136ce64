// SPDX-License-Identifier: Apache-2.0
//
// symbolize_bench FILE [COUNT [--all]]: how long COUNT look-ups (50000) of distinct addresses
// spread over the code of FILE take and which memory, beside llvm-symbolizer for the same
// addresses, both from a cold start in one run; with --all beside eu-addr2line and addr2line too,
// which take minutes. symbolize_bench FILE --print < ADDRESSES: the frames, as llvm-symbolizer
// prints them.
#include <fcntl.h>
#include <fmt/core.h>
#include <gelf.h>
#include <libelf.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <random>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "user/symbolize/local_symbolizer.h"

namespace {

using leaktrace::UniqueFd;
using leaktrace::model::ModuleId;
using leaktrace::symbolize::LocalSymbolizer;
using leaktrace::symbolize::Symbolizer;

constexpr ModuleId kModule{1};

/// Addresses spread evenly at random over the executable sections, the same in every run.
std::vector<std::uint64_t> code_addresses(const std::string& path, std::size_t count) {
  std::vector<std::uint64_t> addresses;
  std::vector<GElf_Shdr> sections;
  std::uint64_t total = 0;
  ::elf_version(EV_CURRENT);
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  Elf* elf = ::elf_begin(fd.get(), ELF_C_READ_MMAP, nullptr);
  for (Elf_Scn* scn = nullptr; (scn = ::elf_nextscn(elf, scn)) != nullptr;) {
    GElf_Shdr header;
    if (::gelf_getshdr(scn, &header) == nullptr || (header.sh_flags & SHF_EXECINSTR) == 0) continue;
    sections.push_back(header);
    total += header.sh_size;
  }
  ::elf_end(elf);
  std::mt19937_64 random(20240229);
  std::unordered_set<std::uint64_t> taken;
  while (addresses.size() < std::min<std::uint64_t>(count, total / 2)) {
    std::uint64_t at = random() % total;
    for (const GElf_Shdr& section : sections) {
      if (at < section.sh_size) {
        if (taken.insert(at + section.sh_addr).second) addresses.push_back(section.sh_addr + at);
        break;
      }
      at -= section.sh_size;
    }
  }
  return addresses;
}

Symbolizer& open_module(Symbolizer& symbolizer, const std::string& path) {
  symbolizer.add_module(
      {kModule, path, "", UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC)), {}});
  return symbolizer;
}

int print_frames(const std::string& path) {
  LocalSymbolizer symbolizer;
  open_module(symbolizer, path);
  for (std::string line; std::getline(std::cin, line);) {
    for (const auto& frame : symbolizer.look_up(kModule, std::stoull(line, nullptr, 16))) {
      fmt::print("{}\n{}:{}\n", frame.function.empty() ? "??" : frame.function,
                 frame.file.empty() ? "??" : frame.file, frame.line);
    }
    fmt::print("\n");
  }
  return 0;
}

/// Processor time of this process or of its children, in seconds: what other programs on the
/// machine do to the elapsed time, they do not to this.
double cpu_seconds(int who) {
  rusage usage{};
  ::getrusage(who, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void time_symbolizer(const std::string& path, const std::vector<std::uint64_t>& addresses) {
  const auto start = std::chrono::steady_clock::now();
  const double cpu = cpu_seconds(RUSAGE_SELF);
  std::size_t frames = 0;
  std::size_t named = 0;
  LocalSymbolizer symbolizer;
  open_module(symbolizer, path);
  for (std::uint64_t address : addresses) {
    const auto found = symbolizer.look_up(kModule, address);
    frames += found.size();
    if (!found.back().function.empty()) ++named;
  }
  const double cold = seconds_since(start);
  const double cold_cpu = cpu_seconds(RUSAGE_SELF) - cpu;
  const auto again = std::chrono::steady_clock::now();
  for (std::uint64_t address : addresses) (void)symbolizer.look_up(kModule, address);
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  fmt::print("{:<24}{:8.3f} s, CPU {:.3f} s, peak {} MiB ({} named, {} frames; again {:.4f} s)\n",
             "leaktrace", cold, cold_cpu, usage.ru_maxrss / 1024, named, frames,
             seconds_since(again));
}

void time_tool(const std::string& label, const std::string& command, const std::string& input) {
  const auto start = std::chrono::steady_clock::now();
  const double cpu = cpu_seconds(RUSAGE_CHILDREN);
  const std::string line = fmt::format("{} < '{}' > /dev/null 2>&1", command, input);
  if (std::system(line.c_str()) != 0) {
    fmt::print("{:<24}   not here, or failed\n", label);
    return;
  }
  const double seconds = seconds_since(start);
  rusage usage{};
  ::getrusage(RUSAGE_CHILDREN, &usage);  // the largest child so far
  fmt::print("{:<24}{:8.3f} s, CPU {:.3f} s, peak {} MiB\n", label, seconds,
             cpu_seconds(RUSAGE_CHILDREN) - cpu, usage.ru_maxrss / 1024);
}

int compare(const std::string& path, std::size_t count, bool all) {
  const auto addresses = code_addresses(path, count);
  std::string name = "/tmp/symbolize_bench.XXXXXX";
  UniqueFd fd(::mkstemp(name.data()));
  for (std::uint64_t address : addresses) ::dprintf(fd.get(), "0x%lx\n", address);
  fmt::print("{} look-ups in {}\n", addresses.size(), path);
  time_symbolizer(path, addresses);
  time_tool("llvm-symbolizer-14",
            fmt::format("llvm-symbolizer-14 --inlines --demangle -e '{}'", path), name);
  if (all) {
    time_tool("eu-addr2line -i", fmt::format("eu-addr2line -i -f -C -e '{}'", path), name);
    time_tool("addr2line -i", fmt::format("addr2line -i -f -C -e '{}'", path), name);
  }
  ::unlink(name.c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    fmt::print(stderr, "usage: symbolize_bench FILE [COUNT [--all] | --print]\n");
    return 2;
  }
  if (argc > 2 && std::string_view(argv[2]) == "--print") return print_frames(argv[1]);
  const std::size_t count = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 50'000;
  return compare(argv[1], count, argc > 3 && std::string_view(argv[3]) == "--all");
}
