// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "leaktrace/python_abi.h"
#include "user/model/record.h"
#include "user/symbolize/perf_map.h"
#include "user/symbolize/python_code.h"
#include "user/tracer/tracer.h"

namespace leaktrace::app {

/// Frames whose names no file on disk has: those of Python, and code that a just-in-time compiler
/// made. Each is named when it is first seen, while the process can say, and put into the stream as
/// a module of its own ("[python]", the perf map) with the name beside it, so that recordings and
/// the reports of processes that are gone have it.
class NamedFrames {
 public:
  using Emit = std::function<void(const model::Record&)>;
  /// `perf_maps` reads and keeps them.
  NamedFrames(Emit emit, std::shared_ptr<symbolize::JitMaps> perf_maps)
      : emit_(std::move(emit)), perf_maps_(std::move(perf_maps)) {}

  void on_python(std::uint32_t image, const tracer::PythonProcess& process);
  void on_python_code(const lt_event_python_code& event);
  [[nodiscard]] bool evaluates_python(std::uint32_t image, std::uint64_t address) const;
  [[nodiscard]] model::RawFrame python_frame(std::uint32_t image, std::uint64_t code,
                                             std::uint64_t instruction);

  /// A frame that is in no file: named by the process's perf map, if it has one that knows it.
  [[nodiscard]] model::RawFrame generated_frame(std::uint32_t image, pid_t pid,
                                                std::uint64_t address);

  /// Puts what could not be read of perf maps into the stream.
  void emit_losses() const;

  /// The image is gone, and its addresses with it.
  void forget(std::uint32_t image);

 private:
  struct Python {
    tracer::PythonProcess process;
    std::unordered_map<std::uint64_t, symbolize::PythonCode> codes;
    std::deque<std::uint64_t> order;  ///< of the codes, the oldest first
    std::uint64_t dropped = 0;        ///< codes that found no room any more
  };
  struct Generated {
    std::optional<symbolize::PerfMap> map;
    std::uint64_t ask_ns = 0;  ///< when to look for the file again
  };
  using Name = std::tuple<std::string, std::string, std::uint32_t>;

  static void make_room(Python& python, std::uint64_t code);
  void emit_loss(const Python& python) const;
  void emit_loss(const Generated& generated) const;
  [[nodiscard]] model::ModuleId module_of(const std::string& path);
  [[nodiscard]] model::RawFrame name(const std::string& path, const model::SourceFrame& source,
                                     std::uint64_t address);
  [[nodiscard]] std::optional<model::SourceFrame> look_up(Generated& generated, pid_t pid,
                                                          std::uint64_t address);

  Emit emit_;
  std::shared_ptr<symbolize::JitMaps> perf_maps_;
  std::map<std::uint32_t, Python> pythons_;       ///< by image
  std::map<std::uint32_t, Generated> generated_;  ///< by image
  std::map<std::string, model::ModuleId> modules_;
  std::map<std::pair<model::ModuleId, Name>, std::uint64_t> named_;  ///< to their number
};

}  // namespace leaktrace::app
