// SPDX-License-Identifier: Apache-2.0
//
// The one stream that everything right of `collect` is built from. A live trace and a recording
// both are a sequence of these records:
//
//   TraceStart  Process* Module*
//   ( Module | Process | ProcessMemory | Stack | Snapshot | SiteDetail | Connections | Recycled |
//     ProcessEnd )*
//   Blocks* FrameNames*  FileLoss*  TraceEnd        (FileLoss and NotSeen may come at any time)
//
// A record refers only to what came before it. Times are nanoseconds since the trace began.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "user/model/ids.h"

namespace leaktrace::model {

/// How the trace was taken; the first record.
struct TraceStart {
  std::int64_t unix_ns = 0;  ///< wall-clock time at the trace's time 0
  std::string tool_version;
  std::string host;
  std::uint64_t sampling_bytes = 0;  ///< 0: exact; the governor may widen it (Snapshot)
  double budget_percent = 0;         ///< most that tracing may slow its targets; 0: no budget
  std::uint64_t min_size = 0;        ///< blocks outside [min_size, max_size] were not traced
  std::uint64_t max_size = UINT64_MAX;
  std::vector<Kind> kinds{};  ///< that were traced; empty: not known
  bool operator==(const TraceStart&) const = default;
};

/// A process that is traced, or a new image of one (exec).
struct Process {
  ImageId image;
  std::uint32_t pid = 0;  ///< in leaktrace's own pid namespace
  std::string comm;
  std::string exe;
  std::string cgroup;
  std::uint64_t since_ns = 0;
  bool operator==(const Process&) const = default;
};

enum class EndReason : std::uint32_t {
  exited = 1,    ///< what was outstanding at that moment is the report
  replaced = 2,  ///< exec: the address space and all that it held is gone
};

struct ProcessEnd {
  ImageId image;
  EndReason reason = EndReason::exited;
  std::uint32_t wait_status = 0;  ///< as wait(2) gives it
  std::uint64_t at_ns = 0;
  bool operator==(const ProcessEnd&) const = default;
};

/// What bounds the memory of a process: of the limits of its cgroups and of the machine, the one
/// of which least is left.
struct MemoryLimit {
  std::uint64_t bytes = 0;       ///< 0: not known
  std::uint64_t used_bytes = 0;  ///< of these, by all that share it; page cache left out
  std::string cgroup;            ///< whose limit it is; empty: the machine's
  bool operator==(const MemoryLimit&) const = default;
};

/// Memory of a process as the kernel counts it, whoever took it: when the process is first seen,
/// and once an interval.
struct ProcessMemory {
  ImageId image;
  std::uint64_t at_ns = 0;
  std::uint64_t resident_bytes = 0;
  std::uint64_t anonymous_bytes = 0;  ///< of these, what is in no file and not shared
  std::uint64_t swapped_bytes = 0;    ///< anonymous, not resident
  std::uint64_t heap_bytes = 0;       ///< size of [heap], which brk(2) grows; resident or not
  std::uint64_t minor_faults = 0;     ///< this one and the next: since the process began
  std::uint64_t major_faults = 0;
  std::uint64_t cpu_ns = 0;  ///< user and system time since the process began; 0: not read
  MemoryLimit limit;
  bool operator==(const ProcessMemory&) const = default;
};

/// A file that code of the traced processes comes from.
struct Module {
  ModuleId id;
  std::string path;      ///< as the process sees it
  std::string build_id;  ///< lower-case hex; empty when the file has none
  bool operator==(const Module&) const = default;
};

/// The path of the module that frames of Python code are in: they are in no file that is mapped.
inline constexpr std::string_view kPythonModule = "[python]";

/// A frame as it was found on the stack.
struct RawFrame {
  std::uint64_t address = 0;  ///< return address in the process
  ModuleId module;
  std::uint64_t offset =
      0;  ///< the same as an address within the module's ELF file (p_vaddr space)
  bool operator==(const RawFrame&) const = default;
};

/// Why a stack ends where it does; the values are enum lt_stack_flags'.
enum class StackEnd : std::uint32_t {
  complete = 0,
  no_row = 1,
  unreadable = 2,
  depth = 3,
  no_mapping = 4,
  rule = 5,
};

/// A call stack, sent once. frames[0] is the innermost: the function that called the allocator.
struct Stack {
  StackId id;
  ImageId image;
  StackEnd end = StackEnd::complete;
  std::vector<RawFrame> frames;
  std::uint32_t by_frame_pointer = 0;  ///< frames whose caller no unwind information gave
  bool operator==(const Stack&) const = default;
};

/// How good the estimates of a site are, when the trace samples.
struct Estimate {
  std::uint64_t acquired_samples = 0;  ///< blocks that the estimates rest on
  std::uint64_t released_samples = 0;
  double count_variance = 0;  ///< of the outstanding count: by sampling, and by what is unseen
  double bytes_variance = 0;
  /// Outstanding as far as was seen, but presumed released while no probe was attached. Unlike the
  /// other counters these two may fall.
  std::uint64_t unseen_count = 0;
  std::uint64_t unseen_bytes = 0;

