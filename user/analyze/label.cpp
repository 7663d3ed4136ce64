// SPDX-License-Identifier: Apache-2.0
#include "user/analyze/label.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "user/analyze/function_name.h"

namespace leaktrace::analyze {
namespace {

/// Entry points of allocators and common wrappers around them, by their whole name.
constexpr std::array kWrapperNames = {
    // C library
    "malloc", "calloc", "realloc", "reallocarray", "aligned_alloc", "memalign", "posix_memalign",
    "valloc", "pvalloc", "mmap", "mmap64", "mremap", "strdup", "strndup", "wcsdup", "asprintf",
    "vasprintf", "__strdup", "__strndup", "__libc_malloc", "__libc_calloc", "__libc_realloc",
    "__libc_memalign",
    // C++
    "operator new", "operator new[]", "_Znwm", "_Znam", "__cxa_allocate_exception",
    // names that many C programs give their wrapper
    "xmalloc", "xcalloc", "xrealloc", "xreallocarray", "xmemdup", "xstrdup", "xstrndup", "xmalloc0",
    "xzalloc", "xmallocz", "xasprintf", "ecalloc", "emalloc", "safe_malloc", "checked_malloc",
    "zmalloc", "zcalloc", "zrealloc", "zstrdup", "ztrymalloc", "ztrymalloc_usable",
    "zmalloc_usable", "ztrycalloc", "ztryrealloc", "valkey_malloc",
    // clients of PostgreSQL
    "PQexec", "PQexecParams", "PQexecPrepared", "PQprepare", "PQgetResult", "PQsendQuery",
    "PQsendQueryParams", "PQsendPrepare", "PQsendQueryPrepared", "PQconnectdb", "PQconnectdbParams",
    "PQsetdbLogin", "lo_open",
    // well-known programs and libraries
    "g_malloc", "g_malloc0", "g_malloc_n", "g_malloc0_n", "g_realloc", "g_realloc_n",
    "g_try_malloc", "g_slice_alloc", "g_slice_alloc0", "g_strdup", "g_strndup", "palloc", "palloc0",
    "repalloc", "pstrdup", "MemoryContextAlloc", "MemoryContextAllocZero", "AllocSetAlloc",
    "ngx_alloc", "ngx_calloc", "ngx_palloc", "ngx_pcalloc", "apr_palloc", "av_malloc", "av_mallocz",
    "av_calloc", "av_realloc", "CRYPTO_malloc", "CRYPTO_zalloc", "CRYPTO_realloc", "sqlite3Malloc",
    "sqlite3_malloc", "sqlite3MemMalloc", "xmlMalloc", "uv__malloc", "uv__calloc", "pg_malloc",
    "pg_malloc0", "pg_strdup", "pg_realloc"};

/// The same where a family shares its beginning. Containers and smart pointers of the C++ and Rust
/// standard libraries are here too: a site in std::vector is named by who fills the vector. Rust's
/// `alloc` and `core` are named by module, for C++ programs have namespaces of those names.
constexpr std::array kWrapperPrefixes = {
    // C++
    "std::", "__gnu_cxx::", "pqxx::",
    // Python
    "PyMem_", "_PyMem_", "PyObject_Malloc", "PyObject_Calloc", "PyObject_Realloc",
    "_PyObject_Malloc", "_PyObject_Calloc", "_PyObject_Realloc", "_PyObject_Alloc",
    "_PyObject_GC_Alloc", "_PyObject_GC_Malloc",
    // allocators
    "je_", "jemalloc", "_rjem_", "_mi_", "mi_malloc", "mi_calloc", "mi_zalloc", "mi_realloc",
    "mi_new", "mi_heap_", "tc_malloc", "tc_calloc", "tc_realloc", "tc_new", "tcmalloc::",
    // Rust
    "__rust_alloc", "__rust_realloc", "__rdl_", "__rg_", "__rustc::__rust_",
    "alloc::alloc::", "alloc::vec::", "alloc::raw_vec::", "alloc::string::", "alloc::boxed::",
    "alloc::sync::", "alloc::rc::", "alloc::collections::", "alloc::slice::", "alloc::str::",
    "alloc::borrow::", "alloc::fmt::", "alloc::ffi::", "core::ops::", "core::iter::",
    "core::option::", "core::result::", "core::ptr::", "core::slice::", "core::str::",
    "core::fmt::", "core::array::", "core::clone::", "core::convert::", "core::default::",
    "core::cell::", "<alloc::", "<core::", "<std::", "<hashbrown::", "hashbrown::", "<T as alloc::",
    "<T as core::", "<I as core::", "<str as alloc::"};

bool is_plumbing(const ReportFrame& frame) {
  return !frame.source.function.empty() && is_allocation_plumbing(frame.source.function);
}

bool is_script(const ReportFrame& frame) {
  return frame.module == model::kPythonModule;
}

/// The file of the interpreter that runs the script frames of a stack: that of the frame which they
/// are put before. Empty when there are none.
std::string_view interpreter_of(const std::vector<ReportFrame>& stack) {
  const auto script = std::find_if(stack.begin(), stack.end(), is_script);
  const auto after = std::find_if_not(script, stack.end(), is_script);
  return after == stack.end() ? std::string_view() : std::string_view(after->module);
}

}  // namespace

bool is_allocation_plumbing(std::string_view function) {
  const std::string_view name = qualified_name(function);
  return std::any_of(kWrapperNames.begin(), kWrapperNames.end(),
                     [name](std::string_view known) { return name == known; }) ||
         std::any_of(kWrapperPrefixes.begin(), kWrapperPrefixes.end(),
                     [name](std::string_view prefix) { return name.starts_with(prefix); });
}

std::size_t naming_frame(const std::vector<ReportFrame>& stack) {
  // What the interpreter does for a script is named by the script.
  const std::string_view interpreter = interpreter_of(stack);
  const auto found = std::find_if_not(stack.begin(), stack.end(), [&](const ReportFrame& frame) {
    return is_plumbing(frame) || (!interpreter.empty() && frame.module == interpreter);
  });
  return found == stack.end() ? 0 : static_cast<std::size_t>(found - stack.begin());
}

std::string_view base_name(std::string_view path) {
  return path.substr(path.rfind('/') + 1);  // npos + 1 is 0
}

std::string frame_name(const ReportFrame& frame) {
  if (!frame.source.function.empty()) return frame.source.function;
  if (frame.module.empty()) return fmt::format("{:#x}", frame.address);
  return fmt::format("{}+{:#x}", base_name(frame.module), frame.offset);
}

std::string site_label(const std::vector<ReportFrame>& stack) {
  if (stack.empty()) return "(no stack)";
  const ReportFrame& frame = stack[naming_frame(stack)];
  if (frame.source.function.empty()) return frame_name(frame);
  return std::string(qualified_name(frame.source.function));
}

}  // namespace leaktrace::analyze
