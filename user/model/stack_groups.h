// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "user/model/record.h"

namespace leaktrace::model {

/// Stacks that read the same although their ids differ, because the id is taken of addresses: what
/// a library that was closed and opened again, or a function that was compiled anew, makes of one
/// call site. The id that came first stands for them all.
class StackGroups {
 public:
  /// Enters a stack and returns the id that stands for its group: that of the group's first stack,
  /// or one of its own when a group that is left by that stack has it still. `known`: the stacks of
  /// the groups. One without frames reads like no other.
  StackId join(const Stack& stack, const std::unordered_map<StackId, Stack>& known);

  /// The id that stands for `id`: itself, when it was never entered.
  [[nodiscard]] StackId of(StackId id) const;

  /// An id is gone. True when it was the last of its group, whose stack can go too.
  bool leave(StackId id);

  /// An image is gone with all its stacks.
  void forget(ImageId image);

 private:
  struct Member {
    StackId group;
    ImageId image;
  };

  std::unordered_map<StackId, Member> members_;
  std::unordered_map<StackId, std::size_t> sizes_;                   ///< by group
  std::unordered_map<std::uint64_t, std::vector<StackId>> by_hash_;  ///< groups, by their frames
  std::unordered_map<StackId, std::uint64_t> hashes_;                ///< by group

  std::uint64_t last_name_ = 0;  ///< of groups that are named by no stack

  [[nodiscard]] StackId new_group(StackId first);
  void drop(StackId group);
};

}  // namespace leaktrace::model
