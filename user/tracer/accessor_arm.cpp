// SPDX-License-Identifier: Apache-2.0
// The encodings are those of the Arm Architecture Reference Manual (DDI 0487), chapter C4. They
// are taken apart here: capstone shows aliases, each with other operands.
#include <cstring>
#include <utility>

#include "user/tracer/accessor_machine.h"

namespace leaktrace::tracer {
namespace {

using Bytes = std::span<const std::uint8_t>;
using Value = std::optional<LinearForm>;

constexpr unsigned kLink = 30;
constexpr unsigned kStackPointer = 31;  // or the register that is always 0: the place says which

/// The fields of an instruction.
struct Word {
  std::uint32_t bits;

  [[nodiscard]] std::uint32_t field(unsigned last, unsigned first) const {
    return bits >> first & ((1U << (last - first + 1)) - 1);
  }
  [[nodiscard]] std::int64_t signed_field(unsigned last, unsigned first) const {
    const unsigned unused = 63 - (last - first);
    return static_cast<std::int64_t>(std::uint64_t{field(last, first)} << unused) >> unused;
  }
  [[nodiscard]] bool is(std::uint32_t mask, std::uint32_t value) const {
    return (bits & mask) == value;
  }
  [[nodiscard]] bool bit(unsigned which) const { return (bits >> which & 1) != 0; }
  [[nodiscard]] unsigned rd() const { return field(4, 0); }
  [[nodiscard]] unsigned rn() const { return field(9, 5); }
  [[nodiscard]] unsigned ra() const { return field(14, 10); }
  [[nodiscard]] unsigned rm() const { return field(20, 16); }
  /// Of the registers that most instructions work on.
  [[nodiscard]] unsigned size() const { return bit(31) ? 8 : 4; }
};

bool is_hint(Word word) {
  return word.is(0xfffff01f, 0xd503201f);  // nop, bti, and signing of the return address
}
bool is_return(Word word) {
  return word.bits == 0xd65f03c0 || word.bits == 0xd65f0bff || word.bits == 0xd65f0fff;
}

/// One instruction of one path. What returns false has not been understood.
class ArmStep {
 public:
  ArmStep(Algebra& algebra, AccessorPath& path, std::vector<AccessorPath>& others, Word word,
          std::uint64_t address)
      : algebra_(algebra), path_(path), others_(others), word_(word), address_(address) {}

  bool run() {
    if (word_.is(0xfc000000, 0x14000000)) return jump(word_.signed_field(25, 0));
    if (word_.is(0xff000000, 0x54000000)) return branch(word_.signed_field(23, 5));
    if (word_.is(0x7e000000, 0x34000000)) return branch(word_.signed_field(23, 5));
    if (word_.is(0x7e000000, 0x36000000)) return branch(word_.signed_field(18, 5));
    path_.at += 4;
    return is_hint(word_) || compute();
  }

 private:
  bool jump(std::int64_t words) {
    path_.at += static_cast<std::uint64_t>(words) * 4;
    return true;
  }
  bool branch(std::int64_t words) {
    others_.push_back(path_);
    others_.back().at += 4;
    return jump(words);
  }

  bool compute() {
    if (word_.is(0x3f000000, 0x39000000)) return move_at_scaled_offset();
    if (word_.is(0x3f200000, 0x38000000)) return move_at_offset();
    if (word_.is(0x3f200c00, 0x38200800)) return move_at_index();
    if (word_.is(0x3e000000, 0x28000000)) return move_pair();
    if (word_.is(0x1f000000, 0x10000000)) return load_address();
    if (word_.is(0x1f800000, 0x11000000)) return add_constant();
    if (word_.is(0x1f200000, 0x0b000000)) return add_shifted();
    if (word_.is(0x1fe00000, 0x0b200000)) return add_extended();
    if (word_.is(0x1f000000, 0x0a000000)) return logical();
    if (word_.is(0x1f800000, 0x12000000)) return logical_constant();
    if (word_.is(0x1f800000, 0x12800000)) return move_constant();
    if (word_.is(0x1f800000, 0x13000000)) return move_bits();
    if (word_.is(0x7f000000, 0x1b000000)) return multiply();
    if (word_.is(0x3fe00000, 0x1a800000)) return select();
    return word_.is(0x3fe00000, 0x3a400000);  // ccmp, ccmn: flags are not kept
  }

