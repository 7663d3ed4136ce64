// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include "user/tracer/engine.h"
#include "user/tracer/features.h"

namespace leaktrace::test {

/// A test that is run with each way of attaching, where the kernel has it.
class ProbeModeTest : public testing::TestWithParam<tracer::ProbeMode> {
 protected:
  void SetUp() override {
    static const bool kHasMulti = tracer::multi_probes_work();
    if (GetParam() == tracer::ProbeMode::multi && !kHasMulti) {
      GTEST_SKIP() << "feature uprobe_multi_pid: this kernel has no uprobe-multi links";
    }
  }
};

}  // namespace leaktrace::test
