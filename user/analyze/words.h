// SPDX-License-Identifier: Apache-2.0
// Numbers as a person reads them. Machines read the JSON report, which has the plain numbers.
#pragma once

#include <cstdint>
#include <string>

namespace leaktrace::analyze {

/// "0 B", "512 B", "1.2 KiB", "9.8 MiB": binary units, one decimal from KiB on.
[[nodiscard]] std::string human_bytes(std::uint64_t bytes);

/// A difference of bytes: "+5.6 KiB", "-12 B", "0 B".
[[nodiscard]] std::string human_byte_difference(std::int64_t bytes);

/// Signed bytes a second: "+5.6 KiB/s", "-12 B/s"; "0 B/s" when it rounds to nothing.
[[nodiscard]] std::string human_byte_rate(double bytes_per_second);

/// "0.25 s", "12 s", "3 min 20 s", "2 h 5 min", "3 d 4 h".
[[nodiscard]] std::string human_seconds(double seconds);

}  // namespace leaktrace::analyze
