# SPDX-License-Identifier: Apache-2.0
"""The programs of tests/bench/cost, which obey lines on their standard input."""

import os
import select
import subprocess
import time

from . import processes


class Subject:
    """A running subject; what it says beside its answers (heaptrack's words) is passed over."""

    def __init__(self, arguments, environment=None):
        self._process = processes.start(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        env={**os.environ, **(environment or {})})
        self._unread = b""
        try:
            self.pid = int(self._answer("ready", 20)[0])
        except processes.Failed:
            self.stop()
            raise

    def _line(self, end):
        while b"\n" not in self._unread:
            ready, _, _ = select.select([self._process.stdout], [], [], max(0, end - time.monotonic()))
            if not ready:
                raise processes.Failed("the subject does not answer")
            piece = os.read(self._process.stdout.fileno(), 65536)
            if not piece:
                raise processes.Failed("the subject has ended")
            self._unread += piece
        line, self._unread = self._unread.split(b"\n", 1)
        return line.decode(errors="replace").split()

    def _answer(self, word, seconds):
        end = time.monotonic() + seconds
        while True:
            words = self._line(end)
            if words and words[0] == word:
                return words[1:]

    def ask(self, line, word, seconds=60.0):
        """Sends a line, and returns the words after `word` of the answer."""
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError as broken:
            raise processes.Failed("the subject has ended") from broken
        return self._answer(word, seconds)

    def run(self, threads, seconds, rate=None):
        """Pairs or requests, wall and CPU nanoseconds, and what else the subject says."""
        milliseconds = int(seconds * 1000)
        line = f"pace {threads} {milliseconds} {rate}" if rate else f"run {threads} {milliseconds}"
        return [int(word) for word in self.ask(line, "ran", seconds + 60)]

    def stop(self):
        processes.stop(self._process)


class Crowd:
    """Many idle subjects. They share both pipes, so that their number is not one of descriptors."""

    def __init__(self, program, count):
        self._processes = []
        commands, self._commands = os.pipe()
        words, writer = os.pipe()
        try:
            for _ in range(count):
                self._processes.append(processes.start([program], stdin=commands, stdout=writer))
            os.close(writer)
            writer = None
            with open(words, encoding="ascii", closefd=False) as lines:
                self.pids = [int(lines.readline().split()[1]) for _ in range(count)]
        except (OSError, IndexError) as why:
            self.stop()
            raise processes.Failed(f"{count} processes cannot be started: {why}") from why
        finally:
            for descriptor in (commands, words, writer):
                if descriptor is not None:
                    os.close(descriptor)

    def stop(self):
        os.close(self._commands)  # all of them read the end of their input
        for process in self._processes:
            processes.stop(process, patience=5.0)
