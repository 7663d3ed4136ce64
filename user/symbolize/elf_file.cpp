// SPDX-License-Identifier: Apache-2.0
#include "user/symbolize/elf_file.h"

#include <elfutils/libdwelf.h>
#include <fmt/core.h>
#include <gelf.h>
#include <sys/stat.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "user/base/file.h"

namespace leaktrace::symbolize {

Result<std::unique_ptr<ElfFile>> ElfFile::open(UniqueFd fd) {
  ::elf_version(EV_CURRENT);
  std::unique_ptr<ElfFile> file(new ElfFile);
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return fail(describe_errno("cannot look at the file", errno));
  file->size_ = info.st_size;
  file->modified_ = info.st_mtim;
  file->fd_ = std::move(fd);
  auto mapped = MappedFile::map(file->fd_.get());
  if (!mapped) return mapped.unexpected();
  file->mapped_ = std::move(*mapped);
  // Not by elf_begin(): what it maps could be cut before anyone knows where it lies.
  if (!file->make_headers_writable()) return fail(describe_errno("cannot map the file", errno));
  file->elf_.reset(::elf_memory(file->mapped_.data(), file->mapped_.bytes().size()));
  return check(std::move(file));
}

// libelf takes a file in memory for its own, and notes in the section headers what it has unpacked
// (elf_compress). Their number is elsewhere where it is too large for the file's header: then all
// that follows may be headers.
bool ElfFile::make_headers_writable() const {
  const std::string_view bytes = mapped_.bytes();
  const auto protect = [&](const auto& header, std::uint64_t entry_size) {
    const std::uint64_t count = header.e_shnum == 0 ? bytes.size() / entry_size : header.e_shnum;
    return mapped_.make_writable(header.e_shoff, count * entry_size);
  };
  if (bytes.size() < sizeof(Elf64_Ehdr)) return true;  // no ELF file
  Elf64_Ehdr header;
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (header.e_ident[EI_CLASS] == ELFCLASS64) return protect(header, sizeof(Elf64_Shdr));
  Elf32_Ehdr header32;
  std::memcpy(&header32, bytes.data(), sizeof(header32));
  return protect(header32, sizeof(Elf32_Shdr));
}

Result<std::unique_ptr<ElfFile>> ElfFile::from_memory(std::vector<char> bytes) {
  ::elf_version(EV_CURRENT);
  std::unique_ptr<ElfFile> file(new ElfFile);
  file->bytes_ = std::move(bytes);
  file->elf_.reset(::elf_memory(file->bytes_.data(), file->bytes_.size()));
  return check(std::move(file));
}

Result<std::unique_ptr<ElfFile>> ElfFile::check(std::unique_ptr<ElfFile> file) {
  if (!file->elf_) return fail(fmt::format("cannot read as ELF: {}", ::elf_errmsg(-1)));
  if (::elf_kind(file->elf()) != ELF_K_ELF) return fail("not an ELF file");
  file->read_code_sections();
  return file;
}

void ElfFile::read_code_sections() {
  for (Elf_Scn* scn = nullptr; (scn = ::elf_nextscn(elf(), scn)) != nullptr;) {
    GElf_Shdr header;
    if (::gelf_getshdr(scn, &header) == nullptr) continue;
    bool code = (header.sh_flags & SHF_EXECINSTR) != 0 && (header.sh_flags & SHF_ALLOC) != 0;
    if (!code || header.sh_size == 0 || header.sh_size > UINT64_MAX - header.sh_addr) continue;
    code_.push_back({header.sh_addr, header.sh_addr + header.sh_size});
  }
  std::sort(code_.begin(), code_.end(),
            [](const AddressRange& a, const AddressRange& b) { return a.begin < b.begin; });
}

std::string ElfFile::build_id() const {
  const void* bytes = nullptr;
  ssize_t size = ::dwelf_elf_gnu_build_id(elf(), &bytes);
  std::string hex;
  for (ssize_t i = 0; i < size; ++i) {
    hex += fmt::format("{:02x}", static_cast<const unsigned char*>(bytes)[i]);
  }
  return hex;
}

std::optional<DebugLink> ElfFile::debug_link() const {
  GElf_Word crc = 0;
  const char* name = ::dwelf_elf_gnu_debuglink(elf(), &crc);
  if (name == nullptr) return std::nullopt;
  return DebugLink{name, crc};
}

Elf_Scn* ElfFile::find_section(std::string_view name) const {
  std::size_t strings = 0;
  if (::elf_getshdrstrndx(elf(), &strings) != 0) return nullptr;
  for (Elf_Scn* scn = nullptr; (scn = ::elf_nextscn(elf(), scn)) != nullptr;) {
    GElf_Shdr header;
    if (::gelf_getshdr(scn, &header) == nullptr || header.sh_type == SHT_NOBITS) continue;
    const char* its_name = ::elf_strptr(elf(), strings, header.sh_name);
    if (its_name != nullptr && its_name == name) return scn;
  }
  return nullptr;
}

std::optional<std::string_view> ElfFile::section(std::string_view name) const {
  Elf_Scn* scn = find_section(name);
  const Elf_Data* data = scn == nullptr ? nullptr : ::elf_rawdata(scn, nullptr);
  if (data == nullptr || data->d_buf == nullptr) return std::nullopt;
  return std::string_view(static_cast<const char*>(data->d_buf), data->d_size);
}

std::optional<std::string_view> ElfFile::unpacked_section(std::string_view name) const {
  Elf_Scn* scn = find_section(name);
  GElf_Shdr header;
  if (scn == nullptr || ::gelf_getshdr(scn, &header) == nullptr) return std::nullopt;
  if ((header.sh_flags & SHF_COMPRESSED) != 0) {
    if (unpacked_size() > kMostUnpacked || ::elf_compress(scn, 0, 0) < 0) return std::nullopt;
  }
  return section(name);
}

bool ElfFile::is_native() const {
  const char* identity = ::elf_getident(elf(), nullptr);
  const bool little = std::endian::native == std::endian::little;
  return identity != nullptr && identity[EI_CLASS] == ELFCLASS64 &&
         identity[EI_DATA] == (little ? ELFDATA2LSB : ELFDATA2MSB);
}

bool ElfFile::same_machine(const ElfFile& other) const {
  GElf_Ehdr mine;
  GElf_Ehdr theirs;
  return ::gelf_getehdr(elf(), &mine) != nullptr &&
         ::gelf_getehdr(other.elf(), &theirs) != nullptr && mine.e_machine == theirs.e_machine &&
         mine.e_ident[EI_CLASS] == theirs.e_ident[EI_CLASS] &&
         mine.e_ident[EI_DATA] == theirs.e_ident[EI_DATA];
}

std::uint64_t ElfFile::unpacked_size() const {
  std::uint64_t total = 0;
  for (Elf_Scn* scn = nullptr; (scn = ::elf_nextscn(elf(), scn)) != nullptr;) {
    GElf_Chdr header;
    GElf_Shdr section_header;
    if (::gelf_getshdr(scn, &section_header) == nullptr) continue;
    if ((section_header.sh_flags & SHF_COMPRESSED) == 0) continue;
    if (::gelf_getchdr(scn, &header) == nullptr) continue;
    total += std::min<std::uint64_t>(header.ch_size, UINT64_MAX - total);
  }
  return total;
}

bool ElfFile::sections_readable() const {
  GElf_Ehdr header;
  if (::gelf_getehdr(elf(), &header) == nullptr) return false;
  std::size_t count = 0;
  if (::elf_getshdrnum(elf(), &count) != 0) return false;
  if (header.e_shoff == 0) return true;  // it has none, which may be
  return count > 0 && ::elf_nextscn(elf(), nullptr) != nullptr;
}

AddressRange ElfFile::in_code(AddressRange range) const {
  auto after = std::upper_bound(
      code_.begin(), code_.end(), range.begin,
      [](std::uint64_t value, const AddressRange& section) { return value < section.begin; });
  if (after == code_.begin()) return {};
  const AddressRange& section = *std::prev(after);
  if (range.begin >= section.end) return {};
  return {range.begin, std::min(range.end, section.end)};
}

bool ElfFile::unchanged() const {
  if (!fd_) return true;
  if (mapped_.cut()) return false;
  struct stat info {};
  return ::fstat(fd_.get(), &info) == 0 && info.st_size == size_ &&
         info.st_mtim.tv_sec == modified_.tv_sec && info.st_mtim.tv_nsec == modified_.tv_nsec;
}

}  // namespace leaktrace::symbolize
