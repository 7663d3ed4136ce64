// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "user/model/record.h"

namespace leaktrace::collect {

/// A frame of a native stack.
struct NativeFrame {
  model::RawFrame frame;
  bool evaluates = false;  ///< the interpreter's function that runs script code
};

/// A frame of an interpreter's own stack.
struct ScriptFrame {
  model::RawFrame frame;
  bool entered = false;  ///< native code called the interpreter here: the outermost of its run
};

/// One stack of both, innermost first. Each native frame that evaluates ran the script frames up to
/// the next that was entered; these are put before it:
///
///     native:  memcpy  dict_set  [evaluate]  call  [evaluate]  main
///     script:  f  g(entered)                  h(entered)
///     joined:  memcpy  dict_set  f  g  [evaluate]  call  h  [evaluate]  main
///
/// `complete`: neither stack was cut, so where their numbers differ (a part of the function that
/// the compiler moved away is not recognized) the outermost ones belong together; else the
/// innermost.
[[nodiscard]] std::vector<model::RawFrame> join_frames(const std::vector<NativeFrame>& native,
                                                       const std::vector<ScriptFrame>& script,
                                                       bool complete);

}  // namespace leaktrace::collect
