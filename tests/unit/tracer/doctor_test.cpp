// SPDX-License-Identifier: Apache-2.0
#include "user/app/doctor.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

namespace leaktrace::app {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;
using tracer::Finding;
using State = Finding::State;

Diagnosis healthy() {
  Diagnosis diagnosis;
  diagnosis.kernel = {"6.1.0-test", "x86_64"};
  diagnosis.capabilities.effective = tracer::CapabilitySet(0x1ff'ffff'ffff);
  diagnosis.capabilities.executable = "/opt/leaktrace";
  diagnosis.features.findings = {{"uprobe", "a probe on entry", State::yes, true, "", ""},
                                 {"uprobe_multi", "many probes at once", State::no, false,
                                  "attaching: Invalid argument", "attaching is slower"}};
  return diagnosis;
}

Diagnosis unprivileged() {
  auto diagnosis = healthy();
  diagnosis.capabilities.effective = {};
  diagnosis.features.findings[0].state = State::unknown;
  return diagnosis;
}

TEST(DoctorText, SaysTheVerdictFirstAndEveryCheckWithItsConsequence) {
  EXPECT_EQ(doctor_text(healthy()),
            "leaktrace can trace here (Linux 6.1.0-test, x86_64).\n"
            "\n"
            "Checks:\n"
            "  yes      a probe on entry\n"
            "  no       many probes at once  attaching: Invalid argument\n"
            "             attaching is slower\n");
}

TEST(DoctorText, NamesWhatIsMissingAndTheCommandThatGrantsIt) {
  const auto text = doctor_text(unprivileged());
  EXPECT_THAT(text, StartsWith("leaktrace cannot trace here: privileges are missing"));
  EXPECT_THAT(text, HasSubstr("CAP_BPF: load BPF programs and make maps (necessary)\n"));
  EXPECT_THAT(text, HasSubstr("sudo setcap cap_bpf,cap_perfmon"));
  EXPECT_THAT(text, HasSubstr("+ep /opt/leaktrace\n"));
  EXPECT_THAT(text, HasSubstr("sudo chgrp GROUP /opt/leaktrace && sudo chmod 750 /opt/leaktrace"));
  EXPECT_THAT(text, HasSubstr("GROUP: a group of users who may"));
}

TEST(DoctorText, ProposesNoCommandThatWouldHaveNoEffect) {
  auto diagnosis = unprivileged();
  diagnosis.capabilities.executable_on_nosuid = true;
  EXPECT_THAT(doctor_text(diagnosis), Not(HasSubstr("setcap")));
  diagnosis.capabilities.no_new_privileges = true;
  EXPECT_THAT(doctor_text(diagnosis), HasSubstr("no_new_privs"));
}

TEST(DoctorText, AsksForSysAdminOnlyWhereTheKernelTakesItForProbes) {
  auto diagnosis = healthy();
  diagnosis.features.uprobe_needs_admin = true;
  EXPECT_THAT(doctor_text(diagnosis), Not(HasSubstr("CAP_SYS_ADMIN")));
  diagnosis.features.findings[0].state = State::unknown;
  EXPECT_THAT(doctor_text(diagnosis), HasSubstr("CAP_SYS_ADMIN: attach probes"));
  EXPECT_THAT(doctor_text(diagnosis), HasSubstr("sudo setcap cap_sys_admin,cap_bpf"));
}

TEST(DoctorText, TellsALackOfTheKernelFromALackOfPrivileges) {
  auto diagnosis = healthy();
  diagnosis.features.findings[0].state = State::no;
  EXPECT_THAT(doctor_text(diagnosis),
              StartsWith("leaktrace cannot trace here: the kernel lacks what it needs"));
}

TEST(DoctorText, SaysThatProcessIdsAreUnknownWhereTheKernelLacksNothing) {
  auto diagnosis = healthy();
  diagnosis.features.findings.push_back({"process_ids", "process ids can be told", State::no, true,
                                         "/proc is of another pid namespace", "nothing"});
  EXPECT_THAT(doctor_text(diagnosis),
              StartsWith("leaktrace cannot trace here: process ids cannot be told"));
}

TEST(DoctorJson, HoldsTheSameUnderStableNames) {
  const auto json = nlohmann::json::parse(doctor_json(unprivileged()));
  EXPECT_EQ(json["version"], 1);
  EXPECT_EQ(json["kernel"]["release"], "6.1.0-test");
  EXPECT_EQ(json["can_trace"], false);
  EXPECT_EQ(json["capabilities"]["sufficient"], false);
  EXPECT_EQ(json["capabilities"]["missing"][0]["name"], "CAP_BPF");
  EXPECT_EQ(json["capabilities"]["missing"][0]["required"], true);
  EXPECT_THAT(json["capabilities"]["grant_command"].get<std::string>(), HasSubstr("setcap"));
  EXPECT_EQ(json["findings"][0]["id"], "uprobe");
  EXPECT_EQ(json["findings"][0]["state"], "unknown");
  EXPECT_EQ(json["findings"][1]["state"], "no");
  EXPECT_EQ(json["findings"][1]["consequence"], "attaching is slower");
}

TEST(DoctorJson, SurvivesAPathThatIsNoText) {
  auto diagnosis = unprivileged();
  diagnosis.capabilities.executable = "/opt/\xff";
  EXPECT_TRUE(nlohmann::json::accept(doctor_json(diagnosis)));
}

TEST(Diagnose, ReadsThisKernelAndThisProcess) {
  const auto diagnosis = diagnose();
  ASSERT_TRUE(diagnosis);
  EXPECT_FALSE(diagnosis->kernel.release.empty());
  EXPECT_FALSE(diagnosis->features.findings.empty());
  EXPECT_EQ(nlohmann::json::parse(doctor_json(*diagnosis))["findings"].size(),
            diagnosis->features.findings.size());
}

}  // namespace
}  // namespace leaktrace::app
