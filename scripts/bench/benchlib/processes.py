# SPDX-License-Identifier: Apache-2.0
"""Processes that a benchmark starts: each in a session of its own, each stopped by its own id, at
the latest when the benchmark ends, however it ends."""

import atexit
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

_started = []
_folders = []


class Failed(Exception):
    """What could not be measured, and why, in words for the reader of the table."""


def start(arguments, **options):
    """A Popen of `arguments`, ended with the benchmark."""
    process = subprocess.Popen([str(a) for a in arguments], start_new_session=True, **options)
    _started.append(process)
    return process


def _signal_group(process, number):
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        pass


def signal_one(pid, number):
    """To a process that another one started."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def stop(process, number=signal.SIGTERM, patience=20.0):
    """Sends the signal, waits `patience` seconds, kills what is left. Returns the exit status."""
    if process.poll() is None:
        process.send_signal(number)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            pass
    _signal_group(process, signal.SIGKILL)
    status = process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe:
            pipe.close()
    if process in _started:
        _started.remove(process)
    return status


def folder():
    """A new temporary folder, removed when the benchmark ends."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="leaktrace-bench-"))
    _folders.append(path)
    return path


def run(arguments, **options):
    """What a command prints; Failed with its last words when it fails."""
    options.setdefault("timeout", 120)
    try:
        done = subprocess.run([str(a) for a in arguments], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, **options)
    except subprocess.TimeoutExpired as late:
        raise Failed(f"{arguments[0]} took more than {late.timeout:.0f} s") from late
    if done.returncode != 0:
        words = (done.stderr or done.stdout).strip().splitlines()
        raise Failed(f"{arguments[0]}: {words[-1] if words else done.returncode}")
    return done.stdout


def find(*names):
    """The path of the first of these commands that is installed; None when none is."""
    for name in names:
        path = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
        if path:
            return path
    return None


def wait_until(condition, seconds, what):
    """Polls until `condition()` holds, and returns what it returned; Failed after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        got = condition()
        if got:
            return got
        if time.monotonic() > end:
            raise Failed(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.005)


def cpu_seconds(pid):
    """What the threads of a process have run, the kernel's part included."""
    threads = pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


def cpu_seconds_of_family(pid):
    """What a process has used, threads and children that have ended included; 10 ms exact."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(int(ticks) for ticks in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid):
    """All of it, and the anonymous part: maps that the kernel shares with a process are in the first
    as soon as it has read them."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return [int(re.search(rf"^{name}:\s*(\d+) kB", status, re.MULTILINE).group(1)) * 1024
            for name in ("VmRSS", "RssAnon")]


def _end():
    for process in list(_started):
        stop(process, patience=5.0)
    for path in _folders:
        shutil.rmtree(path, ignore_errors=True)


def _leave(number, _frame):
    sys.exit(128 + number)


atexit.register(_end)
for _number in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(_number, _leave)
