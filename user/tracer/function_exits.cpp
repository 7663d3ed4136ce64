// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/function_exits.h"

#include <elfutils/libdw.h>
#include <fmt/core.h>
#include <gelf.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "user/tracer/file_bytes.h"
#include "user/unwind/fde.h"
#include "user/unwind/rule.h"

namespace leaktrace::tracer {
namespace {

using unwind::CodeRange;

/// What is larger is no function of an allocator or a client library.
constexpr std::size_t kMaxParts = 48;
constexpr std::uint64_t kMaxPartBytes = 128U << 10;
constexpr std::size_t kMaxReturns = 64;
/// A jump through a table is preceded by the table's look-up.
constexpr std::size_t kTableLookUp = 5;
/// Longest instruction, and an endbr64 before it.
constexpr std::size_t kStubBytes = 32;

/// Functions that do not return: jumping to one is not a way back to the caller.
constexpr std::array<std::string_view, 7> kNeverReturn = {
    "abort", "__stack_chk_fail", "__assert_fail", "_ZSt17__throw_bad_allocv", "exit",
    "_exit", "_Unwind_Resume"};

struct ElfEnd {
  void operator()(Elf* elf) const { elf_end(elf); }
};
struct CfiEnd {
  void operator()(Dwarf_CFI* cfi) const { dwarf_cfi_end(cfi); }
};

/// A slot of the global offset table and the function that it will lead to.
struct ImportedFunction {
  std::string name;
  std::uint64_t address = 0;  ///< 0: it is in another file
};

void read_relocations(Elf* elf, Elf_Scn* section, const GElf_Shdr& header,
                      std::map<std::uint64_t, ImportedFunction>& slots) {
  Elf_Scn* symbols = elf_getscn(elf, header.sh_link);
  GElf_Shdr symbols_header;
  Elf_Data* data = elf_getdata(section, nullptr);
  if (!symbols || !gelf_getshdr(symbols, &symbols_header) || !data || header.sh_entsize == 0) {
    return;
  }
  Elf_Data* symbol_data = elf_getdata(symbols, nullptr);
  if (!symbol_data) return;
  const std::size_t count = header.sh_size / header.sh_entsize;
  for (std::size_t i = 0; i < count; ++i) {
    GElf_Rela relocation;
    GElf_Sym symbol;
    if (!gelf_getrela(data, static_cast<int>(i), &relocation)) return;
    const auto index = static_cast<int>(GELF_R_SYM(relocation.r_info));
    if (index == 0 || !gelf_getsym(symbol_data, index, &symbol)) continue;
    const char* name = elf_strptr(elf, symbols_header.sh_link, symbol.st_name);
    if (!name || GELF_ST_TYPE(symbol.st_info) == STT_OBJECT) continue;
    const std::uint64_t address = symbol.st_shndx == SHN_UNDEF ? 0 : symbol.st_value;
    slots[relocation.r_offset] = {name, address};
  }
}

std::map<std::uint64_t, ImportedFunction> read_slots(Elf* elf) {
  std::map<std::uint64_t, ImportedFunction> slots;
  for (Elf_Scn* section = nullptr; (section = elf_nextscn(elf, section)) != nullptr;) {
    GElf_Shdr header;
    if (gelf_getshdr(section, &header) && header.sh_type == SHT_RELA) {
      read_relocations(elf, section, header, slots);
    }
  }
  return slots;
}

}  // namespace

struct ExitFinder::File {
  int fd = -1;
  const ElfImage* image = nullptr;
  ClassSet emulated;
  Decoder decoder;
  std::unique_ptr<Elf, ElfEnd> elf;
  std::unique_ptr<Dwarf_CFI, CfiEnd> cfi;
  unwind::Machine machine;
  std::vector<CodeRange> ranges;                    ///< by start
  std::map<std::uint64_t, ImportedFunction> slots;  ///< by address

  [[nodiscard]] std::optional<CodeRange> range_at(std::uint64_t address) const {
    auto after = std::ranges::upper_bound(ranges, address, {}, &CodeRange::start);
    if (after == ranges.begin()) return std::nullopt;
    const CodeRange& range = *std::prev(after);
    return address < range.end ? std::optional(range) : std::nullopt;
  }

