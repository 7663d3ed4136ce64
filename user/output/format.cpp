// SPDX-License-Identifier: Apache-2.0
#include "user/output/format.h"

#include <array>

#include "user/output/named_format.h"
#include "user/output/writers.h"

namespace leaktrace::output {
namespace {

constexpr std::array<Format, 4> kFormats = {{
    {"text", "for a terminal: what is outstanding, by call site, with stacks", write_text},
    {"json", "everything, as the documented JSON report", write_json},
    {"folded", "one line a stack, outermost first, with outstanding bytes", write_folded},
    {"svg", "a flame graph in one file, to open in a browser", write_flame_graph},
}};

}  // namespace

std::span<const Format> formats() {
  return kFormats;
}

Result<const Format*> find_format(std::string_view name) {
  return find_named(formats(), name);
}

}  // namespace leaktrace::output
