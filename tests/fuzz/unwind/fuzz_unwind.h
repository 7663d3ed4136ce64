// SPDX-License-Identifier: Apache-2.0
// The entry points, for libFuzzer and for the test that feeds damaged real files with any compiler.
// They abort when something is wrong.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "user/unwind/table_cache.h"

namespace leaktrace::fuzz {

/// Compiles the bytes, as an ELF file, to a table: any error will do, any table must be sound.
void fuzz_unwind_table(const std::uint8_t* data, std::size_t size);

/// Reads the bytes as a file of the cache: once as they are, once made to be of the expected file
/// and with a right checksum, so that mutations get past them.
void fuzz_unwind_cache(const std::uint8_t* data, std::size_t size);

/// The file that fuzz_unwind_cache expects tables of.
[[nodiscard]] unwind::FileIdentity fuzz_identity();

}  // namespace leaktrace::fuzz