  // ---- Registers ----

  [[nodiscard]] LinearForm value_of(unsigned reg, unsigned size) {
    if (reg == kStackPointer) return constant_form(0);
    return algebra_.low(path_.registers[reg], size);
  }
  [[nodiscard]] LinearForm value_or_stack(unsigned reg, unsigned size) {
    return algebra_.low(path_.registers[reg], size);
  }
  bool set(unsigned reg, const LinearForm& value, unsigned size) {
    return reg == kStackPointer || set_or_stack(reg, value, size);
  }
  bool set_or_stack(unsigned reg, const LinearForm& value, unsigned size) {
    path_.registers[reg] = algebra_.low(value, size);
    return true;
  }

  [[nodiscard]] LinearForm extended(const LinearForm& value, unsigned option) {
    const unsigned size = 1U << (option & 3);
    return (option & 4) != 0 ? algebra_.sign_extended(value, size) : algebra_.low(value, size);
  }

  // ---- Memory ----

  [[nodiscard]] LinearForm base() { return path_.registers[word_.rn()]; }

  static LinearForm moved(const LinearForm& value, std::int64_t distance) {
    return value + constant_form(static_cast<std::uint64_t>(distance));
  }

  // str, ldr and their kinds by size and sign, of the register in the lowest bits.
  bool move_register(const LinearForm& address) {
    const unsigned size = 1U << word_.field(31, 30);
    const unsigned kind = word_.field(23, 22);
    const unsigned reg = word_.rd();
    if (kind == 0) {
      return write_memory(algebra_, path_, address, size, value_of(reg, size));
    }
    if (kind >= 2 && size == 8) return false;  // a prefetch
    const Value value = read_memory(algebra_, path_, address, size);
    if (!value) return false;
    if (kind == 1) return set(reg, *value, 8);
    return set(reg, algebra_.sign_extended(*value, size), kind == 2 ? 8 : 4);
  }

  bool move_at_scaled_offset() {
    const auto offset = std::int64_t{word_.field(21, 10)} << word_.field(31, 30);
    return move_register(moved(base(), offset));
  }

  bool move_at_offset() {
    const LinearForm before = base();
    const LinearForm after = moved(before, word_.signed_field(20, 12));
    const unsigned mode = word_.field(11, 10);
    if (mode == 2) return false;
    if (mode != 0) path_.registers[word_.rn()] = after;
    return move_register(mode == 1 ? before : after);
  }

  bool move_at_index() {
    if (!word_.bit(14)) return false;
    const LinearForm index = extended(value_of(word_.rm(), 8), word_.field(15, 13));
    const unsigned shift = word_.bit(12) ? word_.field(31, 30) : 0;
    return move_register(base() + scaled(index, std::uint64_t{1} << shift));
  }

  // stp, ldp and ldpsw.
  bool move_pair() {
    const unsigned kind = word_.field(31, 30);
    const bool loads = word_.bit(22);
    if (kind == 3 || (kind == 1 && !loads)) return false;
    const unsigned size = kind == 2 ? 8 : 4;
    const LinearForm before = base();
    const LinearForm after = moved(before, word_.signed_field(21, 15) * size);
    const unsigned mode = word_.field(24, 23);
    if ((mode & 1) != 0) path_.registers[word_.rn()] = after;
    const LinearForm address = mode == 1 ? before : after;
    const LinearForm second = moved(address, size);
    if (!loads) {
      return write_memory(algebra_, path_, address, size, value_of(word_.rd(), size)) &&
             write_memory(algebra_, path_, second, size, value_of(word_.ra(), size));
    }
    return load_pair(address, second, size, kind == 1);
  }

  bool load_pair(const LinearForm& first, const LinearForm& second, unsigned size, bool is_signed) {
    const Value one = read_memory(algebra_, path_, first, size);
    const Value other = read_memory(algebra_, path_, second, size);
    if (!one || !other) return false;
    set(word_.rd(), is_signed ? algebra_.sign_extended(*one, size) : *one, 8);
    return set(word_.ra(), is_signed ? algebra_.sign_extended(*other, size) : *other, 8);
  }

