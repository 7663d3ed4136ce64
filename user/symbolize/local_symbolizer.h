// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "user/symbolize/file_losses.h"
#include "user/symbolize/module_symbols.h"
#include "user/symbolize/symbolizer.h"

namespace leaktrace::symbolize {

/// Reads the files in this process. What they hold is the work of whoever made them: in leaktrace
/// itself see RemoteSymbolizer.
class LocalSymbolizer final : public Symbolizer {
 public:
  LocalSymbolizer();
  ~LocalSymbolizer() override;

  void add_module(ModuleFile file) override;
  [[nodiscard]] std::vector<model::SourceFrame> look_up(model::ModuleId module,
                                                        std::uint64_t address) override;
  void use(std::unique_ptr<Debuginfod> debuginfod) override;
  [[nodiscard]] Debuginfod* debuginfod() const override;
  [[nodiscard]] std::vector<model::FileLoss> file_losses() const override;

  /// As use(), of one that is somewhere else.
  void fetch_through(DebugFileFetcher fetcher);
  /// What could not be read of the files of one module.
  [[nodiscard]] const FileLosses& losses_of(model::ModuleId module) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace leaktrace::symbolize
