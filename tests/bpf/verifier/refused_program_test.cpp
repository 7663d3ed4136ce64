// SPDX-License-Identifier: Apache-2.0
// What is said when the kernel does not accept one of the engine's programs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>
#include "user/tracer/engine.h"

namespace leaktrace::test {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(RefusedProgram, IsNamedWithTheReasonInOneLine) {
  const auto engine = tracer::Engine::load({}, {}, tracer::ProbeMode::single);
  ASSERT_FALSE(engine);
  const auto& said = engine.error().what;
  EXPECT_THAT(said, HasSubstr("refused the BPF program refused_by_design: "));
  EXPECT_THAT(said, HasSubstr("invalid mem access 'map_value_or_null'"));
  EXPECT_THAT(engine.error().message(), Not(HasSubstr("\n")));
  EXPECT_THAT(engine.error().message(), Not(HasSubstr("run as root")));
}

TEST(RefusedProgram, OfAUserWithoutPrivilegesTheyAreWhatIsMissing) {
  EXPECT_EXIT(
      {
        if (::setresuid(65534, 65534, 65534) != 0) ::_exit(2);
        const auto engine = tracer::Engine::load({}, {}, tracer::ProbeMode::single);
        const bool said = !engine && engine.error().message().find(
                                         "CAP_BPF and CAP_PERFMON missing") != std::string::npos;
        if (!said && !engine) fprintf(stderr, "%s\n", engine.error().message().c_str());
        ::_exit(said ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace leaktrace::test