  // ---- Arithmetic ----

  // adr, adrp
  bool load_address() {
    const std::int64_t distance = word_.signed_field(23, 5) * 4 + word_.field(30, 29);
    constexpr std::uint64_t kPage = 4096;
    const auto bytes = static_cast<std::uint64_t>(distance);
    const std::uint64_t address =
        word_.bit(31) ? (address_ & ~(kPage - 1)) + bytes * kPage : address_ + bytes;
    return set(word_.rd(), algebra_.atom(Atom::Kind::image) + constant_form(address), 8);
  }

  [[nodiscard]] LinearForm sum(const LinearForm& left, const LinearForm& right) const {
    return word_.bit(30) ? left - right : left + right;
  }

  // With the flags set, the register 31 is the one that is always 0; else the stack pointer.
  bool set_sum(const LinearForm& value) {
    return word_.bit(29) ? set(word_.rd(), value, word_.size())
                         : set_or_stack(word_.rd(), value, word_.size());
  }

  bool add_constant() {
    const std::uint64_t constant = std::uint64_t{word_.field(21, 10)} << (word_.bit(22) ? 12 : 0);
    return set_sum(sum(value_or_stack(word_.rn(), word_.size()), constant_form(constant)));
  }

  // The second operand, shifted. Right shifts are of no use here.
  [[nodiscard]] LinearForm shifted_operand() {
    const LinearForm value = value_of(word_.rm(), word_.size());
    const unsigned distance = word_.field(15, 10);
    if (distance == 0) return value;
    if (word_.field(23, 22) != 0) return algebra_.unknown();
    return scaled(value, std::uint64_t{1} << distance);
  }

  bool add_shifted() {
    return set(word_.rd(), sum(value_of(word_.rn(), word_.size()), shifted_operand()),
               word_.size());
  }

  bool add_extended() {
    const unsigned shift = word_.field(12, 10);
    if (shift > 4) return false;
    const LinearForm operand = extended(value_of(word_.rm(), 8), word_.field(15, 13));
    return set_sum(
        sum(value_or_stack(word_.rn(), word_.size()), scaled(operand, std::uint64_t{1} << shift)));
  }

  // orr of the register 31: mov, mvn.
  bool logical() {
    const bool moves = word_.field(30, 29) == 1 && word_.rn() == kStackPointer;
    if (!moves) return set(word_.rd(), algebra_.unknown(), word_.size());
    const LinearForm value = shifted_operand();
    return set(word_.rd(), word_.bit(21) ? constant_form(UINT64_MAX) - value : value, word_.size());
  }

  bool logical_constant() {
    if (word_.field(30, 29) == 3) return set(word_.rd(), algebra_.unknown(), word_.size());
    return set_or_stack(word_.rd(), algebra_.unknown(), word_.size());
  }

  // movn, movz, movk
  bool move_constant() {
    const unsigned shift = word_.field(22, 21) * 16;
    const std::uint64_t part = std::uint64_t{word_.field(20, 5)} << shift;
    switch (word_.field(30, 29)) {
      case 0:
        return set(word_.rd(), constant_form(~part), word_.size());
      case 2:
        return set(word_.rd(), constant_form(part), word_.size());
      case 3: {
        const auto before = constant_of(value_of(word_.rd(), 8));
        const std::uint64_t mask = std::uint64_t{0xffff} << shift;
        return set(word_.rd(),
                   before ? constant_form((*before & ~mask) | part) : algebra_.unknown(),
                   word_.size());
      }
      default:
        return false;
    }
  }

