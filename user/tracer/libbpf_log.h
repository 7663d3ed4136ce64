// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace leaktrace::tracer {

/// What libbpf says goes to the log, as debugging: with --verbose. Until this is called libbpf
/// writes its warnings to stderr itself. For the whole process.
void send_libbpf_to_log();

}  // namespace leaktrace::tracer
