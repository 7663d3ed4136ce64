# SPDX-License-Identifier: Apache-2.0
"""leaktrace and its peers, attached to a running process for the length of a `with`."""

import contextlib
import json
import pathlib
import signal
import subprocess
import time

from . import processes

LIBC = next((str(path.resolve()) for path in
             (pathlib.Path("/lib/x86_64-linux-gnu/libc.so.6"),
              pathlib.Path("/lib/aarch64-linux-gnu/libc.so.6"),
              pathlib.Path("/lib64/libc.so.6")) if path.exists()), None)

EXACT = ("--sample-bytes", "exact", "--budget", "off")
EXACT_NO_STACKS = (*EXACT, "--stack-depth", "0")
SAMPLED = ("--sample-bytes", "512K", "--budget", "off")


def budget(percent):
    """The defaults of `attach`, held to this budget."""
    return ("--budget", str(percent))


class Leaktrace:
    """A running `leaktrace attach`."""

    def __init__(self, program, pids, options, more=()):
        self._folder = processes.folder()
        self._words = self._folder / "stderr"
        self._report = self._folder / "report.json"
        self.pids = list(pids)
        began = time.monotonic()
        with open(self._words, "wb") as words:
            self.process = processes.start(
                [program, "attach", "-v", "-q", "-p", ",".join(map(str, pids)), "--format", "json",
                 "-o", self._report, *options, *more], stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=words)
        processes.wait_until(self._attached, 60, "leaktrace attaches")
        self.seconds_to_attach = time.monotonic() - began

    def _attached(self):
        words = self._words.read_text(errors="replace")
        if self.process.poll() is not None:
            lines = [line for line in words.splitlines() if line.strip()]
            raise processes.Failed(f"leaktrace ended: {lines[-1] if lines else 'without a word'}")
        return f"attached to {self.pids[-1]}:" in words

    def stop(self):
        """Detaches; returns the report."""
        status = processes.stop(self.process, signal.SIGINT, 120)
        if status != 0:
            raise processes.Failed(f"leaktrace ended with status {status}: "
                                   f"{self._words.read_text(errors='replace').strip()[-300:]}")
        return json.loads(self._report.read_text())


@contextlib.contextmanager
def leaktrace(build, pids, options, more=()):
    tracer = Leaktrace(build.leaktrace, pids, options, more)
    try:
        yield tracer
    finally:
        if tracer.process.poll() is None:
            tracer.stop()


@contextlib.contextmanager
def empty(build, pid, mode, places):
    """Programs that do nothing, at these (kind, offset, file)."""
    with _running([build.empty_probes, "--mode", mode, "--pid", pid,
                   *(f"{kind}:{offset:#x}:{file}" for kind, offset, file in places)],
                  stdin=subprocess.PIPE) as (process, words):
        processes.wait_until(lambda: _alive(process, words) and "attached" in words.read_text(),
                             20, "empty probes attach")
        yield process


def _alive(process, words):
    if process.poll() is None:
        return True
    said = words.read_text(errors="replace").strip().splitlines()
    raise processes.Failed(f"{pathlib.Path(process.args[0]).name} ended: "
                           f"{said[-1] if said else process.returncode}")


@contextlib.contextmanager
def _running(arguments, stop_with=signal.SIGTERM, **options):
    words = processes.folder() / "output"
    options.setdefault("stdin", subprocess.DEVNULL)
    with open(words, "wb") as output:
        process = processes.start(arguments, stdout=output, stderr=subprocess.STDOUT, **options)
    try:
        yield process, words
    finally:
        processes.stop(process, stop_with, 10)


def _wait_until_it_costs(subject, process, words, untraced_ns):
    """Others do not say when they are attached: it shows in the subject's speed."""

    def slower():
        _alive(process, words)
        pairs, wall, _ = subject.run(1, 0.02)
        return wall > 5 * untraced_ns * max(pairs, 1)

    processes.wait_until(slower, 60, f"{process.args[0]} attaches")
    time.sleep(0.3)  # the last of several probes


@contextlib.contextmanager
def bpftrace(subject, untraced_ns):
    """Counts malloc and free by stack."""
    script = (f"uprobe:{LIBC}:malloc {{ @acquired[ustack] = count(); }} "
              f"uprobe:{LIBC}:free {{ @released[ustack] = count(); }}")
    with _running([processes.find("bpftrace"), "-p", subject.pid, "-e", script],
                  signal.SIGINT) as (process, words):
        _wait_until_it_costs(subject, process, words, untraced_ns)
        yield process


@contextlib.contextmanager
def memleak(subject, untraced_ns):
    """bcc's; it prints once an hour, that is never."""
    with _running([processes.find("memleak-bpfcc", "memleak"), "-p", subject.pid, "3600"],
                  signal.SIGINT) as (process, words):
        _wait_until_it_costs(subject, process, words, untraced_ns)
        yield process


def probe_mode(build, pid, offset):
    """The best way of attaching that works here, as leaktrace chooses it."""
    for mode, kind in (("session", "call"), ("multi", "entry"), ("single", "entry")):
        try:
            with empty(build, pid, mode, [(kind, offset, LIBC)]):
                return mode
        except processes.Failed:
            continue
    raise processes.Failed("no kind of uprobe can be attached here")


def probe_sites(build):
    """Where leaktrace probes malloc and free, as `doctor --probes` says: {name: site}."""
    said = json.loads(processes.run([build.leaktrace, "doctor", "--probes", LIBC, "--json"]))
    return {site["function"]: site for site in said["functions"]
            if site["function"] in ("malloc", "free")}