  [[nodiscard]] std::uint64_t outstanding_samples() const {
    return acquired_samples > released_samples ? acquired_samples - released_samples : 0;
  }
  bool operator==(const Estimate&) const = default;
};

/// A call site's running totals since the trace began. They never fall. When the trace samples,
/// they are estimates.
struct Counters {
  std::uint64_t acquired_count = 0;
  std::uint64_t acquired_bytes = 0;
  std::uint64_t released_count = 0;
  std::uint64_t released_bytes = 0;
  std::uint64_t since_ns = 0;  ///< no block of the site that is outstanding is older than this
  Estimate estimate{};         ///< zeros in an exact trace

  /// Adds what another part of the same site counted; whose since_ns counts is the caller's to say.
  void add(const Counters& part) {
    acquired_count += part.acquired_count;
    acquired_bytes += part.acquired_bytes;
    released_count += part.released_count;
    released_bytes += part.released_bytes;
    estimate.acquired_samples += part.estimate.acquired_samples;
    estimate.released_samples += part.estimate.released_samples;
    estimate.count_variance += part.estimate.count_variance;  // samples are taken independently
    estimate.bytes_variance += part.estimate.bytes_variance;
    estimate.unseen_count += part.estimate.unseen_count;
    estimate.unseen_bytes += part.estimate.unseen_bytes;
  }

