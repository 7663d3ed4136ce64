// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/python_image.h"

#include <gelf.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

namespace leaktrace::tracer {
namespace {

using ElfHandle = std::unique_ptr<Elf, decltype([](Elf* elf) { elf_end(elf); })>;

/// libelf would take memory for whatever a table claims to be.
constexpr std::uint64_t kMaxSymbolBytes = std::uint64_t{1} << 30;

struct Symbol {
  std::uint64_t address = 0;
  std::uint64_t size = 0;
};

/// The symbols that tell of an interpreter.
struct PythonSymbols {
  Symbol runtime;
  Symbol evaluation;
  Symbol version;

  [[nodiscard]] bool complete() const {
    return runtime.address != 0 && evaluation.size != 0 && version.address != 0;
  }
  void take(std::string_view name, const GElf_Sym& symbol) {
    if (symbol.st_shndx == SHN_UNDEF) return;
    const Symbol found{symbol.st_value, symbol.st_size};
    if (name == "_PyRuntime") runtime = found;
    if (name == kPythonEvaluation) evaluation = found;
    if (name == "Py_Version") version = found;
  }
};

PythonSymbols find_symbols(Elf* elf) {
  PythonSymbols symbols;
  for (Elf_Scn* section = nullptr; (section = elf_nextscn(elf, section)) != nullptr;) {
    GElf_Shdr header;
    if (gelf_getshdr(section, &header) == nullptr || header.sh_entsize == 0) continue;
    if (header.sh_type != SHT_DYNSYM && header.sh_type != SHT_SYMTAB) continue;
    if (header.sh_size > kMaxSymbolBytes) continue;
    Elf_Data* data = elf_getdata(section, nullptr);
    const std::size_t count = data == nullptr ? 0 : data->d_size / header.sh_entsize;
    for (std::size_t i = 0; i < count && !symbols.complete(); ++i) {
      GElf_Sym symbol;
      if (gelf_getsym(data, static_cast<int>(i), &symbol) == nullptr) break;
      const char* name = elf_strptr(elf, header.sh_link, symbol.st_name);
      if (name != nullptr) symbols.take(name, symbol);
    }
  }
  return symbols;
}

/// An open ELF file. It is not mapped: one that shrinks while it is read must give an error, not
/// SIGBUS.
struct ElfFile {
  int fd = -1;
  Elf* elf = nullptr;
};

/// Copies what the file has at an address; false when it has nothing there.
template <typename T>
bool read_initial(const ElfFile& file, std::uint64_t address, T& value) {
  std::size_t count = 0;
  if (elf_getphdrnum(file.elf, &count) != 0) return false;
  for (std::size_t i = 0; i < count; ++i) {
    GElf_Phdr segment;
    if (gelf_getphdr(file.elf, static_cast<int>(i), &segment) == nullptr) continue;
    if (segment.p_type != PT_LOAD || address < segment.p_vaddr) continue;
    const std::uint64_t in_segment = address - segment.p_vaddr;
    if (in_segment >= segment.p_filesz || segment.p_filesz - in_segment < sizeof(T)) continue;
    if (segment.p_offset > INT64_MAX - in_segment) return false;
    return ::pread(file.fd, &value, sizeof(T), static_cast<off_t>(segment.p_offset + in_segment)) ==
           static_cast<ssize_t>(sizeof(T));
  }
  return false;
}

/// Include/cpython/pystate.h, Include/internal/pycore_{frame,interp,runtime}.h and
/// Include/cpython/code.h of the 3.11 branch; laid out alike in all its releases on 64-bit systems.
constexpr PythonImage kPython311{.layout = {.interpreters = 40,
                                            .eval_start = 0,
                                            .eval_end = 0,
                                            .interpreter_next = 0,
                                            .interpreter_threads = 16,
                                            .thread_next = 8,
                                            .thread_id = 152,
                                            .thread_frame = 56,
                                            .cframe_frame = 8,
                                            .frame_code = 32,
                                            .frame_previous = 48,
                                            .frame_instruction = 56,
                                            .frame_entry = 68,
                                            .entry = LT_PYTHON_ENTRY_FLAG,
                                            .code_file = 112,
                                            .code_name = 128,
                                            .code_lines = 136,
                                            .code_first_line = 72,
                                            .code_instructions = 184},
                                 .major = 3,
                                 .minor = 11,
                                 .ascii_data = 48,
                                 .other_data = 72};

/// The same files of the 3.12 branch.
constexpr PythonImage kPython312{.layout = {.interpreters = 40,
                                            .eval_start = 0,
                                            .eval_end = 0,
                                            .interpreter_next = 0,
                                            .interpreter_threads = 72,
                                            .thread_next = 8,
                                            .thread_id = 136,
                                            .thread_frame = 56,
                                            .cframe_frame = 0,
                                            .frame_code = 0,
                                            .frame_previous = 8,
                                            .frame_instruction = 56,
                                            .frame_entry = 70,
                                            .entry = LT_PYTHON_ENTRY_SHIM,
                                            .code_file = 112,
                                            .code_name = 128,
                                            .code_lines = 136,
                                            .code_first_line = 68,
                                            .code_instructions = 192},
                                 .major = 3,
                                 .minor = 12,
                                 .ascii_data = 40,
                                 .other_data = 56};

/// What _PyRuntime begins with in 3.13: struct _Py_DebugOffsets (Include/internal/pycore_runtime.h)
/// by number of 8-byte words.
using DebugOffsets = std::array<std::uint64_t, 73>;
enum DebugOffset : std::size_t {
  free_threaded = 2,
  interpreters_head = 5,
  interpreter_next = 8,
  threads_head = 9,
  thread_next = 21,
  current_frame = 23,
  thread_id = 24,
  frame_size = 28,
  frame_previous = 29,
  executable = 30,
  instruction = 31,
  owner = 33,
  file_name = 35,
  qualified_name = 37,
  line_table = 38,
  first_line = 39,
  instructions = 43,
  ascii_object_size = 70,
};

std::optional<PythonImage> read_debug_offsets(const ElfFile& file, std::uint64_t runtime) {
  DebugOffsets offsets{};
  if (!read_initial(file, runtime, offsets)) return std::nullopt;
  if (std::memcmp(offsets.data(), "xdebugpy", 8) != 0 || offsets[free_threaded] != 0) {
    return std::nullopt;
  }
  const auto fits = [&](DebugOffset which) { return offsets[which] < LT_PYTHON_NO_CFRAME; };
  for (const auto which :
       {interpreters_head, interpreter_next, threads_head, thread_next, current_frame, thread_id,
        file_name, qualified_name, line_table, first_line, instructions, ascii_object_size}) {
    if (!fits(which)) return std::nullopt;
  }
  if (offsets[frame_size] > LT_PYTHON_FRAME_BYTES) return std::nullopt;
  const auto half = [&](DebugOffset which) { return static_cast<__u16>(offsets[which]); };
  PythonImage image;
  image.layout = {.interpreters = offsets[interpreters_head],
                  .eval_start = 0,
                  .eval_end = 0,
                  .interpreter_next = half(interpreter_next),
                  .interpreter_threads = half(threads_head),
                  .thread_next = half(thread_next),
                  .thread_id = half(thread_id),
                  .thread_frame = half(current_frame),
                  .cframe_frame = LT_PYTHON_NO_CFRAME,
                  .frame_code = half(executable),
                  .frame_previous = half(frame_previous),
                  .frame_instruction = half(instruction),
                  .frame_entry = half(owner),
                  .entry = LT_PYTHON_ENTRY_SHIM,
                  .code_file = half(file_name),
                  .code_name = half(qualified_name),
                  .code_lines = half(line_table),
                  .code_first_line = half(first_line),
                  .code_instructions = half(instructions)};
  image.major = 3;
  image.minor = 13;
  image.ascii_data = static_cast<std::uint32_t>(offsets[ascii_object_size]);
  image.other_data = image.ascii_data + 16;  // utf8_length and utf8 follow
  return image;
}

std::optional<PythonImage> image_of_release(const ElfFile& file, std::uint64_t version,
                                            std::uint64_t runtime) {
  switch (version >> 16) {  // PY_VERSION_HEX
    case 0x030b:
      return kPython311;
    case 0x030c:
      return kPython312;
    case 0x030d:
      return read_debug_offsets(file, runtime);
    default:
      return std::nullopt;
  }
}

}  // namespace

lt_python PythonImage::at(std::uint64_t bias) const {
  lt_python moved = layout;
  moved.interpreters += bias;
  moved.eval_start += bias;
  moved.eval_end += bias;
  return moved;
}

std::optional<PythonImage> read_python_image(int fd) {
  elf_version(EV_CURRENT);
  const ElfHandle elf(elf_begin(fd, ELF_C_READ, nullptr));
  if (!elf) return std::nullopt;
  const ElfFile file{fd, elf.get()};
  const PythonSymbols symbols = find_symbols(elf.get());
  std::uint64_t version = 0;
  if (!symbols.complete() || !read_initial(file, symbols.version.address, version)) {
    return std::nullopt;
  }
  auto image = image_of_release(file, version, symbols.runtime.address);
  if (!image) return std::nullopt;
  image->layout.interpreters += symbols.runtime.address;
  image->layout.eval_start = symbols.evaluation.address;
  image->layout.eval_end = symbols.evaluation.address + symbols.evaluation.size;
  return image;
}

}  // namespace leaktrace::tracer
