// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>

#include "user/base/result.h"
#include "user/base/strong_id.h"
#include "user/model/record.h"
#include "user/symbolize/jit_names.h"

namespace leaktrace::symbolize {

/// The names in perf maps: kept in this process, which this class does, or in another one
/// (RemoteJitMaps).
class JitMaps {
 public:
  using Number = StrongId<struct JitMapTag, std::uint32_t>;

  /// Of one map.
  struct Counts {
    std::uint64_t malformed = 0;  ///< lines
    std::uint64_t left_out = 0;   ///< names
  };
  struct Read {
    std::uint64_t offset = 0;  ///< up to which it was read: the end of a line
    Counts counts;
  };

  JitMaps() = default;
  virtual ~JitMaps() = default;
  JitMaps(const JitMaps&) = delete;
  JitMaps& operator=(const JitMaps&) = delete;

  /// A number for a map.
  [[nodiscard]] Number add() { return Number{++last_}; }
  /// Reads on in the file; from offset 0 on it is a new one, whose names replace what was known.
  /// What follows the last line break before `to` is left for the next time.
  [[nodiscard]] virtual Result<Read> read(Number map, int fd, std::uint64_t from, std::uint64_t to);
  /// The code at an address, as split_jit_name() has it.
  [[nodiscard]] virtual Result<std::optional<model::SourceFrame>> look_up(Number map,
                                                                          std::uint64_t address);
  virtual void forget(Number map) { maps_.erase(map); }
  /// Changes when all that was read is lost.
  [[nodiscard]] virtual std::uint64_t generation() const { return 0; }

 private:
  std::uint32_t last_ = 0;
  std::map<Number, JitNames> maps_;
};

}  // namespace leaktrace::symbolize
