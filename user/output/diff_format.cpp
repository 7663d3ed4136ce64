// SPDX-License-Identifier: Apache-2.0
#include "user/output/diff_format.h"

#include <array>

#include "user/output/diff_writers.h"
#include "user/output/named_format.h"

namespace leaktrace::output {
namespace {

constexpr std::array<DiffFormat, 4> kFormats = {{
    {"text", "for a terminal: what grew and what shrank, by call site, with stacks",
     write_diff_text},
    {"json", "everything, as the documented JSON", write_diff_json},
    {"folded", "one line a stack, with the old and the new outstanding bytes", write_diff_folded},
    {"svg", "a differential flame graph: red grew, blue shrank", write_diff_flame_graph},
}};

}  // namespace

std::span<const DiffFormat> diff_formats() {
  return kFormats;
}

Result<const DiffFormat*> find_diff_format(std::string_view name) {
  return find_named(diff_formats(), name);
}

}  // namespace leaktrace::output