  // sxtw, uxtb and their kind, and the same shifted to the left; lsl.
  bool move_bits() {
    const unsigned bits = word_.size() * 8;
    const unsigned rotate = word_.field(21, 16);
    const unsigned last = word_.field(15, 10);
    const unsigned kind = word_.field(30, 29);
    if (kind == 3 || rotate >= bits || last >= bits) return false;
    const bool to_left = rotate == 0 || last < rotate;
    const unsigned shift = (bits - rotate) % bits;
    const LinearForm value = value_of(word_.rn(), word_.size());
    const bool is_shift = kind == 2 && last + 1 + shift == bits;
    const unsigned size = (last + 1) / 8;
    const bool is_whole = last == 7 || last == 15 || last == 31;
    if (kind == 1 || !to_left || (!is_shift && !is_whole)) {
      return set(word_.rd(), algebra_.unknown(), word_.size());
    }
    LinearForm part = value;
    if (!is_shift)
      part = kind == 0 ? algebra_.sign_extended(value, size) : algebra_.low(value, size);
    return set(word_.rd(), scaled(part, std::uint64_t{1} << shift), word_.size());
  }

  // madd, smaddl, umaddl and those that subtract.
  bool multiply() {
    const unsigned kind = word_.field(23, 21);
    const bool is_long = kind == 1 || kind == 5;
    if (!is_long && kind != 0) return false;
    LinearForm left = value_of(word_.rn(), word_.size());
    LinearForm right = value_of(word_.rm(), word_.size());
    if (is_long) {
      left = extended(left, kind == 1 ? 6 : 2);
      right = extended(right, kind == 1 ? 6 : 2);
    }
    const LinearForm addend = value_of(word_.ra(), word_.size());
    const LinearForm factor = product(left, right);
    return set(word_.rd(), word_.bit(15) ? addend - factor : addend + factor, word_.size());
  }

  [[nodiscard]] LinearForm product(const LinearForm& left, const LinearForm& right) {
    if (const auto factor = constant_of(right)) return scaled(left, *factor);
    if (const auto factor = constant_of(left)) return scaled(right, *factor);
    return algebra_.unknown();
  }

  // csel, csinc, csinv, csneg: both values, one on a path of its own.
  bool select() {
    const unsigned kind = word_.field(11, 10);
    if (kind > 1) return false;
    const LinearForm first = value_of(word_.rn(), word_.size());
    LinearForm second = value_of(word_.rm(), word_.size());
    if (word_.bit(30)) second = constant_form(kind == 0 ? UINT64_MAX : 0) - second;
    if (!word_.bit(30) && kind == 1) second = moved(second, 1);
    others_.push_back(path_);
    set(word_.rd(), second, word_.size());
    std::swap(others_.back(), path_);
    return set(word_.rd(), first, word_.size());
  }

  Algebra& algebra_;
  AccessorPath& path_;
  std::vector<AccessorPath>& others_;
  Word word_;
  std::uint64_t address_;  ///< of the instruction
};

class ArmAccessor final : public AccessorMachine {
 public:
  ArmAccessor(Bytes code, std::uint64_t address) : code_(code), address_(address) {}

  void enter(Algebra& algebra, AccessorPath& path) override {
    for (LinearForm& value : path.registers) value = algebra.unknown();
    link_ = path.registers[kLink];
    path.registers[0] = algebra.atom(Atom::Kind::argument);
    path.registers[kStackPointer] = algebra.atom(Atom::Kind::frame);
  }

  StepOutcome step(Algebra& algebra, AccessorPath& path,
                   std::vector<AccessorPath>& others) override {
    if (path.at >= code_.size() || code_.size() - path.at < 4) return StepOutcome::lost;
    Word word{};
    std::memcpy(&word.bits, code_.data() + path.at, sizeof(word.bits));
    if (is_return(word)) return returns(algebra, path) ? StepOutcome::returned : StepOutcome::lost;
    ArmStep step(algebra, path, others, word, address_ + path.at);
    return step.run() ? StepOutcome::goes_on : StepOutcome::lost;
  }

 private:
  [[nodiscard]] bool returns(Algebra& algebra, const AccessorPath& path) const {
    return path.registers[kLink] == link_ && algebra.in_frame(path.registers[kStackPointer]) == 0;
  }

  Bytes code_;
  std::uint64_t address_;
  LinearForm link_;
};

}  // namespace

std::unique_ptr<AccessorMachine> arm_accessor_machine(std::span<const std::uint8_t> code,
                                                      std::uint64_t address) {
  return std::make_unique<ArmAccessor>(code, address);
}

}  // namespace leaktrace::tracer