  [[nodiscard]] std::optional<std::uint64_t> offset_of(std::uint64_t address) const {
    for (const ElfImage::Segment& segment : image->segments) {
      if (segment.executable && address >= segment.address &&
          address - segment.address < segment.file_size) {
        return address - segment.address + segment.file_offset;
      }
    }
    return std::nullopt;
  }

  [[nodiscard]] std::vector<std::uint8_t> code_at(std::uint64_t address, std::size_t size) const {
    const auto offset = offset_of(address);
    return offset ? read_bytes(fd, *offset, size) : std::vector<std::uint8_t>();
  }

  /// Is the stack at this instruction as it was at the function's entry? A jump from there may
  /// leave the function for good; one with a frame on the stack cannot.
  [[nodiscard]] bool is_at_entry_depth(std::uint64_t address) const {
    Dwarf_Frame* found = nullptr;
    if (dwarf_cfi_addrframe(cfi.get(), address, &found) != 0) return true;
    const std::unique_ptr<Dwarf_Frame, decltype(&std::free)> frame(found, &std::free);
    const lt_unwind_rule rule = unwind::decode_rule(frame.get(), machine);
    const int entry_depth = machine.call_pushes_return ? 8 : 0;
    return rule.cfa != LT_UNWIND_CFA_FP &&
           (rule.cfa != LT_UNWIND_CFA_SP || rule.cfa_offset == entry_depth);
  }

  /// The slot that a stub of the procedure linkage table jumps through; nothing: this is no stub.
  [[nodiscard]] std::optional<std::uint64_t> slot_of_stub(std::uint64_t address) const {
    const std::vector<std::uint8_t> code = code_at(address, kStubBytes);
    std::size_t at = 0;
    for (int i = 0; i < 2 && at < code.size(); ++i) {
      const auto one = decoder.decode(std::span(code).subspan(at), address + at);
      if (!one) return std::nullopt;
      if (one->flow == Flow::indirect) return one->pointer;
      if (one->of_class != InstructionClass::endbr) return std::nullopt;
      at += one->size;
    }
    return std::nullopt;
  }
};

namespace {

/// One function's search.
template <typename File>
class Search {
 public:
  explicit Search(const File& file) : file_(file) {}

  FunctionExits run(const FunctionSymbol& function) {
    const auto entry = file_.image->address_of(function.file_offset);
    if (!entry || !enter(*entry)) {
      decline("its code has no unwind information");
    }
    while (!parts_.empty() && exits_.declined.empty()) {
      const CodeRange part = parts_.front();
      parts_.pop_front();
      sweep(part);
    }
    if (exits_.declined.empty() && exits_.returns.empty()) decline("it has no return instruction");
    if (!exits_.declined.empty()) exits_.returns.clear();
    return std::move(exits_);
  }

 private:
  void decline(std::string why) {
    if (exits_.declined.empty()) exits_.declined = std::move(why);
  }

  void cannot_follow(const std::string& jump) {
    decline(fmt::format("it may leave by \"{}\", which cannot be followed", jump));
  }

  /// Has the part of the code around an address looked at. False: there is none.
  bool enter(std::uint64_t address) {
    const auto part = file_.range_at(address);
    if (!part) return false;
    if (!seen_.insert(part->start).second) return true;
    if (seen_.size() > kMaxParts || part->end - part->start > kMaxPartBytes) {
      decline("it is too large to find all its exits");
    }
    parts_.push_back(*part);
    return true;
  }

  /// Every instruction, in their order: whatever leads there, a `ret` among them is a return.
  void sweep(const CodeRange& part) {
    const std::vector<std::uint8_t> code = file_.code_at(part.start, part.end - part.start);
    if (code.size() < part.end - part.start) return decline("its code cannot be read");
    since_look_up_ = kTableLookUp;
    for (std::size_t at = 0; at < code.size() && exits_.declined.empty();) {
      const std::uint64_t address = part.start + at;
      const auto one = file_.decoder.decode(std::span(code).subspan(at), address);
      if (!one) return decline(fmt::format("its instruction at {:#x} cannot be decoded", address));
      look_at(*one, address, part);
      at += one->size;
    }
  }

