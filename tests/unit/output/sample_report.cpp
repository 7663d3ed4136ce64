// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/output/sample_report.h"

#include <fmt/format.h>

namespace leaktrace::output {
namespace {

using analyze::Report;
using analyze::ReportFrame;
using analyze::ReportSite;

constexpr std::uint64_t kMiB = 1024 * 1024;

ReportFrame frame(const std::string& function, const std::string& file, std::uint32_t line,
                  std::uint64_t offset, bool inlined = false,
                  const std::string& module = "/usr/bin/server") {
  return {{function, file, line, inlined}, module, "ab12cd34", offset, 0x550000000001 + offset};
}

const char* const kLongTemplate =
    "void std::vector<std::map<std::__cxx11::basic_string<char, std::char_traits<char>, "
    "std::allocator<char> >, std::pair<int, std::vector<double, std::allocator<double> > >, "
    "std::less<void>, std::allocator<int> >, std::allocator<int> >::_M_realloc_insert<int const&>"
    "(__gnu_cxx::__normal_iterator<int*, std::vector<int, std::allocator<int> > >, int const&)";

ReportSite container_site() {
  ReportSite site;
  site.pid = 1234;
  site.comm = "server <&\"'>";
  site.label = "Cache<std::map<int, std::pair<char, long> > >::remember";
  site.verdict = analyze::Verdict::growing;
  site.confidence = 0.9994;
  site.evidence =
      "floor rose in 11 of 12 windows, from 1.2 MiB to 9.8 MiB; 97 % of blocks older than 60 s are "
      "still alive; 146.8 KiB/s";
  site.outstanding_count = 120;
  site.outstanding_bytes = 98 * kMiB / 10;
  site.total = {1234, 12 * kMiB, 1114, 12 * kMiB - site.outstanding_bytes, 0};
  site.bytes_per_second = 150323.2;
  site.count_per_second = 1.75;
  site.growth_low = 150000.5;
  site.count_low = 1.5;
  site.count_high = 2;
  site.growth_high = 151000;
  site.seconds_to_limit = 12'345.5;
  site.oldest_seconds = 59.5;
  site.oldest_exact = true;
  site.stack_complete = true;
  site.stack = {
      frame("operator new(unsigned long)", "", 0, 0xa1234, false,
            "/usr/lib/x86_64-linux-gnu/libstdc++.so.6.0.30"),
      frame("__gnu_cxx::new_allocator<int>::allocate(unsigned long, void const*)",
            "/usr/include/c++/12/bits/new_allocator.h", 137, 0x2000, true),
      frame("std::allocator_traits<std::allocator<int> >::allocate(std::allocator<int>&, unsigned "
            "long)",
            "/usr/include/c++/12/bits/alloc_traits.h", 464, 0x2000, true),
      frame(kLongTemplate, "/usr/include/c++/12/bits/vector.tcc", 440, 0x2000),
      frame("Cache<std::map<int, std::pair<char, long> > >::remember(int)",
            "/home/builder/a/very/long/path/to/the/project/with/many/directories/src/cache.cpp",
            314, 0x2345),
      frame("(anonymous namespace)::serve(Request const&)::{lambda(int, char)#1}::operator()(int, "
            "char) const",
            "src/servé.cpp", 20, 0x2400),
      frame("main", "src/main.cpp", 9, 0x2500)};
  return site;
}

/// As build_report gives it when blocks are asked for, over the limit of what text prints.
ReportSite deep_site() {
  ReportSite site;
  site.pid = 1234;
  site.comm = "server <&\"'>";
  site.kind = model::Kind::mmap;
  site.label = "walk<0>";
  site.evidence = "outstanding is 1.0 MiB; 3 windows are too few to tell";
  site.outstanding_count = 25;
  site.outstanding_bytes = kMiB;
  site.total = {25, kMiB, 0, 0, 0};
  site.oldest_seconds = 12;
  site.stack_end = model::StackEnd::depth;
  site.by_frame_pointer = 3;
  for (std::uint32_t i = 0; i < 127; ++i) {
    site.stack.push_back(
        frame(fmt::format("walk<{}>(node*)", i), "src/tree.cpp", 100 + i, 0x3000 + i));
  }
  for (std::uint64_t i = 0; i < 25; ++i) {
    site.blocks.push_back(
        {0x7f0000000000 + i * 0x1000, kMiB / 25, 12.0 - static_cast<double>(i) / 4});
  }
  return site;
}

ReportSite nameless_site() {
  ReportSite site;
  site.pid = 77;
  site.comm = "\x1b[31mred\xff\n";
  site.label = "stripped;lib\n.so+0x99";
  site.evidence = "floor went from 2.0 KiB to 1.0 KiB in 60 s";
  site.outstanding_count = 1;
  site.outstanding_bytes = 1024;
  site.total = {2, 2048, 1, 1024, 0};
  site.bytes_per_second = -17.07;
  site.count_per_second = -0.0167;
  site.growth_low = site.growth_high = site.bytes_per_second;
  site.oldest_seconds = 3600;
  site.stack_end = model::StackEnd::no_row;
  site.stack = {frame("", "", 0, 0x99, false, "/opt/x/stripped;lib\n.so"),
                {{"", "", 0, false}, "", "", 0, 0x7ffff7000010},
                frame("\x1b[2Jclear;\xc3(", "", 0, 0x77, false, "/opt/x/odd\xfe.so")};
  return site;
}

ReportSite zero_byte_site() {
  ReportSite site;
  site.pid = 77;
  site.comm = "\x1b[31mred\xff\n";
  site.label = "_RNvC6 größe";
  site.evidence = "outstanding is 7 in number; 3 windows are too few to tell";
  site.outstanding_count = 7;
  site.total = {7, 0, 0, 0, 0};
  site.count_per_second = 0.1;
  site.oldest_seconds = 60;
  site.stack_complete = true;
  site.stack = {frame("größe", "src/größe.rs", 1, 0x10), frame("main", "src/main.cpp", 9, 0x2500)};
  return site;
}

ReportSite stackless_site() {
  ReportSite site;
  site.label = "(no stack)";
  site.evidence = "outstanding is 64 B; one window is too few to tell";
  site.outstanding_count = 1;
  site.outstanding_bytes = 64;
  site.total = {1, 64, 0, 0, 0};
  site.oldest_seconds = 0.25;
  site.stack_missing = true;
  return site;
}

void add_up(Report& report) {
  report.all_sites = report.sites.size();
  for (const ReportSite& site : report.sites) {
    report.all_outstanding_count += site.outstanding_count;
    report.all_outstanding_bytes += site.outstanding_bytes;
  }
}

}  // namespace

Report empty_report() {
  Report report;
  report.tool_version = "0.1.0";
  report.targets = {{4321, "true", "/usr/bin/true", "/user.slice", true, 0}};
  report.start_unix_ns = 1'767'225'600'000'000'000;
  report.seconds = 0.25;
  report.intervals = 1;
  report.final = true;
  return report;
}

Report plain_report() {
  Report report = empty_report();
  report.targets = {{1234, "server", "/usr/bin/server", "/system.slice", false, std::nullopt}};
  report.seconds = 60;
  report.intervals = 60;
  ReportSite& site = report.sites.emplace_back();
  site.pid = 1234;
  site.comm = "server";
  site.label = "leaky_handler";
  site.outstanding_count = 60;
  site.outstanding_bytes = 60 * 1024;
  site.total = {61, 61 * 1024, 1, 1024, 0};
  site.bytes_per_second = 1024;
  site.count_per_second = 1;
  site.oldest_seconds = 59;
  site.stack_complete = true;
  site.stack = {frame("leaky_handler", "src/main.c", 14, 0x100),
                frame("main", "src/main.c", 30, 0x200)};
  add_up(report);
  return report;
}

/// A process whose memory grew by 4 MiB in a minute.
analyze::ReportMemory sample_memory() {
  analyze::ReportMemory memory;
  model::ProcessMemory first;
  first.resident_bytes = 40 * kMiB;
  first.anonymous_bytes = 20 * kMiB;
  first.heap_bytes = 12 * kMiB;
  first.minor_faults = 5000;
  memory.now = first;
  memory.now.at_ns = 60'000'000'000;
  memory.now.resident_bytes += 4 * kMiB;
  memory.now.anonymous_bytes += 4 * kMiB;
  memory.now.minor_faults += 1200;
  memory.now.limit = {128 * kMiB, 100 * kMiB, "/app"};
  memory.seconds = 60;
  memory.growth_bytes = 4 * kMiB;
  memory.growing_sites_bytes = 3 * kMiB;
  memory.growing_sites_high = 3 * kMiB;
  memory.other_sites_bytes = kMiB / 2;
  memory.unexplained_bytes = kMiB / 2;
  memory.minor_faults_per_second = 20;
  memory.seconds_to_limit = 560;
  memory.series = {first, memory.now};
  return memory;
}

namespace {

/// Read once before it ended, and once when nothing but a file was left.
analyze::ReportMemory shrunk_memory() {
  analyze::ReportMemory memory;
  memory.now.resident_bytes = kMiB;
  memory.now.major_faults = 700;
  memory.seconds = 7;
  memory.growth_bytes = memory.unexplained_bytes = -2 * static_cast<std::int64_t>(kMiB);
  memory.major_faults_per_second = 100;
  memory.series = {memory.now};
  return memory;
}

}  // namespace

Report sampled_report() {
  Report report = plain_report();
  report.targets.front().memory = sample_memory();
  report.sampling_bytes = report.sampling_bytes_now = 512 * 1024;
  report.budget_percent = 5;
  report.probe_hits = 300'000;
  report.nanoseconds_per_hit = 560;
  report.percent_of_target_cpu = 3.21;
  ReportSite& many = report.sites.front();
  many.outstanding_count = 15'203;
  many.outstanding_bytes = 29 * kMiB / 10;
  many.total = {20'011, 4 * kMiB, 4'808, 4 * kMiB - many.outstanding_bytes, 0, {8, 2, 1, 1, 0, 0}};
  many.estimate = {6, {6'700, 29'900}, {13 * kMiB / 10, 57 * kMiB / 10}, 0, 0};
  many.bytes_per_second = 50'685;
  many.growth_low = 22'720.5;
  many.growth_high = 99'614.7;
  many.blocks = {{0x7f0000001000, 200, 58, 2621.94}, {0x7f0000002000, 65536, 3, 8.51}};
  ReportSite& one = report.sites.emplace_back(many);
  one.label = "seen_once";
  one.outstanding_count = 8192;
  one.outstanding_bytes = 512 * 1024;
  one.total = {8192, 512 * 1024, 0, 0, 0, {1, 0, 1, 1, 0, 0}};
  one.estimate = {1, {108, 45'650}, {6'912, 2'921'600}, 0, 0};
  one.bytes_per_second = one.count_per_second = one.growth_low = one.growth_high = 0;
  one.oldest_exact = true;
  one.blocks.clear();
  ReportSite& mapped = report.sites.emplace_back(one);
  mapped.kind = model::Kind::mmap;
  mapped.label = "mapped";
  mapped.outstanding_count = 1;
  mapped.outstanding_bytes = 4096;
  mapped.total = {1, 4096, 0, 0, 0};
  mapped.estimate.reset();
  report.all_outstanding_count = report.all_outstanding_bytes = 0;
  add_up(report);
  report.all_estimate = {7, {9'800, 46'300}, {17 * kMiB / 10, 69 * kMiB / 10}, 0, 0};
  return report;
}

Report paused_report() {
  Report report = sampled_report();
  report.sampling_bytes_now = 8 * kMiB;
  report.duty_percent = 37.4;
  report.percent_of_target_cpu = 4.97;
  report.targets.front().memory->growing_sites_high = 8 * kMiB;
  report.sites.front().estimate->unseen_count = 1'300;
  report.sites.front().estimate->unseen_bytes = 254 * 1024;
  report.all_estimate->unseen_count = 1'300;
  report.all_estimate->unseen_bytes = 254 * 1024;
  return report;
}

namespace {

ReportSite postgres_site(model::Kind kind, std::string label, std::uint64_t open) {
  ReportSite site;
  site.pid = 1234;
  site.comm = "server";
  site.kind = kind;
  site.label = std::move(label);
  site.outstanding_count = open;
  site.total = {open + 2, 0, 2, 0, 0, {}};
  site.count_per_second = 0.25;
  site.oldest_seconds = 75;
  site.oldest_exact = true;
  site.stack_complete = true;
  site.stack = {frame(site.label, "src/orders.c", 42, 0x1200, false, "/usr/bin/server")};
  site.detail = analyze::ReportDetail{
      "DECLARE c1 CURSOR WITH HOLD FOR SELECT * FROM orders WHERE customer = $1",
      "app@db1:5432/shop",
      "",
      {"c1", "odd\x1b[31m\xff"},
      3};
  return site;
}

analyze::ReportConnection connection_in(model::ConnectionState state, std::uint64_t open) {
  analyze::ReportConnection connection;
  connection.pid = 1234;
  connection.comm = "server";
  connection.handle = 0x5581;
  connection.words = "app@db1:5432/shop";
  connection.host = "db1";
  connection.port = "5432";
  connection.database = "shop";
  connection.user = "app";
  connection.state = state;
  connection.state_seconds = 12;
  connection.known_seconds = 3600;
  connection.from_start = open % 2 == 0;
  connection.open_total = open;
  if (open > 0) connection.open_by_kind = {{model::Kind::pg_copy, open}};
  return connection;
}

}  // namespace

Report postgres_report() {
  Report report = plain_report();
  ReportSite result = postgres_site(model::Kind::pg_result, "fetch", 2);
  result.outstanding_bytes = 66'000;
  result.total.acquired_bytes = 66'000;
  result.detail = analyze::ReportDetail{"SELECT <&> FROM t", "app@db1:5432/shop", "", {}, 1};
  ReportSite copy = postgres_site(model::Kind::pg_copy, "load", 1);
  copy.detail = analyze::ReportDetail{"COPY t FROM STDIN", "app@db1:5432/shop", "copy in", {}, 1};
  ReportSite statement = postgres_site(model::Kind::pg_statement, "ask", 30);
  statement.detail->names = {"", "s2", "s3", "s4", "s5", "s6"};
  report.sites.insert(report.sites.end(),
                      {statement, postgres_site(model::Kind::pg_cursor, "scan", 4), result, copy});
  for (const ReportSite& site : report.sites) {
    if (model::is_postgres(site.kind)) report.postgres[site.kind].add(site.total);
  }
  analyze::ReportConnection holding = connection_in(model::ConnectionState::in_transaction, 8);
  holding.transaction_seconds = 40;
  holding.open_by_kind = {{model::Kind::pg_cursor, 6}, {model::Kind::pg_statement, 2}};
  for (int i = 0; i < 6; ++i) {
    holding.open.push_back({model::Kind::pg_cursor, fmt::format("c{}", i), "DECLARE c CURSOR …",
                            i == 0 ? "with hold" : "", 75.0 - i, "scan"});
  }
  holding.open.push_back({model::Kind::pg_statement, "", "SELECT $1", "", 3, "ask"});
  report.connections = {holding, connection_in(model::ConnectionState::failed, 1),
                        connection_in(model::ConnectionState::active, 0),
                        connection_in(model::ConnectionState::broken, 0),
                        connection_in(model::ConnectionState::unknown, 1)};
  report.connections[1].open = {{model::Kind::pg_copy, "", "", "pipeline", 2, "batch"}};
  report.all_connections = 12;
  return report;
}

namespace {

/// Rules in every state, with words that are hard to print.
std::vector<analyze::SuppressionUse> suppressed() {
  using State = analyze::SuppressionState;
  return {{"ci/<known>\xff.yaml:3", "tables that live as long as the \x1b[31mprogram", "",
           State::matched, 2, 12, 3 * kMiB, 0},
          {"ci/<known>\xff.yaml:9", "a pool of cursors & statements", "2099-12-31", State::matched,
           1, 0, 0, 14},
          {"ci/<known>\xff.yaml:15", "mended in the next release", "2020-02-29", State::expired, 0,
           0, 0, 0},
          {"ci/<known>\xff.yaml:20", "is in another program", "", State::unmatched, 0, 0, 0, 0}};
}

}  // namespace

Report awkward_report() {
  Report report;
  report.tool_version = "0.1.0";
  report.targets = {
      {77, "\x1b[31mred\xff\n", "/opt/x/red\xff", "/", true, 0x8b},
      {1234, "server <&\"'>", "/usr/bin/server", "/system.slice/größe.service", false, {}},
      {1300, "worker", "/usr/bin/worker", "/", true, 0x300}};
  report.targets[1].memory = sample_memory();
  report.targets[1].memory->now.swapped_bytes = 3 * kMiB;
  report.targets[1].memory->now.limit.cgroup = "/odd\x1b[31m\xff";
  report.targets[1].memory->growing_sites_high = 4 * kMiB;
  report.targets[1].memory->unexplained_bytes = -3 * static_cast<std::int64_t>(kMiB);
  report.targets[1].memory->other_sites_bytes = 4 * kMiB;
  report.targets[2].memory = shrunk_memory();
  report.start_unix_ns = 1'767'225'600'123'456'789;
  report.seconds = 60.5;
  report.intervals = 60;
  report.cut_off = true;
  report.growing_sites = 1;
  report.growing_bytes_per_second = 150323.2;
  report.sampling_bytes = 512 * 1024;
  report.sampling_bytes_now = report.sampling_bytes;
  report.budget_percent = 2.5;
  report.duty_percent = 80;
  report.probe_hits = 1'234'567;
  report.nanoseconds_per_hit = 550;
  report.percent_of_target_cpu = 1.13;
  for (std::size_t i = 0; i < report.losses.size(); ++i) report.losses[i] = i * i * i + 1;
  report.file_losses = {
      {"/opt/x/red\xff\n.so", model::FileSubject::unwind, 12, "malformed frame descriptions"},
      {"/opt/x/red\xff\n.so", model::FileSubject::symbols, 0, "not an ELF file"},
      {"/usr/lib/x.so", model::FileSubject::probes, 1,
       "malloc is not probed: its code was changed in memory"}};
  for (int i = 0; i < 10; ++i) {
    report.file_losses.push_back({fmt::format("/srv/<plugin & {}>.so", i),
                                  model::FileSubject::unwind, 0,
                                  "the file that is mapped cannot be opened"});
  }
  report.not_seen = {
      {model::UnseenSubject::allocator, "/opt/x/red\xff\n",
       "it defines _rjem_malloc and the like (jemalloc with a prefix)",
       "build it without a prefix"},
      {model::UnseenSubject::process, "<worker & \x1b[31m> (77)", "no probe fired in it", ""}};
  for (model::UnseenSubject what : {model::UnseenSubject::file, model::UnseenSubject::work,
                                    model::UnseenSubject::socket, model::UnseenSubject::resource}) {
    report.not_seen.push_back({what, "name", "why", "advice"});
  }
  report.filters = "only heap, mmap; blocks of 1.0 KiB and more";
  report.sites = {container_site(), deep_site(), nameless_site(), stackless_site(),
                  zero_byte_site()};
  add_up(report);
  report.all_sites += 3;  // cut off by --top
  report.all_outstanding_count += 3;
  report.all_outstanding_bytes += 48;
  report.suppressed = suppressed();
  report.suppressed_sites = 2;
  report.all_sites += 2;
  report.all_outstanding_count += 12;
  report.all_outstanding_bytes += 3 * kMiB;
  return report;
}

}  // namespace leaktrace::output
