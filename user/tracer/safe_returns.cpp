// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/safe_returns.h"

namespace leaktrace::tracer {

bool is_plain_libc(const ElfImage& image) {
  const LibraryMarks& marks = image.marks;
  if (!marks.start_main) return false;
  if (marks.soname.empty()) return marks.int_malloc && !marks.malloc_hook;  // a static program
  if (!marks.soname.starts_with("libc.")) return false;
  return !marks.glibc || marks.fork;
}

bool may_have_trampoline(const catalog::Row& row, const ElfImage& image, Trampolines trampolines) {
  return trampolines == Trampolines::where_safe && !image.marks.go &&
         row.returns == catalog::Returns::trampoline_in_libc && is_plain_libc(image);
}

}  // namespace leaktrace::tracer
