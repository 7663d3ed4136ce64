// SPDX-License-Identifier: Apache-2.0
// What the tracer finds out of copies of libpq.
#include <algorithm>
#include <string_view>

#include "user/base/log.h"
#include "user/tracer/tracer.h"

namespace leaktrace::tracer {
namespace {

constexpr std::uint64_t kPage = 4096;

/// Does the file hold libpq and nothing else? In a program that was linked with it, the program's
/// own calls come from the same code.
bool is_libpq_alone(const Module& module) {
  const std::string_view path = module.path;
  return path.substr(path.rfind('/') + 1).starts_with("libpq");
}

const ElfImage::Segment* code_of(const ElfImage& image, std::uint64_t offset) {
  const auto found = std::ranges::find_if(image.segments, [&](const ElfImage::Segment& segment) {
    return segment.executable && offset >= segment.file_offset &&
           offset - segment.file_offset < segment.file_size;
  });
  return found == image.segments.end() ? nullptr : &*found;
}

/// Of a hook: see LT_COOKIE_CODE_PAGES.
std::uint16_t pages_of(const ElfImage& image, const Hook& hook) {
  const ElfImage::Segment* code = code_of(image, hook.site.offset);
  if (code == nullptr) return UINT16_MAX;
  const std::uint64_t probe = code->address + (hook.site.offset - code->file_offset);
  const std::uint64_t pages = probe / kPage - code->address / kPage;
  return static_cast<std::uint16_t>(std::min<std::uint64_t>(pages, UINT16_MAX));
}

lt_pg_layout no_layout() {
  lt_pg_layout layout{};
  layout.result_status = layout.result_tag = layout.result_memory = LT_PG_NO_FIELD;
  layout.connection_status = layout.transaction = layout.pipeline = LT_PG_NO_FIELD;
  layout.async_status = LT_PG_NO_FIELD;
  for (lt_pg_string& string : layout.strings) {
    string = {LT_PG_NO_FIELD, LT_PG_NO_FIELD, LT_PG_NO_FIELD, 0};
  }
  return layout;
}

/// No accessor returns it, but it stands between the two that have one, in every libpq since 7.4
/// (libpq-int.h, struct pg_conn).
std::uint32_t async_status_of(const lt_pg_layout& layout) {
  constexpr std::uint32_t kInt = 4;
  const bool has_both =
      layout.connection_status != LT_PG_NO_FIELD && layout.transaction != LT_PG_NO_FIELD;
  return has_both && layout.transaction == layout.connection_status + 2 * kInt
             ? layout.connection_status + kInt
             : LT_PG_NO_FIELD;
}

}  // namespace

void Tracer::learn_libpq(const Module& module, std::vector<Hook>& hooks) {
  const auto is_libpqs = [&](const Hook& hook) {
    const lt_row& row = options_.rows[hook.row].abi;
    return row.pg_role != LT_PG_NO_ROLE;
  };
  if (std::ranges::none_of(hooks, is_libpqs)) return;
  if (libpqs_.size() + 1 >= LT_PG_MAX_LAYOUTS) return;
  lt_pg_layout layout =
      options_.elf->find_libpq_layout(module.fd.get(), module.image).value_or(no_layout());
  layout.async_status = async_status_of(layout);
  const auto first = std::ranges::find_if(hooks, is_libpqs);
  if (const ElfImage::Segment* code = code_of(module.image, first->site.offset);
      code != nullptr && is_libpq_alone(module)) {
    // From the page that it begins in, as the probes count.
    layout.code_bytes = static_cast<std::uint32_t>(code->file_size + code->address % kPage);
  }
  libpqs_.insert(module.id);
  const auto index = static_cast<std::uint32_t>(libpqs_.size());
  if (auto set = engine_.set_pg_layout(index, layout); !set) {
    log::warning("{}: {}", module.path, set.error().message());
    return;
  }
  for (Hook& hook : hooks) {
    if (!is_libpqs(hook)) continue;
    hook.pg_layout = index;
    hook.code_pages = pages_of(module.image, hook);
  }
  const bool readable =
      layout.result_status != LT_PG_NO_FIELD && layout.result_tag != LT_PG_NO_FIELD;
  if (readable || !listener_.on_probe_loss) return;
  listener_.on_probe_loss(
      {.path = module.path,
       .count = 0,
       .why =
           "where this libpq keeps the status of a result could not be found: what commands have "
           "opened and closed is not known, so pg.statement, pg.cursor and pg.copy are empty"});
}

bool Tracer::has_libpq(pid_t pid) const {
  const auto process = processes_.find(pid);
  if (process == processes_.end()) return false;
  return std::ranges::any_of(process->second.looked_at, [&](std::uint32_t module) {
    return libpqs_.contains(module) || is_libpq_alone(*modules_.all().at(module - 1));
  });
}

}  // namespace leaktrace::tracer
