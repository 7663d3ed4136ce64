// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/accessor.h"

#include <algorithm>
#include <utility>

#include "user/tracer/accessor_machine.h"
#include "user/tracer/file_bytes.h"

namespace leaktrace::tracer {
namespace {

/// Accessors are short. What takes longer is none, or is damaged.
constexpr std::size_t kMostStepsOfPath = 256;
constexpr std::size_t kMostSteps = 4096;
constexpr std::uint64_t kMostCode = 1024;
constexpr std::uint64_t kCodeOfUnknownSize = 512;

constexpr unsigned kRegisterBytes = 8;

std::uint64_t low_mask(unsigned size) {
  return size >= kRegisterBytes ? UINT64_MAX : (std::uint64_t{1} << size * 8) - 1;
}

std::uint64_t sign_filled(std::uint64_t value, unsigned size) {
  if (size >= kRegisterBytes) return value;
  const unsigned shift = 64 - size * 8;
  return static_cast<std::uint64_t>(static_cast<std::int64_t>(value << shift) >> shift);
}

void add_value(std::vector<LinearForm>& values, const LinearForm& value) {
  if (std::ranges::find(values, value) == values.end()) values.push_back(value);
}

/// Follows all paths; false when one was given up.
bool explore(AccessorMachine& machine, Algebra& algebra, std::vector<LinearForm>& returned) {
  std::vector<AccessorPath> waiting(1);
  machine.enter(algebra, waiting.front());
  bool whole = true;
  std::size_t steps = 0;
  while (!waiting.empty()) {
    AccessorPath path = std::move(waiting.back());
    waiting.pop_back();
    StepOutcome outcome = StepOutcome::goes_on;
    while (outcome == StepOutcome::goes_on) {
      if (++steps > kMostSteps) return false;
      outcome = ++path.steps > kMostStepsOfPath ? StepOutcome::lost
                                                : machine.step(algebra, path, waiting);
    }
    if (outcome == StepOutcome::returned) add_value(returned, path.registers[kResultRegister]);
    whole &= outcome == StepOutcome::returned;
  }
  return whole;
}

}  // namespace

LinearForm operator+(const LinearForm& left, const LinearForm& right) {
  LinearForm sum = constant_form(left.constant + right.constant);
  auto one = left.terms.begin();
  auto other = right.terms.begin();
  while (one != left.terms.end() || other != right.terms.end()) {
    if (other == right.terms.end() || (one != left.terms.end() && one->atom < other->atom)) {
      sum.terms.push_back(*one++);
    } else if (one == left.terms.end() || other->atom < one->atom) {
      sum.terms.push_back(*other++);
    } else {
      const std::uint64_t coefficient = one->coefficient + other->coefficient;
      if (coefficient != 0) sum.terms.push_back({one->atom, coefficient});
      ++one;
      ++other;
    }
  }
  return sum;
}

LinearForm scaled(const LinearForm& value, std::uint64_t factor) {
  LinearForm product = constant_form(value.constant * factor);
  for (const LinearForm::Term& term : value.terms) {
    if (term.coefficient * factor == 0) continue;
    product.terms.push_back({term.atom, term.coefficient * factor});
  }
  return product;
}

std::optional<std::uint64_t> constant_of(const LinearForm& value) {
  if (!value.terms.empty()) return std::nullopt;
  return value.constant;
}

LinearForm Algebra::form_of(const Atom& atom) {
  auto found = std::ranges::find(atoms_, atom);
  const auto index = static_cast<std::uint32_t>(found - atoms_.begin());
  if (found == atoms_.end()) atoms_.push_back(atom);
  return {.constant = 0, .terms = {{index, 1}}};
}

LinearForm Algebra::unknown() {
  atoms_.push_back({.kind = Atom::Kind::unknown, .address = {}});
  return {.constant = 0, .terms = {{static_cast<std::uint32_t>(atoms_.size() - 1), 1}}};
}

LinearForm Algebra::load(const LinearForm& address, unsigned size, bool is_signed) {
  return form_of({.kind = Atom::Kind::load,
                  .size = size,
                  .is_signed = is_signed && size < kRegisterBytes,
                  .address = address});
}

const Atom* Algebra::only_atom(const LinearForm& value) const {
  if (value.constant != 0 || value.terms.size() != 1) return nullptr;
  return value.terms[0].coefficient == 1 ? &atoms_[value.terms[0].atom] : nullptr;
}

LinearForm Algebra::low(const LinearForm& value, unsigned size) {
  if (size >= kRegisterBytes) return value;
  const std::uint64_t mask = low_mask(size);
  LinearForm result = constant_form(value.constant & mask);
  for (const LinearForm::Term& term : value.terms) {
    if ((term.coefficient & mask) != 0) result.terms.push_back(term);
  }
  if (result.terms.empty()) return result;
  const Atom* atom = only_atom(result);
  if (atom == nullptr || atom->kind != Atom::Kind::load) return unknown();
  // Both machines have the low bytes first.
  if (size <= atom->size) return load(LinearForm(atom->address), size);
  return atom->is_signed ? unknown() : result;
}

LinearForm Algebra::sign_extended(const LinearForm& value, unsigned size) {
  if (size >= kRegisterBytes) return value;
  const LinearForm part = low(value, size);
  if (part.terms.empty()) return constant_form(sign_filled(part.constant, size));
  const Atom* atom = only_atom(part);
  if (atom == nullptr || atom->kind != Atom::Kind::load) return unknown();
  return atom->size == size ? load(LinearForm(atom->address), size, true) : part;
}

LinearForm Algebra::with_low(const LinearForm& old, const LinearForm& value, unsigned size) {
  if (size >= kRegisterBytes) return value;
  const auto low_bytes = constant_of(value);
  if (!low_bytes) return unknown();
  const std::uint64_t mask = low_mask(size);
  if (const auto before = constant_of(old)) {
    return constant_form((*before & ~mask) | (*low_bytes & mask));
  }
  return constant_form(*low_bytes & mask) + scaled(unknown(), mask + 1);
}

std::optional<std::int64_t> Algebra::in_frame(const LinearForm& value) {
  const LinearForm distance = value - atom(Atom::Kind::frame);
  const auto constant = constant_of(distance);
  if (!constant) return std::nullopt;
  return static_cast<std::int64_t>(*constant);
}

bool Algebra::mentions_frame(const LinearForm& value) const {
  return std::ranges::any_of(value.terms, [&](const LinearForm::Term& term) {
    return atoms_[term.atom].kind == Atom::Kind::frame;
  });
}

namespace {

/// A frame that is larger is none of an accessor; it also keeps the sums below in range.
constexpr std::int64_t kMostFrame = 1 << 16;

bool in_own_frame(std::int64_t offset, unsigned size) {
  return offset >= -kMostFrame && offset <= -static_cast<std::int64_t>(size);
}

}  // namespace

std::optional<LinearForm> read_memory(Algebra& algebra, const AccessorPath& path,
                                      const LinearForm& address, unsigned size) {
  const auto offset = algebra.in_frame(address);
  if (!offset) {
    if (algebra.mentions_frame(address)) return std::nullopt;
    return algebra.load(address, size);
  }
  for (const AccessorPath::Slot& slot : path.frame) {
    if (slot.offset == *offset && slot.size == size) return slot.value;
  }
  return std::nullopt;
}

bool write_memory(Algebra& algebra, AccessorPath& path, const LinearForm& address, unsigned size,
                  const LinearForm& value) {
  const auto offset = algebra.in_frame(address);
  if (!offset || !in_own_frame(*offset, size)) return false;
  std::erase_if(path.frame, [&](const AccessorPath::Slot& slot) {
    return slot.offset < *offset + size && *offset < slot.offset + slot.size;
  });
  path.frame.push_back({*offset, size, value});
  return true;
}

const Atom* AccessorValues::atom_of(const LinearForm& value) const {
  if (value.constant != 0 || value.terms.size() != 1) return nullptr;
  return value.terms[0].coefficient == 1 ? &atoms[value.terms[0].atom] : nullptr;
}

std::optional<std::uint64_t> AccessorValues::beyond(const LinearForm& value,
                                                    Atom::Kind kind) const {
  if (value.terms.size() != 1 || value.terms[0].coefficient != 1) return std::nullopt;
  if (atoms[value.terms[0].atom].kind != kind) return std::nullopt;
  return value.constant;
}

AccessorValues evaluate_accessor(Machine machine, std::span<const std::uint8_t> code,
                                 std::uint64_t address) {
  AccessorValues values;
  const auto evaluator = machine == Machine::arm64 ? arm_accessor_machine(code, address)
                                                   : x86_accessor_machine(code, address);
  if (!evaluator) return values;
  Algebra algebra;
  values.whole = explore(*evaluator, algebra, values.returned);
  values.atoms = algebra.atoms();
  return values;
}

AccessorValues evaluate_accessor(int fd, const ElfImage& image, const FunctionSymbol& function) {
  const auto machine = machine_of(image.machine);
  const auto address = image.address_of(function.file_offset);
  if (!machine || !address) return {};
  const std::uint64_t size = function.size == 0 ? kCodeOfUnknownSize : function.size;
  const auto code = read_bytes(fd, function.file_offset, std::min(size, kMostCode));
  return evaluate_accessor(*machine, code, *address);
}

}  // namespace leaktrace::tracer
