// SPDX-License-Identifier: Apache-2.0
#include "user/symbolize/dwarf_unit.h"

#include <dwarf.h>

#include <utility>

#include "user/symbolize/file_losses.h"

namespace leaktrace::symbolize {
namespace {

// No walk visits more DIEs than the unit has bytes, unless damaged links lead it in circles.
std::uint64_t size_of(Dwarf_Die& unit) {
  const Dwarf_Off begin = ::dwarf_dieoffset(&unit) - ::dwarf_cuoffset(&unit);
  Dwarf_Off end = begin;
  std::size_t header = 0;
  if (::dwarf_nextcu(::dwarf_cu_getdwarf(unit.cu), begin, &end, &header, nullptr, nullptr,
                     nullptr) != 0) {
    return 0;
  }
  return end - begin;
}

bool is_type(int tag) {
  return tag == DW_TAG_class_type || tag == DW_TAG_structure_type || tag == DW_TAG_union_type ||
         tag == DW_TAG_interface_type || tag == DW_TAG_enumeration_type;
}

// DIEs that hold functions or inlined calls without being one.
bool is_container(int tag) {
  return tag == DW_TAG_namespace || tag == DW_TAG_module || tag == DW_TAG_lexical_block ||
         tag == DW_TAG_try_block || tag == DW_TAG_catch_block || tag == DW_TAG_with_stmt ||
         tag == DW_TAG_common_block;
}

}  // namespace

DwarfFrames DwarfUnit::look_up(std::uint64_t address) {
  DwarfFrames result;
  model::SourceFrame frame;
  set_line(frame, address);
  std::uint32_t current = find(address);
  if (current == kNoFunction && !frame.file.empty()) result.frames.push_back(frame);
  while (current != kNoFunction) {
    Function& function = functions_[current];
    frame.function = name(current).text;
    frame.inlined = function.inlined && function.parent != kNoFunction;
    result.frames.push_back(std::exchange(frame, {}));
    if (!function.inlined) {
      if (!name(current).mangled) result.plain_name_at = entry_of(function.die);
      break;
    }
    set_call(frame, function.die);
    current = function.parent;
  }
  return result;
}

const std::vector<AddressRange>& DwarfUnit::function_ranges() {
  if (depth_ == Depth::none) index(Depth::functions);
  return ranges_;
}

std::uint32_t DwarfUnit::find(std::uint64_t address) {
  if (depth_ == Depth::none) index(Depth::functions);
  auto found = map_.find(address);
  if (!found && depth_ == Depth::functions) {
    index(Depth::everything);
    found = map_.find(address);
  }
  return found.value_or(kNoFunction);
}

void DwarfUnit::index(Depth depth) {
  depth_ = depth;
  functions_.clear();
  ranges_.clear();
  names_.clear();
  map_ = {};
  if (!std::exchange(split_looked_for_, true)) {
    if (auto split = context_.split.find(lines_)) tree_ = *split;
  }
  std::uint64_t budget = size_of(tree_);
  bool whole = true;
  std::vector<Pending> pending = {{tree_, kNoFunction, 0}};
  while (!pending.empty()) {
    Pending next = pending.back();
    pending.pop_back();
    whole = walk_children(next, pending, budget) && whole;
  }
  if (!whole) damaged("units whose functions cannot be read");
  map_.seal();
}

// False when the tree ends in damage.
bool DwarfUnit::walk_children(Pending parent, std::vector<Pending>& pending,
                              std::uint64_t& budget) {
  Dwarf_Die die;
  int status = ::dwarf_child(&parent.die, &die);
  for (; status == 0; status = ::dwarf_siblingof(&die, &die)) {
    if (budget == 0) return false;
    --budget;
    visit(die, parent, pending);
  }
  return status > 0;
}

void DwarfUnit::damaged(const char* why) {
  context_.losses.add(context_.path, why, 1);
}

void DwarfUnit::visit(Dwarf_Die& die, const Pending& parent, std::vector<Pending>& pending) {
  const int tag = ::dwarf_tag(&die);
  const bool everything = depth_ == Depth::everything;
  if (tag == DW_TAG_subprogram || tag == DW_TAG_inlined_subroutine || tag == DW_TAG_entry_point) {
    Pending function = add_function(die, parent, tag == DW_TAG_inlined_subroutine);
    const bool has_code = function.function != parent.function;
    if (has_code || everything) pending.push_back(function);
  } else if (is_container(tag) || (everything && is_type(tag))) {
    pending.push_back({die, parent.function, parent.depth});
  }
}

DwarfUnit::Pending DwarfUnit::add_function(Dwarf_Die& die, const Pending& parent, bool inlined) {
  const auto ranges = code_ranges(die, context_.file);
  if (ranges.empty()) return {die, parent.function, parent.depth};
  const auto number = static_cast<std::uint32_t>(functions_.size());
  const std::uint32_t depth = parent.depth + 1;
  for (const AddressRange& range : ranges) map_.add(range, number, depth);
  if (!inlined) ranges_.insert(ranges_.end(), ranges.begin(), ranges.end());
  functions_.push_back({die, inlined ? parent.function : kNoFunction, inlined});
  return {die, number, depth};
}

// Of a function in several parts the hot one, where it is entered, comes first.
std::uint64_t DwarfUnit::entry_of(Dwarf_Die& function) {
  Dwarf_Addr entry = 0;
  if (::dwarf_entrypc(&function, &entry) == 0) return entry;
  return code_ranges(function, context_.file)
      .front()
      .begin;  // without any it would not have been indexed
}

const FunctionName& DwarfUnit::name(std::uint32_t function) {
  auto [entry, added] = names_.try_emplace(function);
  if (added) {
    entry->second = function_name(functions_[function].die, context_.scopes);
    if (entry->second.endless) damaged("functions whose origin leads in circles");
  }
  return entry->second;
}

void DwarfUnit::set_line(model::SourceFrame& frame, std::uint64_t address) {
  if (!std::exchange(lines_read_, true)) {
    Dwarf_Lines* table = nullptr;
    std::size_t count = 0;
    const bool claims = ::dwarf_hasattr(&lines_, DW_AT_stmt_list) != 0;
    if (claims && ::dwarf_getsrclines(&lines_, &table, &count) != 0) {
      damaged("units whose lines cannot be read");
    }
  }
  Dwarf_Line* record = ::dwarf_getsrc_die(&lines_, address);
  if (record == nullptr) return;
  const char* file = ::dwarf_linesrc(record, nullptr, nullptr);
  int line = 0;
  if (file == nullptr || ::dwarf_lineno(record, &line) != 0) return;
  frame.file = full_path(lines_, file);
  frame.line = line > 0 ? static_cast<std::uint32_t>(line) : 0;
}

void DwarfUnit::set_call(model::SourceFrame& frame, Dwarf_Die& call) {
  auto file = number(call, DW_AT_call_file);
  Dwarf_Files* files = nullptr;
  std::size_t count = 0;
  if (!file) return;
  // A split unit without a table of its own uses its skeleton's.
  if (::dwarf_getsrcfiles(&tree_, &files, &count) != 0 &&
      ::dwarf_getsrcfiles(&lines_, &files, &count) != 0) {
    return;
  }
  if (*file >= count) return;
  const char* path = ::dwarf_filesrc(files, *file, nullptr, nullptr);
  if (path == nullptr) return;
  frame.file = full_path(lines_, path);
  frame.line = static_cast<std::uint32_t>(number(call, DW_AT_call_line).value_or(0));
}

}  // namespace leaktrace::symbolize
