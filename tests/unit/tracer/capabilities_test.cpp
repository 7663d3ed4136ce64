// SPDX-License-Identifier: Apache-2.0
#include "user/tracer/capabilities.h"

#include <gmock/gmock.h>

namespace leaktrace::tracer {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::uint64_t bit(int number) {
  return std::uint64_t{1} << number;
}
constexpr int kSysPtrace = 19;
constexpr int kSysAdmin = 21;
constexpr int kPerfmon = 38;
constexpr int kBpf = 39;
constexpr int kCheckpointRestore = 40;

std::vector<std::string_view> names_of(const std::vector<CapabilityNeed>& needs) {
  std::vector<std::string_view> names;
  for (const auto& need : needs) names.push_back(need.name);
  return names;
}

TEST(ParseEffectiveCapabilities, ReadsTheEffectiveSetAndNoOther) {
  const auto set = parse_effective_capabilities(
      "Name:\tleaktrace\nCapInh:\t0000000000000001\nCapPrm:\t000001ffffffffff\n"
      "CapEff:\t000000c000080000\nCapBnd:\t000001ffffffffff\n");
  ASSERT_TRUE(set);
  EXPECT_THAT(set->names(), ElementsAre("CAP_SYS_PTRACE", "CAP_PERFMON", "CAP_BPF"));
}

TEST(ParseEffectiveCapabilities, ReadsALastLineWithoutNewline) {
  const auto set = parse_effective_capabilities("CapEff:\t0000000000000000");
  ASSERT_TRUE(set);
  EXPECT_THAT(set->names(), IsEmpty());
}

TEST(ParseEffectiveCapabilities, RefusesWhatHasNoEffectiveSet) {
  EXPECT_FALSE(parse_effective_capabilities(""));
  EXPECT_FALSE(parse_effective_capabilities("CapEffective:\t1\n"));
  EXPECT_FALSE(parse_effective_capabilities("Name:\tCapEff:\t1\n"));
}

TEST(ParseEffectiveCapabilities, RefusesAnUnreadableNumber) {
  for (const auto* status :
       {"CapEff:", "CapEff:\t", "CapEff:\tx", "CapEff:\t12 34", "CapEff:\t11112222333344445"}) {
    EXPECT_FALSE(parse_effective_capabilities(status)) << status;
  }
}

TEST(CapabilitySet, NamesWhatThisBuildDoesNotKnowByNumber) {
  EXPECT_THAT(CapabilitySet(bit(0) | bit(40) | bit(41) | bit(63)).names(),
              ElementsAre("CAP_CHOWN", "CAP_CHECKPOINT_RESTORE", "CAP_41", "CAP_63"));
}

TEST(CapabilitySet, SysAdminStandsForBpfPerfmonAndCheckpointRestoreOnly) {
  const CapabilitySet admin(bit(kSysAdmin));
  EXPECT_TRUE(admin.allows(kBpf));
  EXPECT_TRUE(admin.allows(kPerfmon));
  EXPECT_TRUE(admin.allows(kCheckpointRestore));
  EXPECT_FALSE(admin.allows(kSysPtrace));
}

TEST(Capabilities, WithoutAnyAllAreMissingAndTheCommandGrantsAll) {
  Capabilities nobody;
  nobody.executable = "/usr/bin/leaktrace";
  EXPECT_THAT(names_of(nobody.missing()),
              ElementsAre("CAP_BPF", "CAP_PERFMON", "CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH",
                          "CAP_CHECKPOINT_RESTORE"));
  EXPECT_FALSE(nobody.sufficient());
  EXPECT_EQ(nobody.grant_command(),
            "sudo chgrp GROUP /usr/bin/leaktrace && sudo chmod 750 /usr/bin/leaktrace && "
            "sudo setcap cap_bpf,cap_perfmon,cap_sys_ptrace,cap_dac_read_search,"
            "cap_checkpoint_restore+ep /usr/bin/leaktrace");
}

TEST(Capabilities, TheCommandQuotesThePath) {
  Capabilities nobody;
  nobody.executable = "/home/o'neil/my tools/leaktrace";
  EXPECT_THAT(nobody.grant_command(), HasSubstr(R"(+ep '/home/o'\''neil/my tools/leaktrace')"));
}

TEST(Capabilities, TheLeastThatTracesIsSufficient) {
  Capabilities least;
  least.effective = CapabilitySet(bit(kBpf) | bit(kPerfmon) | bit(kSysPtrace));
  EXPECT_TRUE(least.sufficient());
  EXPECT_THAT(names_of(least.missing()),
              ElementsAre("CAP_DAC_READ_SEARCH", "CAP_CHECKPOINT_RESTORE"));
}

TEST(Capabilities, WithAllThereIsNothingToGrant) {
  Capabilities root;
  root.effective = CapabilitySet(0x1ff'ffff'ffff);
  EXPECT_THAT(root.missing(), IsEmpty());
  EXPECT_TRUE(root.sufficient());
  EXPECT_EQ(root.grant_command(), "");
}

TEST(UserNamespace, TheInitialOneMapsEverythingToItself) {
  EXPECT_TRUE(is_initial_uid_map("         0          0 4294967295\n"));
  EXPECT_FALSE(is_initial_uid_map("         0       1000          1\n"));
  EXPECT_FALSE(is_initial_uid_map("         0          0      65536\n"));
  EXPECT_FALSE(is_initial_uid_map(""));
}

TEST(ReadCapabilities, ReadsThisProcess) {
  const auto capabilities = read_capabilities();
  ASSERT_TRUE(capabilities);
  EXPECT_THAT(capabilities->executable, HasSubstr("capabilities_test"));
}

}  // namespace
}  // namespace leaktrace::tracer