  /// Saturating: a reading taken between two counters of one call may be ahead in one of them.
  [[nodiscard]] std::uint64_t outstanding_count() const {
    return saturating(acquired_count, released_count + estimate.unseen_count);
  }
  [[nodiscard]] std::uint64_t outstanding_bytes() const {
    return saturating(acquired_bytes, released_bytes + estimate.unseen_bytes);
  }
  [[nodiscard]] static std::uint64_t saturating(std::uint64_t all, std::uint64_t part) {
    return all > part ? all - part : 0;
  }
  bool operator==(const Counters&) const = default;
};

struct SiteCounters {
  SiteKey site;
  Counters counters;
  bool operator==(const SiteCounters&) const = default;
};

/// The causes of loss, in the order of enum lt_loss.
inline constexpr std::array<std::string_view, 18> kLossNames = {
    "live_table_full",    "site_table_full", "stack_table_full", "thread_table_full",
    "stack_truncated",    "stack_collision", "ring_overflow",    "missed_release",
    "unmatched_release",  "read_fault",      "abandoned_call",   "kernel_memory",
    "process_table_full", "pg_text_cut",     "pg_unparsed",      "pg_undecided",
    "pg_unmatched_close", "pg_table_full"};

/// Running totals of what was lost or guessed, by cause.
using Losses = std::array<std::uint64_t, kLossNames.size()>;

/// What tracing costs its targets, since the trace began.
struct Overhead {
  std::uint64_t sampling_bytes = 0;  ///< the interval in use now; 0: exact
  std::uint64_t observed_ns = 0;     ///< time in which probes were attached
  double nanoseconds_per_hit = 0;    ///< trap and program, on average; 0: not measured
  double percent_of_target_cpu = 0;  ///< of the CPU time that the targets used
  bool operator==(const Overhead&) const = default;
};

/// One reading of the counters, once an interval. Sites that have not changed since the reading
/// before may be left out.
struct Snapshot {
  std::uint64_t at_ns = 0;
  std::vector<SiteCounters> sites;
  Losses losses{};
  std::uint64_t probe_hits = 0;
  Overhead overhead{};
  bool operator==(const Snapshot&) const = default;
};

/// Stacks that hold nothing outstanding were dropped to make room. What their sites acquired and
/// released, as the newest Snapshot said, is from now on part of the site of kRecycledStack of the
/// same image and kind. A stack that comes back is sent anew, and its sites count from 0.
struct Recycled {
  std::uint64_t at_ns = 0;
  std::vector<StackId> stacks;
  bool operator==(const Recycled&) const = default;
};

/// A single outstanding resource, as the walk at the end of the trace found it.
struct Block {
  SiteKey site;
  std::uint64_t handle = 0;
  std::uint64_t size = 0;
  std::uint64_t acquired_ns = 0;  ///< since the trace began
  double stands_for = 1;          ///< blocks, when the trace samples
  bool operator==(const Block&) const = default;
};

/// Outstanding blocks at `at_ns`; a walk may be split over several records with the same time. A
/// later walk replaces an earlier one.
struct Blocks {
  std::uint64_t at_ns = 0;
  std::vector<Block> blocks;
  bool operator==(const Blocks&) const = default;
};

/// What the resources of a site are, where a count does not say it: of a cursor its SQL. The newest
/// one of a site replaces the one before.
struct SiteDetail {
  SiteKey site;
  std::string sql;         ///< of one that is open (the oldest), normalized unless told otherwise
  std::string connection;  ///< "user@host:port/database" of the same; and how many others there are
  std::string state;       ///< of pg.copy: "copy in", "pipeline", "single rows", …
  std::vector<std::string> names;  ///< of open statements and cursors, the oldest first, some
  std::uint64_t connections = 0;   ///< that hold something of the site
  bool operator==(const SiteDetail&) const = default;
};

/// What a connection to PostgreSQL is doing.
enum class ConnectionState : std::uint32_t {
  unknown = 0,
  idle = 1,
  active = 2,          ///< results of a command are awaited
  in_transaction = 3,  ///< idle in it
  failed = 4,          ///< idle in a transaction that has failed
  broken = 5,
};

/// Something that a connection has open.
struct OpenResource {
  Kind kind = Kind::pg_cursor;
  std::string name;
  std::string sql;    ///< normalized unless told otherwise
  std::string state;  ///< "with hold", of pg.copy what it is
  std::uint64_t since_ns = 0;
  StackId stack;
  bool operator==(const OpenResource&) const = default;
};
inline constexpr std::size_t kMostOpenListed = 100;

struct Connection {
  ImageId image;
  std::uint64_t handle = 0;
  std::string host, port, database, user;  ///< empty when unknown; never the password
  ConnectionState state = ConnectionState::unknown;
  bool from_start = false;     ///< seen since it was made: what it holds is all known
  std::uint64_t since_ns = 0;  ///< made, or first seen
  std::uint64_t state_since_ns = 0;
  std::uint64_t transaction_since_ns = 0;  ///< 0: in none
  std::uint64_t open_count = 0;            ///< of which `open` lists some
  std::map<Kind, std::uint64_t> open_by_kind;
  std::vector<OpenResource> open;
  bool operator==(const Connection&) const = default;
};

/// "user@host:port/database", as much of it as is known; "connection 0x5581…" when nothing is.
[[nodiscard]] std::string connection_words(const Connection& connection);

/// The connections to PostgreSQL as they are; each replaces the one before.
struct Connections {
  std::uint64_t at_ns = 0;
  std::uint64_t count = 0;  ///< of which `connections` lists some: those that hold most
  std::vector<Connection> connections;
  bool operator==(const Connections&) const = default;
};

/// A frame as a person reads it.
struct SourceFrame {
  std::string function;  ///< demangled; empty when no symbol is known
  std::string file;      ///< empty when there is no line table
  std::uint32_t line = 0;
  bool inlined = false;  ///< inlined into the frame that follows
  bool operator==(const SourceFrame&) const = default;
};

/// The names of one raw frame (module, offset): the inlined functions first, the function that
/// holds them last. In recordings, so that they can be read where the files are not.
struct FrameNames {
  ModuleId module;
  std::uint64_t offset = 0;
  std::vector<SourceFrame> frames;
  bool operator==(const FrameNames&) const = default;
};

/// What could not be read of a file, so that what it costs is seen: stacks that are cut, frames
/// without names. One record a file and subject; a later one replaces it.
enum class FileSubject : std::uint32_t {
  unwind = 1,   ///< unwind information: its frames are followed by frame pointers
  symbols = 2,  ///< functions, files and lines
  probes = 3,   ///< functions that are not hooked: their calls are not seen
};

struct FileLoss {
  std::string path;  ///< as the process sees it, or of the debug file
  FileSubject subject = FileSubject::unwind;
  std::uint64_t count = 0;  ///< parts left out (frame descriptions, units); 0: all of the file
  std::string why;
  bool operator==(const FileLoss&) const = default;
};

/// What kind of thing a trace does not see; JSON has these names.
enum class UnseenSubject : std::uint32_t {
  allocator = 1,  ///< blocks of an allocator that is not hooked
  file = 2,
  process = 3,
  work = 4,
  socket = 5,
  resource = 6,
};

/// Something that the trace cannot see at all, so that its absence from the report is not taken for
/// a result. One record a subject and name; a later one replaces it.
struct NotSeen {
  UnseenSubject what = UnseenSubject::allocator;
  std::string name;    ///< a file's path, or "comm (pid)"
  std::string why;     ///< with the evidence; a clause without a full stop
  std::string advice;  ///< what to do about it, in the imperative; empty: nothing is known
  bool operator==(const NotSeen&) const = default;
};

/// The trace ended in order. A recording without it was cut off.
struct TraceEnd {
  std::uint64_t at_ns = 0;
  bool operator==(const TraceEnd&) const = default;
};

using Record =
    std::variant<TraceStart, Process, ProcessEnd, Module, Stack, Snapshot, Blocks, FrameNames,
                 TraceEnd, FileLoss, Recycled, SiteDetail, Connections, ProcessMemory, NotSeen>;

}  // namespace leaktrace::model
