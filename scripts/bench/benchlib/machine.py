# SPDX-License-Identifier: Apache-2.0
"""The machine and the build that figures are of."""

import argparse
import os
import pathlib
import platform
import sys

from . import processes

TOP = pathlib.Path(__file__).resolve().parents[3]


def facts():
    """What figures mean nothing without."""
    model = next((line.split(":", 1)[1].strip()
                  for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.machine())
    flags = pathlib.Path("/proc/cpuinfo").read_text()
    return {
        "kernel": platform.release(),
        "cpu": model,
        "cpus": os.cpu_count(),
        "virtual_machine": "hypervisor" in flags,
        "load_at_start": os.getloadavg()[0],
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
    }


def in_words(machine):
    where = " (virtual machine)" if machine["virtual_machine"] else ""
    return (f"Linux {machine['kernel']}, {machine['cpus']} CPUs {machine['cpu']}{where}, "
            f"{round(machine['memory_mib'] / 1024)} GiB")


class Build:
    """Where the built programs are."""

    def __init__(self, folder, leaktrace=None):
        self.folder = pathlib.Path(folder)
        self.leaktrace = pathlib.Path(leaktrace or self.folder / "leaktrace")
        cost = self.folder / "tests" / "bench" / "cost"
        self.pair_subject = cost / "pair_subject"
        self.request_subject = cost / "request_subject"
        self.empty_probes = cost / "empty_probes"
        self.plugin = cost / "libbench_plugin.so"

    def missing(self):
        programs = (self.leaktrace, self.pair_subject, self.request_subject, self.empty_probes,
                    self.plugin)
        return [str(path) for path in programs if not path.exists()]


def arguments(description, **more):
    """The command line that all benchmarks share, read and checked, and the build it names."""
    parser = argparse.ArgumentParser(description=description,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-q", "--quick", action="store_true",
                        help="about a minute: does it work? No figures to believe")
    parser.add_argument("-o", "--output", metavar="FOLDER", type=pathlib.Path,
                        help="write the results here too, as JSON, TSV and Markdown")
    parser.add_argument("--build", metavar="FOLDER", default=TOP / "build" / "release",
                        help="build folder (build/release)")
    parser.add_argument("--leaktrace", metavar="FILE", help="another leaktrace than that folder's")
    parser.add_argument("--machine", action="store_true", help="say what machine this is, only")
    for name, options in more.items():
        parser.add_argument(f"--{name}", **options)
    line = parser.parse_args()
    name = pathlib.Path(sys.argv[0]).name
    if line.machine:
        print(in_words(facts()))
        sys.exit()
    if os.geteuid() != 0:
        sys.exit(f"{name}: tracing takes root")
    build = Build(line.build, line.leaktrace)
    if build.missing():
        sys.exit(f"{name}: not built: {', '.join(build.missing())}\n"
                 f"  cmake --preset release && cmake --build --preset release")
    if not processes.find("bpftool"):
        sys.exit(f"{name}: bpftool is missing")
    return line, build
