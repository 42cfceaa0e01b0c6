# SPDX-License-Identifier: Apache-2.0
"""What runs during a measurement: nginx and loads on it, and beside them nothing, empty programs or sonde."""

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

from measure import Programs, cpu_ns, map_bytes, pss_bytes, role_pids, tree, wait_for

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUTPUT = ROOT / os.environ.get("OUTPUT", "build")
SONDE = OUTPUT / "sonde"
TOOLS = OUTPUT / "tools"
LOAD = OUTPUT / "bench/load"
EMPTY = OUTPUT / "bench/empty"

NGINX = """
worker_processes {workers}; worker_rlimit_nofile 200000; daemon off; pid {dir}/nginx.pid; error_log {dir}/error.log;
events {{ worker_connections 65536; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 600s; client_header_timeout 600s; sendfile on;
  client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f;
  uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
  server {{ listen 127.0.0.1:{port} backlog=4096 reuseport{tls}; root {dir}/www;
            location = /index.html {{ sendfile off; }} }}
}}
"""
# The small page, as nginx serves it when nothing is configured.
BODY_BYTES = 128


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), 0.2).close()
        return True
    except OSError:
        return False


class Running:
    """Ends what it started, by pid, however the measurement ended."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Nginx(Running):
    """tls: its certificate and its key; None: in the clear."""

    def __init__(self, workers=2, tls=None):
        self.dir = tempfile.mkdtemp(prefix="sonde-bench-")
        os.chmod(self.dir, 0o755)
        os.mkdir(f"{self.dir}/www", 0o755)
        self.port = free_port()
        conf = f"{self.dir}/nginx.conf"
        with open(conf, "w") as f:
            secure = " ssl; ssl_certificate {}; ssl_certificate_key {}".format(*tls) if tls else ""
            f.write(NGINX.format(dir=self.dir, port=self.port, workers=workers, tls=secure))
        self.file("index.html", BODY_BYTES)
        self.process = subprocess.Popen(["nginx", "-c", conf, "-e", f"{self.dir}/error.log"])
        wait_for(lambda: answers(self.port), "nginx")

    @property
    def pids(self):
        return tree(self.process.pid)

    def file(self, name, size):
        """A page of that many bytes, none of which lies on a disk."""
        with open(f"{self.dir}/www/{name}", "wb") as f:
            f.truncate(size)
        return f"/{name}"

    def head_bytes(self):
        """Of the response to wrk's request, without the body."""
        with socket.create_connection(("127.0.0.1", self.port), 5) as s:
            s.sendall(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n\r\n".encode())
            return len(s.recv(65536)) - BODY_BYTES

    def stop(self):
        self.process.send_signal(signal.SIGQUIT)
        try:
            self.process.wait(2)
        except subprocess.TimeoutExpired:
            # Idle connections are no reason to wait for their end.
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(20)
        shutil.rmtree(self.dir, ignore_errors=True)


def wrk(port, seconds, connections=32, scheme="http"):
    """(requests, requests a second) of as many as can be."""
    out = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", f"{scheme}://127.0.0.1:{port}/"],
                         text=True, capture_output=True, check=True).stdout
    return int(re.search(r"(\d+) requests in", out)[1]), float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1])


