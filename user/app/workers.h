// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "user/base/result.h"
#include "user/postgres/sql_reader.h"
#include "user/symbolize/jit_maps.h"
#include "user/symbolize/symbolizer.h"
#include "user/tracer/elf_reader.h"
#include "user/tracer/unwind_loader.h"

namespace leaktrace::app {

/// The processes that read what a traced program controls, one for each kind of work: this process
/// has privileges and sends them opened files and text.
struct Workers {
  std::unique_ptr<symbolize::Symbolizer> symbolizer;  ///< debug information
  std::shared_ptr<symbolize::JitMaps> perf_maps;
  std::shared_ptr<postgres::SqlReader> sql;
  tracer::UnwindLoader::Sources tables;    ///< unwind information
  std::shared_ptr<tracer::ElfReader> elf;  ///< symbol tables and code, for hooking
};

/// Forks: before anything else is done. A process of each kind is started when it is needed first.
[[nodiscard]] Result<Workers> make_workers();

}  // namespace leaktrace::app
