// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/libbpf_log.h"

#include <bpf/libbpf.h>

#include <array>
#include <cstdarg>
#include <cstdio>
#include <string>

#include "user/base/log.h"

namespace leaktrace::tracer {
namespace {

int print_libbpf(libbpf_print_level, const char* format, va_list arguments) {
  if (!log::enabled(log::Level::debug)) return 0;
  std::array<char, 4096> line{};
  std::vsnprintf(line.data(), line.size(), format, arguments);
  std::string text(line.data());
  while (text.ends_with('\n')) text.pop_back();
  log::debug("{}", text);
  return 0;
}

}  // namespace

void send_libbpf_to_log() {
  libbpf_set_print(print_libbpf);
}

}  // namespace leaktrace::tracer
