// SPDX-License-Identifier: Apache-2.0
//
// empty_probes --mode single|multi|session --pid PID PLACE…: attaches programs that do nothing,
// prints "attached", and detaches at the end of its input. A PLACE is KIND:OFFSET:FILE, where KIND
// is entry, return, call (a session: entry and return) or skipped (a session's entry only).
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <empty_probes.skel.h>
#include <fmt/core.h>
#include <getopt.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "user/base/unique_fd.h"
#include "user/tracer/session_link.h"

namespace {

constexpr auto kUprobeMulti = static_cast<bpf_attach_type>(48);  // BPF_TRACE_UPROBE_MULTI

enum class Mode { single, multi, session };

struct Place {
  std::string kind;
  unsigned long offset = 0;
  std::string file;
};

struct Options {
  Mode mode = Mode::single;
  pid_t pid = 0;
  std::vector<Place> places;
};

struct SkeletonDeleter {
  void operator()(empty_probes_bpf* skeleton) const { empty_probes_bpf__destroy(skeleton); }
};
using Skeleton = std::unique_ptr<empty_probes_bpf, SkeletonDeleter>;

std::optional<Mode> mode_from(std::string_view name) {
  if (name == "single") return Mode::single;
  if (name == "multi") return Mode::multi;
  if (name == "session") return Mode::session;
  return std::nullopt;
}

std::optional<Place> place_from(const std::string& text) {
  const std::size_t kind = text.find(':');
  const std::size_t offset = kind == std::string::npos ? kind : text.find(':', kind + 1);
  if (offset == std::string::npos) return std::nullopt;
  return Place{text.substr(0, kind), std::strtoul(text.c_str() + kind + 1, nullptr, 0),
               text.substr(offset + 1)};
}

std::optional<Options> parse(int argc, char** argv) {
  static const option kLong[] = {
      {"mode", required_argument, nullptr, 'm'}, {"pid", required_argument, nullptr, 'p'}, {}};
  Options options;
  for (int c = 0; (c = getopt_long(argc, argv, "", kLong, nullptr)) != -1;) {
    if (c == 'p') {
      options.pid = static_cast<pid_t>(std::strtol(optarg, nullptr, 10));
    } else if (auto mode = c == 'm' ? mode_from(optarg) : std::nullopt) {
      options.mode = *mode;
    } else {
      return std::nullopt;
    }
  }
  for (int i = optind; i < argc; ++i) {
    auto place = place_from(argv[i]);
    if (!place) return std::nullopt;
    options.places.push_back(*place);
  }
  if (options.pid <= 0 || options.places.empty()) return std::nullopt;
  return options;
}

Skeleton load(Mode mode) {
  Skeleton skeleton(empty_probes_bpf__open());
  if (!skeleton) return skeleton;
  const bpf_attach_type plain = mode == Mode::single ? bpf_attach_type{} : kUprobeMulti;
  bpf_program__set_expected_attach_type(skeleton->progs.empty_enter, plain);
  bpf_program__set_expected_attach_type(skeleton->progs.empty_exit, plain);
  for (bpf_program* program : {skeleton->progs.empty_call, skeleton->progs.empty_skipped_call}) {
    bpf_program__set_autoload(program, mode == Mode::session);
    bpf_program__set_expected_attach_type(program, leaktrace::tracer::kUprobeSession);
  }
  if (empty_probes_bpf__load(skeleton.get()) != 0) skeleton.reset();
  return skeleton;
}

// The link is never closed: it lives as long as this process.
bool attach_plain(const bpf_program* program, const Options& options, const Place& place,
                  bool on_return) {
  if (options.mode == Mode::single) {
    LIBBPF_OPTS(bpf_uprobe_opts, single);
    single.retprobe = on_return;
    return bpf_program__attach_uprobe_opts(program, options.pid, place.file.c_str(), place.offset,
                                           &single) != nullptr;
  }
  LIBBPF_OPTS(bpf_uprobe_multi_opts, multi);
  multi.offsets = &place.offset;
  multi.cnt = 1;
  multi.retprobe = on_return;
  return bpf_program__attach_uprobe_multi(program, options.pid, place.file.c_str(), nullptr,
                                          &multi) != nullptr;
}

bool attach_session(const bpf_program* program, const Options& options, const Place& place) {
  if (options.mode != Mode::session) {
    errno = EINVAL;
    return false;
  }
  leaktrace::UniqueFd link = leaktrace::tracer::create_session_link(
      program, place.file.c_str(), {&place.offset, 1}, {}, options.pid);
  return link.release() >= 0;
}

bool attach(const empty_probes_bpf& skeleton, const Options& options, const Place& place) {
  const auto& programs = skeleton.progs;
  if (place.kind == "entry") return attach_plain(programs.empty_enter, options, place, false);
  if (place.kind == "return") return attach_plain(programs.empty_exit, options, place, true);
  if (place.kind == "call") return attach_session(programs.empty_call, options, place);
  if (place.kind == "skipped") return attach_session(programs.empty_skipped_call, options, place);
  errno = EINVAL;
  return false;
}

void wait_for_end_of_input() {
  char ignored[64];
  while (::read(STDIN_FILENO, ignored, sizeof ignored) > 0) {
  }
}

}  // namespace

int main(int argc, char** argv) {
  const auto options = parse(argc, argv);
  if (!options) {
    fmt::print(stderr,
               "usage: empty_probes --mode single|multi|session --pid PID KIND:OFFSET:FILE...\n");
    return 2;
  }
  const Skeleton skeleton = load(options->mode);
  if (!skeleton) {
    fmt::print(stderr, "empty_probes: cannot load the programs: {}\n", std::strerror(errno));
    return 1;
  }
  for (const Place& place : options->places) {
    if (attach(*skeleton, *options, place)) continue;
    fmt::print(stderr, "empty_probes: cannot attach {} at {:#x} of {}: {}\n", place.kind,
               place.offset, place.file, std::strerror(errno));
    return 1;
  }
  fmt::print("attached\n");
  std::fflush(stdout);
  wait_for_end_of_input();
  return 0;
}
