// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "user/base/message.h"
#include "user/base/sandbox.h"
#include "user/base/worker.h"
#include "user/symbolize/file_losses.h"
#include "user/symbolize/symbolizer.h"

namespace leaktrace::symbolize {

/// Has the files read by a process that can do nothing else (Sandbox): a program brings its own
/// debug information, and with it whatever that makes of the code that reads it. This side opens
/// the files that the other asks for, in the root of the module only, and believes nothing that
/// comes back.
///
/// A module that makes that process crash, take too much memory or too much time gives no names; a
/// process that died is started anew, and its module tried once more where that may help. Each is
/// a loss that names the module.
class RemoteSymbolizer final : public Symbolizer {
 public:
  /// What its sandbox is for.
  [[nodiscard]] static SandboxWork work();
  /// `bounds`: of one look-up; the first one in the largest known debug files (some gigabytes)
  /// takes some seconds.
  explicit RemoteSymbolizer(std::unique_ptr<Sandbox> sandbox, const WorkBounds& bounds = {})
      : bounds_(bounds), sandbox_(std::move(sandbox)) {}
  /// With a sandbox of its own: forks. The caller must be the only thread.
  [[nodiscard]] static Result<std::unique_ptr<RemoteSymbolizer>> create(
      const WorkBounds& bounds = {});
  ~RemoteSymbolizer() override;

  void add_module(ModuleFile file) override;
  [[nodiscard]] std::vector<model::SourceFrame> look_up(model::ModuleId module,
                                                        std::uint64_t address) override;
  void use(std::unique_ptr<Debuginfod> debuginfod) override { debuginfod_ = std::move(debuginfod); }
  [[nodiscard]] Debuginfod* debuginfod() const override { return debuginfod_.get(); }
  [[nodiscard]] std::vector<model::FileLoss> file_losses() const override;

 private:
  using Frames = std::vector<model::SourceFrame>;

  struct Module {
    ModuleFile file;
    FileLosses losses;      ///< as the worker said last
    FileLosses ends;        ///< of workers
    bool is_known = false;  ///< to the worker that runs
    bool is_given_up = false;
    unsigned ended = 0;  ///< workers
  };

  [[nodiscard]] std::optional<Frames> ask(Module& module, std::uint64_t address);
  [[nodiscard]] bool tell_of(Module& module);
  [[nodiscard]] std::optional<Frames> await_frames(Module& module);
  [[nodiscard]] std::optional<Frames> take_frames(const Message& message, Module& module);
  [[nodiscard]] bool answer(const Message& question, const Module& module);
  [[nodiscard]] bool answer_open(const Message& question, const Module& module);
  [[nodiscard]] bool answer_fetch(const Message& question);
  void note_end(Module& module);

  WorkBounds bounds_;
  std::unique_ptr<Sandbox> sandbox_;
  std::unique_ptr<Debuginfod> debuginfod_;
  std::map<model::ModuleId, Module> modules_;
  unsigned ended_ = 0;   ///< workers, of all modules
  std::string overrun_;  ///< of the worker that is to be ended; empty: it was in time
};

}  // namespace leaktrace::symbolize
