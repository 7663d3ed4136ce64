# SPDX-License-Identifier: Apache-2.0
"""What the kernel says of BPF programs and maps: time, instructions, memory."""

import contextlib
import json
import pathlib
import re

from . import processes

_SWITCH = pathlib.Path("/proc/sys/kernel/bpf_stats_enabled")


@contextlib.contextmanager
def statistics_on():
    before = _SWITCH.read_text()
    _SWITCH.write_text("1")
    try:
        yield
    finally:
        _SWITCH.write_text(before)


def _ids(pid, kind):
    """The ids of the programs ("prog_id") or maps ("map_id") that a process holds descriptors of."""
    ids = set()
    for info in pathlib.Path(f"/proc/{pid}/fdinfo").iterdir():
        try:
            found = re.search(rf"^{kind}:\s*(\d+)$", info.read_text(), re.MULTILINE)
        except OSError:
            continue  # closed meanwhile
        if found:
            ids.add(int(found.group(1)))
    return ids


def _show(what, pid):
    ids = _ids(pid, {"prog": "prog_id", "map": "map_id"}[what])
    shown = json.loads(processes.run([processes.find("bpftool"), "-j", what, "show"]))
    return [item for item in shown if item["id"] in ids]


def of(pid):
    """For each program that ran: name, runs, nanoseconds a run, instructions, jitted bytes."""
    ran = [program for program in _show("prog", pid) if program.get("run_cnt")]
    return sorted(({
        "name": program.get("name", str(program["id"])),
        "runs": program["run_cnt"],
        "ns": program["run_time_ns"] / program["run_cnt"],
        "instructions": program["bytes_xlated"] // 8,
        "jited_bytes": program.get("bytes_jited", 0),
    } for program in ran), key=lambda program: -program["runs"])


def map_bytes(pid):
    """Kernel memory of each map of a process, by name."""
    total = {}
    for item in _show("map", pid):
        name = item.get("name", str(item["id"]))
        total[name] = total.get(name, 0) + int(item.get("bytes_memlock", 0))
    return total
