// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "user/tracer/engine.h"
#include "user/tracer/features.h"

namespace leaktrace::test {

/// A test that is run with each way of attaching, where the kernel has it.
class ProbeModeTest : public testing::TestWithParam<tracer::ProbeMode> {
 protected:
  void SetUp() override {
    static const bool kHasMulti = tracer::multi_probes_work();
    static const bool kHasSessions = tracer::sessions_work();
    if (GetParam() == tracer::ProbeMode::multi && !kHasMulti) {
      GTEST_SKIP() << "feature uprobe_multi_pid: this kernel has no uprobe-multi links";
    }
    if (GetParam() == tracer::ProbeMode::session && !kHasSessions) {
      GTEST_SKIP() << "feature uprobe_session: this kernel has no uprobe sessions";
    }
  }
};

/// All ways, for INSTANTIATE_TEST_SUITE_P, and what a test with one is called.
inline auto every_probe_mode() {
  return testing::Values(tracer::ProbeMode::single, tracer::ProbeMode::multi,
                         tracer::ProbeMode::session);
}
inline std::string probe_mode_name(const testing::TestParamInfo<tracer::ProbeMode>& mode) {
  if (mode.param == tracer::ProbeMode::session) return "session";
  return mode.param == tracer::ProbeMode::multi ? "multi" : "single";
}

}  // namespace leaktrace::test
