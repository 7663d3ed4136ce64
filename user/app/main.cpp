// SPDX-License-Identifier: Apache-2.0
#include <exception>
#include <variant>

#include "user/app/commands.h"
#include "user/app/options.h"
#include "user/base/log.h"
#include "user/base/process_setup.h"
#include "user/tracer/libbpf_log.h"

int main(int argc, char** argv) try {
  using namespace leaktrace;
  set_up_process();
  tracer::send_libbpf_to_log();
  app::ParsedLine line = app::parse_command_line(argc, argv);
  if (!line.command) return line.status;
  auto status =
      std::visit([](const auto& command) { return app::run_command(command); }, *line.command);
  if (!status) {
    log::error("{}", status.error().message());
    return 1;
  }
  return *status;
} catch (const std::exception& error) {
  leaktrace::log::error("{}", error.what());
  return 1;
}