class Load(Running):
    """tests/bench/load.c: .ready are the words that it began with."""

    def __init__(self, *words, cpus=None):
        self.process = subprocess.Popen([LOAD, *map(str, words)], text=True, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE,
                                        preexec_fn=(lambda: os.sched_setaffinity(0, cpus)) if cpus else None)
        self.ready = self.said().split()[1:]

    def said(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"load {' '.join(map(str, self.process.args[1:]))}: ended by itself")
        return line

    def do(self, *words):
        """{"requests": 5, "ns": 17, ...}"""
        self.begin(*words)
        return self.end()

    def begin(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()

    def end(self):
        found = self.said().split()
        return dict(zip(found[::2], map(int, found[1::2])))

    def stop(self):
        self.process.stdin.close()
        self.process.wait(60)
        self.process.stdout.close()


# A process may have as many descriptors, where nobody may raise that.
A_PROCESS = 12000


class Loads(Running):
    """`load paced` in as many processes as its connections need; together they do what one is asked for."""

    def __init__(self, ports, connections, path="/"):
        n = -(-connections // A_PROCESS)
        self.parts = []
        try:
            for i in range(n):
                self.parts.append(Load("paced", ports, connections * (i + 1) // n - connections * i // n, path))
        except RuntimeError:
            self.stop()
            raise

    def do(self, *words):
        """once, or RATE MS: of all together."""
        if len(words) == 2:
            words = (words[0] / len(self.parts), words[1])
        for part in self.parts:
            part.begin(*words)
        found = [part.end() for part in self.parts]
        return {"requests": sum(f["requests"] for f in found), "late": sum(f["late"] for f in found),
                "ns": max(f["ns"] for f in found)}

    def stop(self):
        for part in self.parts:
            part.stop()


class Nothing(Running):
    name = "nothing"

    def stop(self):
        pass


class Empty(Running):
    """Programs that do nothing, on the tier's hooks."""
    name = "empty"

    def __init__(self, tier):
        self.process = subprocess.Popen([EMPTY, tier], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if self.process.stdout.readline().strip() != "attached":
            raise RuntimeError(f"the empty programs of tier {tier} could not be attached")
        self.programs = Programs(self.process.pid)

    def stop(self):
        self.process.stdin.close()
        self.process.wait(20)
        self.process.stdout.close()


class Sink(Running):
    """Acknowledges and does nothing else. .said, once it has ended: what it took."""

    def __init__(self):
        self.process = subprocess.Popen([TOOLS / "otlp_sink"], text=True, stdout=subprocess.PIPE)
        self.url = f"http://127.0.0.1:{self.process.stdout.readline().split()[1]}"

    def cpu_ns(self):
        return cpu_ns(self.process.pid)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.said = json.loads(self.process.communicate(timeout=20)[0].splitlines()[-1])


COLLECTOR = """
receivers:
  otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:{port}"}}}}}}
processors:
  batch: {{}}
exporters:
  file: {{path: /dev/null}}
service:
  telemetry: {{metrics: {{level: none}}, logs: {{level: error}}}}
  pipelines:
    traces: {{receivers: [otlp], processors: [batch], exporters: [file]}}
"""


def collector_program():
    """Where the Collector of tests/backends is; built first where it is not there yet."""
    build = ROOT / "tests/backends/build.sh"
    program = subprocess.run([build, "--path", "collector"], check=True, text=True, capture_output=True).stdout.strip()
    if not os.path.exists(program):
        subprocess.run([build], check=True, capture_output=True)
    return program


class Collector(Running):
    """The real one: takes spans apart, batches them, writes them to where nothing is kept."""

    def __init__(self, folder):
        program, port = collector_program(), free_port()
        config = pathlib.Path(folder) / "collector.yaml"
        config.write_text(COLLECTOR.format(port=port))
        self.process = subprocess.Popen([program, "--config", config], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, cwd=folder)
        self.url = f"http://127.0.0.1:{port}"
        wait_for(lambda: answers(port), "the Collector")

    def cpu_ns(self):
        return cpu_ns(self.process.pid)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


# What is measured is the work, not how the governor shirks it.
FREE = ("--cpu-budget", "100", "--memory-budget", "1g")


class Sonde(Running):
    """The agent, scoped to processes of the bench; every span goes to a sink. options: FREE, or () for the default."""
    name = "sonde"

    def __init__(self, args, pids, options=FREE, sink=Sink):
        self.dir = tempfile.mkdtemp(prefix="sonde-bench-")
        self.sink = sink(self.dir) if sink is Collector else sink()
        self.ledger_path = f"{self.dir}/ledger.json"
        command = [SONDE, "agent", *options, "--lock", f"{self.dir}/lock", "-p", ",".join(map(str, pids)),
                   "--tier", args.tier, "--otlp", self.sink.url, "--ledger", self.ledger_path]
        self.said, self.hooked = [], threading.Event()
        self.begun = time.monotonic()
        self.process = subprocess.Popen(command, text=True, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                        env={k: v for k, v in os.environ.items() if not k.startswith("OTEL_")})
        self.reader = threading.Thread(target=self.listen, daemon=True)
        self.reader.start()
        if not self.hooked.wait(30) or self.process.poll() is not None:
            self.process.kill()
            self.sink.stop()
            raise RuntimeError("sonde ended before its hooks were attached:\n" + "".join(t for _, t in self.said))
        self.roles = wait_for(lambda: len(r := role_pids(self.process.pid)) == 4 and r, "all roles")
        self.programs = Programs(self.process.pid)

    def listen(self):
        """[(when, line)] of what it says, so that its pipe never fills."""
        for line in self.process.stderr:
            self.said.append((time.monotonic(), line))
            if "hooks are attached" in line:
                self.start_seconds = time.monotonic() - self.begun
                self.hooked.set()
        self.hooked.set()

    def cpu(self):
        """{role: ns on the processor so far}"""
        return {role: cpu_ns(pid) for role, pid in self.roles.items()}

    def cpu_since(self, before):
        return {role: ns - before.get(role, 0) for role, ns in self.cpu().items()}

    def memory(self):
        """Map bytes and proportional memory of all roles."""
        return map_bytes([self.process.pid]) + pss_bytes(self.roles.values())

    def stop(self):
        """.ledger and .sink.said are there afterwards."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(60)
        self.reader.join()
        self.process.stderr.close()
        self.sink.stop()
        if status:
            raise RuntimeError(f"sonde: exit {status}\n" + "".join(t for _, t in self.said)[-2000:])
        with open(self.ledger_path) as f:
            self.ledger = json.load(f)
        shutil.rmtree(self.dir, ignore_errors=True)
