// SPDX-License-Identifier: Apache-2.0
#include "user/app/workers.h"

#include <utility>

#include "user/base/sandbox.h"
#include "user/postgres/remote_sql.h"
#include "user/symbolize/remote_jit_maps.h"
#include "user/symbolize/remote_symbolizer.h"
#include "user/tracer/remote_elf_reader.h"
#include "user/unwind/remote_tables.h"

namespace leaktrace::app {

Result<Workers> make_workers() {
  auto sandboxes =
      Sandbox::create({symbolize::RemoteSymbolizer::work(), symbolize::RemoteJitMaps::work(),
                       postgres::RemoteSql::work(), tracer::RemoteElfReader::work(),
                       unwind::RemoteTables::work(), unwind::RemoteTables::work()});
  if (!sandboxes) return sandboxes.unexpected();
  auto next = sandboxes->begin();
  Workers workers;
  workers.symbolizer = std::make_unique<symbolize::RemoteSymbolizer>(std::move(*next++));
  workers.perf_maps = std::make_shared<symbolize::RemoteJitMaps>(std::move(*next++));
  workers.sql = std::make_shared<postgres::RemoteSql>(std::move(*next++));
  workers.elf = std::make_shared<tracer::RemoteElfReader>(std::move(*next++));
  while (next != sandboxes->end()) {
    workers.tables.push_back(std::make_shared<unwind::RemoteTables>(std::move(*next++)));
  }
  return workers;
}

}  // namespace leaktrace::app