  void look_at(const Instruction& one, std::uint64_t address, const CodeRange& part) {
    since_look_up_ = one.text.starts_with("movsxd") ? 0 : since_look_up_ + 1;
    switch (one.flow) {
      case Flow::leave:
        add_return(one, address);
        break;
      case Flow::branch:
      case Flow::jump:
        if (one.target < part.start || one.target >= part.end) follow(one, one.target);
        break;
      case Flow::indirect:
        if (!file_.is_at_entry_depth(address)) break;  // a table of this function
        if (one.pointer) {
          follow_slot(one, *one.pointer);
        } else if (since_look_up_ >= kTableLookUp) {
          cannot_follow(one.text);
        }
        break;
      default:
        break;
    }
  }

  void follow(const Instruction& one, std::uint64_t target) {
    if (const auto slot = file_.slot_of_stub(target)) {
      follow_slot(one, *slot);
    } else if (!enter(target)) {
      cannot_follow(one.text);
    }
  }

  void follow_slot(const Instruction& one, std::uint64_t slot) {
    const auto imported = file_.slots.find(slot);
    if (imported == file_.slots.end()) {
      return cannot_follow(one.text);
    }
    const auto& [name, address] = imported->second;
    if (std::ranges::find(kNeverReturn, name) != kNeverReturn.end()) return;
    // A name of the file's own: another file may take its place only by defining it again.
    if (address == 0 || !enter(address)) cannot_follow("jmp " + name);
  }

  void add_return(const Instruction& one, std::uint64_t address) {
    if (exits_.returns.size() == kMaxReturns) return decline("it has too many return instructions");
    ProbeSite& site = exits_.returns.emplace_back();
    site.entry = site.offset = file_.offset_of(address).value_or(0);
    site.size = one.size;
    site.of_class = one.of_class;
    site.instruction = one.text;
    site.emulated = contains(file_.emulated, one.of_class);
  }

  const File& file_;
  FunctionExits exits_;
  std::deque<CodeRange> parts_;
  std::set<std::uint64_t> seen_;  ///< where they begin
  std::size_t since_look_up_ = kTableLookUp;
};

}  // namespace

ExitFinder::ExitFinder(std::unique_ptr<File> file) : file_(std::move(file)) {}
ExitFinder::ExitFinder(ExitFinder&&) noexcept = default;
ExitFinder& ExitFinder::operator=(ExitFinder&&) noexcept = default;
ExitFinder::~ExitFinder() = default;

Result<ExitFinder> ExitFinder::open(int fd, const ElfImage& image, const ClassSet& emulated) {
  const auto machine = machine_of(image.machine);
  const auto unwind_machine = unwind::machine_of(image.machine);
  if (!machine || !unwind_machine) return fail("its machine's code cannot be decoded");
  auto decoder = Decoder::create(*machine);
  if (!decoder) return decoder.unexpected();
  elf_version(EV_CURRENT);
  // Not mapped: a file that shrinks while it is read must give an error, not SIGBUS.
  std::unique_ptr<Elf, ElfEnd> elf(elf_begin(fd, ELF_C_READ, nullptr));
  if (!elf) return fail("it cannot be read as ELF");
  std::unique_ptr<Dwarf_CFI, CfiEnd> cfi(dwarf_getcfi_elf(elf.get()));
  if (!cfi) return fail("it has no unwind information");
  auto ranges = unwind::list_described_code(elf.get(), unwind::FrameSection::eh_frame).ranges;
  std::ranges::sort(ranges, {}, &CodeRange::start);
  auto slots = read_slots(elf.get());
  return ExitFinder(std::unique_ptr<File>(new File{fd, &image, emulated, std::move(*decoder),
                                                   std::move(elf), std::move(cfi), *unwind_machine,
                                                   std::move(ranges), std::move(slots)}));
}

FunctionExits ExitFinder::find(const FunctionSymbol& function) const {
  return Search(*file_).run(function);
}

}  // namespace leaktrace::tracer
