// SPDX-License-Identifier: Apache-2.0
#include "user/symbolize/split_dwarf.h"

#include <dwarf.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <sys/mman.h>

#include <array>
#include <string_view>
#include <utility>

#include "user/base/file.h"
#include "user/base/foreign_file.h"
#include "user/symbolize/dies.h"
#include "user/symbolize/elf_builder.h"

namespace leaktrace::symbolize {

struct SplitUnits::Skeleton {
  Dwarf_Off offset = 0;
  Dwarf_Half version = 0;
  std::uint64_t dwo_id = 0;
  std::uint64_t low_pc = 0;
  std::uint32_t address_base = 0;
  std::uint32_t ranges_base = 0;
  const char* name = nullptr;
  const char* folder = nullptr;
};

namespace {

/// The debug information of one source file; the largest known take some 100 MB.
constexpr std::uint64_t kMaxSplitFile = std::uint64_t{512} << 20;

constexpr std::uint64_t kV4Code = 1;
constexpr std::uint64_t kV5Code = 2;

void append_number(std::string& out, std::uint64_t value) {  // ULEB128
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

template <typename T>
void append(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

std::string abbreviations() {
  using Attributes = std::vector<std::pair<unsigned, unsigned>>;
  std::string out;
  const auto add = [&](std::uint64_t code, unsigned tag, const Attributes& attributes) {
    append_number(out, code);
    append_number(out, tag);
    append_number(out, DW_CHILDREN_no);
    for (const auto& [attribute, form] : attributes) {
      append_number(out, attribute);
      append_number(out, form);
    }
    out.append(2, '\0');
  };
  add(kV4Code, DW_TAG_compile_unit,
      {{DW_AT_GNU_dwo_name, DW_FORM_string},
       {DW_AT_low_pc, DW_FORM_addr},
       {DW_AT_GNU_addr_base, DW_FORM_sec_offset},
       {DW_AT_GNU_dwo_id, DW_FORM_data8},
       {DW_AT_GNU_ranges_base, DW_FORM_sec_offset}});
  add(kV5Code, DW_TAG_skeleton_unit,
      {{DW_AT_dwo_name, DW_FORM_string},
       {DW_AT_low_pc, DW_FORM_addr},
       {DW_AT_addr_base, DW_FORM_sec_offset}});
  out += '\0';
  return out;
}

bool has_unit(const ElfFile& file, std::uint64_t dwo_id) {
  std::unique_ptr<Dwarf, int (*)(Dwarf*)> dwarf(
      ::dwarf_begin_elf(file.elf(), DWARF_C_READ, nullptr), &::dwarf_end);
  Dwarf_CU* unit = nullptr;
  while (dwarf &&
         ::dwarf_get_units(dwarf.get(), unit, &unit, nullptr, nullptr, nullptr, nullptr) == 0) {
    std::uint64_t id = 0;
    std::uint8_t type = 0;
    if (::dwarf_cu_info(unit, nullptr, &type, nullptr, nullptr, &id, nullptr, nullptr) == 0 &&
        type == DW_UT_split_compile && id == dwo_id) {
      return true;
    }
  }
  return false;
}

UniqueFd file_in_memory(const std::vector<char>& bytes) {
  UniqueFd fd(::memfd_create("leaktrace.dwo", MFD_CLOEXEC));
  if (fd && !write_all(fd.get(), {bytes.data(), bytes.size()})) fd.reset();
  return fd;
}

/// For a descriptor that is to lead to no file.
UniqueFd empty_slot() {
  return UniqueFd(::memfd_create("leaktrace.none", MFD_CLOEXEC));
}

}  // namespace

SplitUnits::SplitUnits(const ElfFile& file, const DebugFileQuery& query, FileLosses& losses)
    : file_(file), query_(query), losses_(losses) {}
SplitUnits::~SplitUnits() = default;

std::optional<SplitUnits::Skeleton> SplitUnits::read_skeleton(Dwarf_Die unit) {
  Skeleton skeleton;
  std::uint8_t type = 0;
  if (::dwarf_cu_info(unit.cu, &skeleton.version, &type, nullptr, nullptr, &skeleton.dwo_id,
                      nullptr, nullptr) != 0 ||
      type != DW_UT_skeleton) {
    return std::nullopt;
  }
  skeleton.name = text(unit, DW_AT_dwo_name);
  if (skeleton.name == nullptr) skeleton.name = text(unit, DW_AT_GNU_dwo_name);
  if (skeleton.name == nullptr) return std::nullopt;
  skeleton.offset = ::dwarf_dieoffset(&unit);
  skeleton.folder = text(unit, DW_AT_comp_dir);
  Dwarf_Addr low_pc = 0;
  if (::dwarf_lowpc(&unit, &low_pc) == 0) skeleton.low_pc = low_pc;
  const auto base = [&](unsigned attribute) {
    return static_cast<std::uint32_t>(number(unit, attribute).value_or(0));
  };
  skeleton.address_base = base(skeleton.version < 5 ? DW_AT_GNU_addr_base : DW_AT_addr_base);
  skeleton.ranges_base = base(DW_AT_GNU_ranges_base);
  return skeleton;
}

std::string SplitUnits::skeleton_bytes(const Skeleton& skeleton) const {
  constexpr std::uint8_t kAddressSize = 8;
  const bool v4 = skeleton.version < 5;
  std::string unit;
  append(unit, static_cast<std::uint16_t>(skeleton.version));
  if (v4) {
    append(unit, std::uint32_t{0});  // offset of the abbreviations
    append(unit, kAddressSize);
  } else {
    append(unit, static_cast<std::uint8_t>(DW_UT_skeleton));
    append(unit, kAddressSize);
    append(unit, std::uint32_t{0});
    append(unit, skeleton.dwo_id);
  }
  append_number(unit, v4 ? kV4Code : kV5Code);
  unit += fmt::format("/proc/self/fd/{}", slot_.get());
  unit += '\0';
  append(unit, skeleton.low_pc);
  append(unit, skeleton.address_base);
  if (v4) {
    append(unit, skeleton.dwo_id);
    append(unit, skeleton.ranges_base);
  }
  std::string bytes;
  append(bytes, static_cast<std::uint32_t>(unit.size()));
  return bytes + unit;
}

void SplitUnits::make_skeletons(Dwarf* dwarf) {
  made_ = true;
  slot_ = empty_slot();
  std::string info;
  std::vector<Dwarf_Off> offsets;
  Dwarf_CU* unit = nullptr;
  Dwarf_Die die;
  while (::dwarf_get_units(dwarf, unit, &unit, nullptr, nullptr, &die, nullptr) == 0) {
    const auto skeleton = read_skeleton(die);
    if (!skeleton) continue;
    offsets.push_back(skeleton->offset);
    info += skeleton_bytes(*skeleton);
  }
  if (offsets.empty() || !slot_ || !file_.is_native()) return;
  package_ = find_package(query_);
  const std::string abbreviation = abbreviations();
  const std::array<NewSection, 4> sections = {
      {{".debug_info", info},
       {".debug_abbrev", abbreviation},
       {".debug_addr", file_.unpacked_section(".debug_addr").value_or("")},
       {".debug_ranges", file_.unpacked_section(".debug_ranges").value_or("")}}};
  auto built = ElfFile::from_memory(build_elf(sections));
  if (!built) return;
  own_file_ = std::move(*built);
  own_dwarf_.reset(::dwarf_begin_elf(own_file_->elf(), DWARF_C_READ, nullptr));
  unit = nullptr;
  for (Dwarf_Off offset : offsets) {
    if (::dwarf_get_units(own_dwarf_.get(), unit, &unit, nullptr, nullptr, &die, nullptr) != 0) {
      return;
    }
    own_.emplace(offset, die);
  }
}

std::optional<Dwarf_Die> SplitUnits::find(Dwarf_Die unit) {
  const auto skeleton = read_skeleton(unit);
  if (!skeleton) return std::nullopt;
  if (!made_) make_skeletons(::dwarf_cu_getdwarf(unit.cu));
  auto own = own_.find(skeleton->offset);
  Result<UniqueFd> split_file = UniqueFd();
  if (own != own_.end()) split_file = open_split_file(*skeleton);
  if (!split_file) {
    losses_.add(query_.path,
                "units whose split debug information may not be read: " + split_file.error().what,
                1);
    return std::nullopt;
  }
  auto found = *split_file ? link(own->second, *split_file) : std::nullopt;
  if (!found) {
    if (why_missing_.empty()) {
      why_missing_ = fmt::format(
          "units whose split debug information is in no .dwp and no .dwo file that was found, such "
          "as {}",
          skeleton->name);
    }
    losses_.add(query_.path, why_missing_, 1);
  }
  return found;
}

Result<UniqueFd> SplitUnits::open_split_file(const Skeleton& skeleton) {
  if (package_) {
    if (auto image = package_->carve(skeleton.dwo_id)) return file_in_memory(*image);
  }
  return open_dwo(skeleton);
}

// A copy: libdw maps what it opens, and would not survive that the file is cut.
Result<UniqueFd> SplitUnits::open_dwo(const Skeleton& skeleton) const {
  const char* folder = skeleton.folder == nullptr ? "" : skeleton.folder;
  auto file = find_split_file(
      query_, path_in_root(query_.root, file_.fd()), skeleton.name, folder,
      [&](const ElfFile& candidate) { return has_unit(candidate, skeleton.dwo_id); });
  if (!file) return file.unexpected();
  if (!*file) return UniqueFd();
  auto copy = copy_foreign((*file)->fd(), kMaxSplitFile);
  if (!copy) return fail(fmt::format("{}: {}", skeleton.name, copy.error().what));
  return copy;
}

// libdw opens the slot, maps the file and closes it.
std::optional<Dwarf_Die> SplitUnits::link(Dwarf_Die& own, const UniqueFd& split_file) {
  if (::dup3(split_file.get(), slot_.get(), O_CLOEXEC) < 0) return std::nullopt;
  Dwarf_Die split{};
  const int status =
      ::dwarf_cu_info(own.cu, nullptr, nullptr, nullptr, &split, nullptr, nullptr, nullptr);
  const UniqueFd nothing = empty_slot();
  if (nothing) ::dup3(nothing.get(), slot_.get(), O_CLOEXEC);
  if (status != 0 || split.addr == nullptr || ::dwarf_tag(&split) != DW_TAG_compile_unit) {
    return std::nullopt;
  }
  return split;
}

std::unique_ptr<ElfFile> empty_debug_file() {
  const std::string empty(1, '\0');
  const NewSection strings{".debug_str", empty};
  auto file = ElfFile::from_memory(build_elf({&strings, 1}));
  return file ? std::move(*file) : nullptr;
}

}  // namespace leaktrace::symbolize
