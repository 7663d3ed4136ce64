// SPDX-License-Identifier: Apache-2.0
#include "tests/bpf/oracle/copy_unwinder.h"

#include <elf.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <sys/auxv.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string_view>

namespace leaktrace::tests {
namespace {

/// No thread is ever on the stack so deep; damaged stacks could go round for ever.
constexpr size_t most_frames = 4096;

/// An entry point in assembly is a few instructions that call on.
constexpr uint64_t entry_size = 64;

/// The vDSO is the same in all processes: this one's.
Elf* open_vdso() {
  auto* image = reinterpret_cast<char*>(getauxval(AT_SYSINFO_EHDR));
  if (image == nullptr) return nullptr;
  const auto* header = reinterpret_cast<const Elf64_Ehdr*>(image);
  return elf_memory(image, header->e_shoff + size_t{header->e_shnum} * header->e_shentsize);
}

int find_file(Dwfl_Module*, void**, const char* name, Dwarf_Addr, char** path, Elf** elf) {
  if (std::string_view(name).starts_with("[vdso")) {
    *elf = open_vdso();
    return -1;
  }
  if (name[0] != '/') return -1;
  const int fd = open(name, O_RDONLY | O_CLOEXEC);
  if (fd >= 0) *path = strdup(name);
  return fd;
}

/// What is loaded is what is unwound by: no separate debug files.
int find_no_debug_file(Dwfl_Module*, void**, const char*, Dwarf_Addr, const char*, const char*,
                       GElf_Word, char**) {
  return -1;
}

bool is_readable(const oracle_stack& moment, uint64_t offset) {
  const uint64_t page = offset / ORACLE_PAGE;
  return page < moment.pages && (moment.readable >> page & 1) != 0;
}

/// A word of the copy, which may straddle two pages of it.
bool read_copy(const oracle_stack& moment, uint64_t address, Dwarf_Word* word) {
  const uint64_t offset = address - copy_start(moment);
  const uint64_t last = offset + sizeof *word - 1;
  if (last < offset || !is_readable(moment, offset) || !is_readable(moment, last)) return false;
  std::memcpy(word, reinterpret_cast<const char*>(&moment + 1) + offset, sizeof *word);
  return true;
}

}  // namespace

uint64_t copy_start(const oracle_stack& moment) {
  return moment.reg[ORACLE_RSP] & ~uint64_t{ORACLE_PAGE - 1};
}

const Dwfl_Callbacks CopyUnwinder::files = {find_file, find_no_debug_file, nullptr, nullptr};

const Dwfl_Thread_Callbacks CopyUnwinder::threads = {next_thread,   get_thread, read_memory,
                                                     set_registers, nullptr,    nullptr};

Result<std::unique_ptr<CopyUnwinder>> CopyUnwinder::create(const std::string& maps) {
  std::unique_ptr<CopyUnwinder> unwinder(new CopyUnwinder);
  unwinder->dwfl_ = dwfl_begin(&files);
  FILE* text = fmemopen(const_cast<char*>(maps.data()), maps.size(), "r");
  if (text == nullptr) return fail("no mappings to unwind by");
  const bool reported = unwinder->dwfl_ != nullptr &&
                        dwfl_linux_proc_maps_report(unwinder->dwfl_, text) == 0 &&
                        dwfl_report_end(unwinder->dwfl_, nullptr, nullptr) == 0;
  fclose(text);
  if (!reported || !dwfl_attach_state(unwinder->dwfl_, nullptr, 1, &threads, unwinder.get())) {
    return fail(fmt::format("libdwfl does not take the mappings: {}", dwfl_errmsg(-1)));
  }
  return unwinder;
}

CopyUnwinder::~CopyUnwinder() {
  dwfl_end(dwfl_);
}

pid_t CopyUnwinder::next_thread(Dwfl*, void* self, void** thread) {
  if (*thread != nullptr) return 0;
  *thread = self;
  return 1;
}

bool CopyUnwinder::get_thread(Dwfl*, pid_t, void* self, void** thread) {
  *thread = self;
  return true;
}

bool CopyUnwinder::read_memory(Dwfl*, Dwarf_Addr address, Dwarf_Word* word, void* self) {
  auto& unwinder = *static_cast<CopyUnwinder*>(self);
  if (read_copy(*unwinder.moment_, address, word)) return true;
  if (!unwinder.result_.missing) unwinder.result_.missing = address;
  return false;
}

bool CopyUnwinder::set_registers(Dwfl_Thread* thread, void* self) {
  const oracle_stack& moment = *static_cast<CopyUnwinder*>(self)->moment_;
  Dwarf_Word words[ORACLE_REGISTERS];
  std::copy(std::begin(moment.reg), std::end(moment.reg), words);
  return dwfl_thread_state_registers(thread, 0, ORACLE_REGISTERS, words);
}

/// libdwfl says "activation" of two frames at a signal: of the trampoline that the handler returns
/// to, which is a return address, and of the interrupted code after it, which is none.
int CopyUnwinder::note_frame(Dwfl_Frame* frame, void* self) {
  auto& unwinder = *static_cast<CopyUnwinder*>(self);
  Dwarf_Addr pc = 0;
  bool activation = false;
  if (!dwfl_frame_pc(frame, &pc, &activation)) return DWARF_CB_ABORT;
  const bool first = unwinder.result_.frames.empty();
  const bool interrupted = activation && unwinder.at_trampoline_;
  unwinder.at_trampoline_ = activation && !interrupted && !first;
  unwinder.result_.missing.reset();
  unwinder.result_.frames.push_back(pc + (interrupted ? 1 : 0));
  return unwinder.result_.frames.size() < most_frames ? DWARF_CB_OK : DWARF_CB_ABORT;
}

ReferenceStack CopyUnwinder::unwind(const oracle_stack& moment) {
  moment_ = &moment;
  result_ = {};
  at_trampoline_ = false;
  dwfl_errno();
  if (dwfl_getthread_frames(dwfl_, 1, note_frame, this) != 0) {
    const char* why = dwfl_errmsg(0);
    result_.stopped_by = why != nullptr ? why : "no word of why";
  }
  result_.at_entry_point = !result_.frames.empty() && is_entry_point(result_.frames.back());
  return std::move(result_);
}

bool CopyUnwinder::is_entry_point(uint64_t address) const {
  Dwfl_Module* module = dwfl_addrmodule(dwfl_, address);
  GElf_Addr bias = 0;
  GElf_Ehdr header;
  Elf* elf = module != nullptr ? dwfl_module_getelf(module, &bias) : nullptr;
  if (elf == nullptr || gelf_getehdr(elf, &header) == nullptr) return false;
  return address - bias - header.e_entry < entry_size;
}

std::string CopyUnwinder::describe(uint64_t address) const {
  Dwfl_Module* module = dwfl_addrmodule(dwfl_, address);
  if (module == nullptr) return "generated code";
  const char* name =
      dwfl_module_info(module, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr);
  const std::string file = std::filesystem::path(name != nullptr ? name : "?").filename();
  GElf_Off offset = 0;
  GElf_Sym symbol;
  const char* function =
      dwfl_module_addrinfo(module, address, &offset, &symbol, nullptr, nullptr, nullptr);
  if (function != nullptr) return fmt::format("{} {}+{:#x}", file, function, offset);
  GElf_Addr bias = 0;
  dwfl_module_getelf(module, &bias);
  return fmt::format("{} {:#x}", file, address - bias);
}

}  // namespace leaktrace::tests
