# SPDX-License-Identifier: Apache-2.0
"""Servers under load: each in a temporary folder, on a socket or on loopback. A load returns
requests a second and the 99th percentile of their times in milliseconds."""

import csv
import pathlib
import re
import signal
import socket
import subprocess

from . import figures, processes
from .subject import Subject

_SILENT = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def start_redis():
    """A redis-server that keeps nothing on disk, and its socket."""
    path = processes.folder() / "socket"
    server = processes.start([processes.find("redis-server"), "--port", "0", "--unixsocket", path,
                              "--save", "", "--appendonly", "no"], **_SILENT)
    processes.wait_until(path.exists, 10, "redis-server listens")
    return server, path


class Redis:
    """SET of 100 bytes under 100,000 keys, 20 clients over a socket."""

    name = "redis-server, redis-benchmark"
    needs = ("redis-server", "redis-benchmark")
    trace_options = ()

    def __init__(self, _build):
        self._server, self._socket = start_redis()
        self.pids = [self._server.pid]
        self.load(2)  # fills most keys

    def _requests(self, count):
        said = processes.run([processes.find("redis-benchmark"), "-s", self._socket, "-c", "20", "-r",
                              "100000", "-d", "100", "-t", "set", "--csv", "-n", count])
        lines = list(csv.DictReader(line for line in said.splitlines() if line.startswith('"')))
        return float(lines[-1]["rps"]), float(lines[-1]["p99_latency_ms"])

    def load(self, seconds):
        rate, _ = self._requests(2000)  # it takes a number of requests and not a time
        return self._requests(max(1000, int(rate * seconds)))

    def stop(self):
        processes.stop(self._server)


class Postgres:
    """pgbench's TPC-B over a socket, four clients; each run's backends are new children."""

    name = "PostgreSQL, pgbench"
    needs = ("pgbench", "runuser")
    trace_options = ("--follow",)

    def __init__(self, _build):
        programs = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/postgres"))
        if not programs:
            raise processes.Failed("postgres is not installed")
        folder = processes.folder()
        folder.chmod(0o755)
        self._run, self._data = folder / "run", folder / "data"
        for path in (self._run, self._data):
            path.mkdir(mode=0o700)
            processes.run(["chown", "postgres", path])
        self._run.chmod(0o755)
        as_postgres = [processes.find("runuser"), "-u", "postgres", "--"]
        processes.run([*as_postgres, programs[-1].parent / "initdb", "-D", self._data, "-U", "postgres",
                       "--no-sync", "-A", "trust"], cwd=folder)
        self._server = processes.start(
            [*as_postgres, programs[-1], "-D", self._data, "-c", "listen_addresses=", "-c",
             f"unix_socket_directories={self._run}", "-c", "fsync=off", "-c", "shared_buffers=256MB",
             "-c", "autovacuum=off", "-c", "max_wal_size=8GB", "-c", "checkpoint_timeout=1d"],
            cwd=folder, **_SILENT)
        processes.wait_until((self._run / ".s.PGSQL.5432").exists, 20, "postgres listens")
        self.pids = [int((self._data / "postmaster.pid").read_text().split()[0])]
        self.pgbench = [processes.find("pgbench"), "-h", self._run, "-U", "postgres"]
        processes.wait_until(self._fill, 30, "pgbench fills its tables")

    def sessions(self, application, count):
        """The pids of an application's sessions in the server; nothing until there are `count`."""
        said = processes.run(["psql", "-h", self._run, "-U", "postgres", "-Atc",
                              "SELECT pid FROM pg_stat_activity WHERE application_name = "
                              f"'{application}'"])
        pids = [int(pid) for pid in said.split()]
        return pids if len(pids) >= count else []

    def _fill(self):
        try:
            processes.run([*self.pgbench, "-q", "-i", "-s", "10", "postgres"])
        except processes.Failed as why:
            if "starting up" in str(why):
                return False
            raise
        return True

    def load(self, seconds):
        folder = processes.folder()
        said = processes.run([*self.pgbench, "-n", "-c", "4", "-T", max(1, round(seconds)), "-l",
                              "--sampling-rate", "0.25", "postgres"], cwd=folder)
        rate = re.search(r"^tps = ([\d.]+)", said, re.MULTILINE)
        microseconds = [int(line.split()[2]) for log in folder.glob("pgbench_log.*")
                        for line in log.read_text().splitlines()]
        return float(rate.group(1)), figures.percentile(microseconds, 0.99) / 1000

    def stop(self):
        # The server itself, not runuser: SIGINT ends its sessions, and it cleans up.
        (pid,) = self.pids
        processes.signal_one(pid, signal.SIGINT)
        processes.stop(self._server, signal.SIGCONT)


_NGINX = """
daemon off;
user root;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log {folder}/access.log;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 1000;
  server {{ listen 127.0.0.1:{port}; root {folder}/pages; }}
}}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Nginx:
    """A file of 4 KiB, 16 connections, one worker, with an access log."""

    name = "nginx, wrk"
    needs = ("nginx", "wrk")
    trace_options = ()

    def __init__(self, _build):
        folder = processes.folder()
        (folder / "pages").mkdir()
        (folder / "pages" / "page.html").write_text("x" * 4096)
        self._port = free_port()
        (folder / "nginx.conf").write_text(_NGINX.format(folder=folder, port=self._port))
        self._server = processes.start([processes.find("nginx"), "-e", folder / "error.log", "-p",
                                        folder, "-c", folder / "nginx.conf"], **_SILENT)
        processes.wait_until(self._answers, 10, "nginx listens")
        children = pathlib.Path(f"/proc/{self._server.pid}/task/{self._server.pid}/children")
        self.pids = [int(pid) for pid in children.read_text().split()]

    def _answers(self):
        try:
            socket.create_connection(("127.0.0.1", self._port), 1).close()
            return True
        except OSError:
            return False

    def load(self, seconds):
        said = processes.run([processes.find("wrk"), "-t", "1", "-c", "16", "-d",
                              f"{max(1, round(seconds))}s", "--latency",
                              f"http://127.0.0.1:{self._port}/page.html"])
        if "Non-2xx" in said:
            raise processes.Failed("nginx answers with errors")
        rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
        late = re.search(r"99%\s+([\d.]+)(us|ms|s)\b", said)
        milliseconds = float(late.group(1)) * {"us": 0.001, "ms": 1, "s": 1000}[late.group(2)]
        return float(rate.group(1)), milliseconds

    def stop(self):
        processes.stop(self._server)


class Requests:
    """The synthetic server, which leaks one byte in a hundred at keep_for_ever()."""

    name = "synthetic server that leaks 1 %"
    needs = ()
    trace_options = ()
    leaks_at = "keep_for_ever"

    def __init__(self, build):
        self._subject = Subject([build.request_subject])
        self.pids = [self._subject.pid]
        self.leaked_bytes = 0
        self.load(0.5)

    def load(self, seconds):
        requests, wall, _, p99, self.leaked_bytes = self._subject.run(2, seconds)
        return requests / wall * 1e9, p99 / 1e6

    def stop(self):
        self._subject.stop()


ALL = {"redis": Redis, "postgres": Postgres, "nginx": Nginx, "synthetic": Requests}
