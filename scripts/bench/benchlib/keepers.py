# SPDX-License-Identifier: Apache-2.0
"""Real servers that work steadily for minutes, as they should or with a leak that their own
configuration or a script makes.

    server.pids     of which leaktrace is attached
    server.options  that it needs beside
    server.rate     how often a second serve() is called
    server.serve()  one request
    server.keepers  functions or files; a stack of the leak has one of them"""

import http.client
import pathlib
import socket
import subprocess

from . import processes, servers

_SILENT = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


class Redis:
    """SET of 1 KiB under 20,000 keys that expire; with a leak, under a new key each, for ever."""

    name = "redis-server"
    needs = ("redis-server",)
    options = ()
    rate = 500
    keepers = ("processMultibulkBuffer", "setGenericCommand")  # reads the value; enters the key

    def __init__(self, leaks):
        self._leaks = leaks
        self._number = 0
        self._server, path = servers.start_redis()
        self.pids = [self._server.pid]
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.connect(str(path))
        for _ in range(0 if leaks else 20_000):
            self.serve()

    def serve(self):
        self._number += 1
        key = f"key:{self._number if self._leaks else self._number % 20_000}"
        words = ["SET", key, "x" * 1024, *(() if self._leaks else ("EX", "60"))]
        request = f"*{len(words)}\r\n" + "".join(f"${len(w)}\r\n{w}\r\n" for w in words)
        self._connection.sendall(request.encode())
        answer = self._connection.recv(64)
        if answer != b"+OK\r\n":
            raise processes.Failed(f"redis-server says {answer!r}")

    def stop(self):
        processes.stop(self._server)


class Postgres:
    """The backends of pgbench's TPC-B; with a leak, each transaction prepares one more statement."""

    name = "PostgreSQL, pgbench"
    needs = ("pgbench", "runuser")
    options = ("--follow",)
    rate = 0  # pgbench is the load
    keepers = ("StorePreparedStatement", "PrepareQuery")
    _leak = "\\set i random(1, 1000000000000)\nPREPARE p:i AS SELECT abalance FROM pgbench_accounts;\n"

    def __init__(self, leaks):
        self._server = servers.Postgres(None)
        self.pids = self._server.pids
        self._options = ["-c", "4", "-R", "100"]
        if leaks:
            script = processes.folder() / "leak.sql"
            script.write_text(self._leak)
            self._options = ["-c", "2", "-R", "400", "-f", script]

    def begin(self, seconds):
        """After leaktrace is attached: it follows the server to the sessions that it starts."""
        with open(processes.folder() / "pgbench", "wb") as words:
            processes.start([*self._server.pgbench, "-n", "-T", round(seconds),
                             *self._options, "postgres"], stdin=subprocess.DEVNULL, stdout=words,
                            stderr=subprocess.STDOUT)

    def stop(self):
        self._server.stop()


_NGINX = """
daemon off;
user root;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log crit;
events {{ worker_connections 256; }}
http {{
  access_log {folder}/access.log;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  open_file_cache max={files} inactive=1d;
  open_file_cache_errors on;
  log_not_found off;
  server {{ listen 127.0.0.1:{port}; root {folder}/pages; }}
}}
"""


class Nginx:
    """Files, most of which do not exist; with a leak, each is kept in a cache without a bound."""

    name = "nginx"
    needs = ("nginx",)
    options = ()
    rate = 500
    keepers = ("ngx_open_cached_file",)
    _long = ("/" + "long-name-" * 20) * 4

    def __init__(self, leaks):
        folder = processes.folder()
        (folder / "pages").mkdir()
        (folder / "pages" / "page.html").write_text("x" * 4096)
        port = servers.free_port()
        (folder / "nginx.conf").write_text(
            _NGINX.format(folder=folder, port=port, files=1_000_000_000 if leaks else 100))
        self._server = processes.start([processes.find("nginx"), "-e", folder / "error.log", "-p",
                                        folder, "-c", folder / "nginx.conf"], **_SILENT)
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        processes.wait_until(self._answers, 10, "nginx listens")
        children = pathlib.Path(f"/proc/{self._server.pid}/task/{self._server.pid}/children")
        self.pids = [int(pid) for pid in children.read_text().split()]
        self._number = 0

    def _answers(self):
        try:
            self._get("/page.html", 200)
            return True
        except OSError:
            self._connection.close()  # and is opened anew
            return False

    def _get(self, path, status):
        self._connection.request("GET", path)
        answer = self._connection.getresponse()
        answer.read()
        if answer.status != status:
            raise processes.Failed(f"nginx answers with status {answer.status}")

    def serve(self):
        self._number += 1
        try:
            self._get(f"{self._long}{self._number}.html", 404)
        except http.client.RemoteDisconnected:  # after as many requests as nginx likes
            self._connection.close()

    def stop(self):
        processes.stop(self._server)


class _Script:
    """A server of a line a request, in a scripting language."""

    rate = 200
    options = ()

    def __init__(self, command, script, leaks):
        path = processes.folder() / script[0]
        path.write_text(script[1])
        self._server = processes.start([*command, path, "leak" if leaks else "serve"],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       stderr=subprocess.DEVNULL, text=True, bufsize=1)
        self.pids = [self._server.pid]
        for _ in range(0 if leaks else 2000):  # its cache is full
            self.serve()

    def serve(self):
        self._server.stdin.write("request\n")
        if "done\n" not in self._server.stdout:  # reads up to it: node's log comes the same way
            raise processes.Failed(f"{self.name} does not answer")

    def stop(self):
        processes.stop(self._server)


class Python(_Script):
    """Answers of 2 KiB, of which 1000 are cached; with a leak, a global list keeps them all."""

    name = "python3"
    needs = ("/usr/bin/python3",)
    keepers = ("remember",)
    _script = """
import collections, sys
cache = collections.OrderedDict()
everything = []

def remember(number, answer):
    if sys.argv[1] == "leak":
        everything.append(answer.upper())
        return
    cache[number] = answer.upper()
    if len(cache) > 1000:
        cache.popitem(last=False)

for number, line in enumerate(sys.stdin):
    words = [str(i) for i in range(200)]
    remember(number, line * 256)
    print("done", flush=True)
"""

    def __init__(self, leaks):
        super().__init__(["/usr/bin/python3"], ("server.py", self._script), leaks)


class Node(_Script):
    """Answers of 8 KiB, of which 1000 are cached; with a leak, a global array keeps them all."""

    name = "node"
    needs = ("/usr/bin/node",)
    keepers = ("server.js",)  # remember() is inlined into its caller, sooner or later
    _script = """
const cache = new Map();
const everything = [];

function remember(number) {
  const answer = Buffer.alloc(8192);
  if (process.argv[2] === 'leak') {
    everything.push(answer);
    return;
  }
  cache.set(number, answer);
  if (cache.size > 1000) cache.delete(cache.keys().next().value);
}

let number = 0;
require('readline').createInterface({input: process.stdin}).on('line', () => {
  const words = Array.from({length: 200}, (_, i) => String(i));
  remember(++number);
  process.stdout.write('done\\n');
});
"""

    def __init__(self, leaks):
        # The names of its functions are in its perf map.
        super().__init__(["/usr/bin/node", "--perf-basic-prof", "--interpreted-frames-native-stack",
                          "--logfile=/dev/null", "--no-logfile-per-isolate"],
                         ("server.js", self._script), leaks)

    def stop(self):
        super().stop()
        pathlib.Path(f"/tmp/perf-{self.pids[0]}.map").unlink(missing_ok=True)


ALL = {"redis": Redis, "postgres": Postgres, "nginx": Nginx, "python": Python, "node": Node}
