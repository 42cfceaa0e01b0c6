# SPDX-License-Identifier: Apache-2.0
"""Under load everything is a span or a counted loss, and memory stays bounded."""

import json
import os
import re
import signal
import subprocess

import pytest

import bpf
import servers
from harness import SONDE, finish, listening, refused, residuals, scene_results, start_trace, trace_scene, wait_for, write_scene

MEMORY_KIB = 128 * 1024


def count_in(path, pattern):
    """How many lines' worth of a pattern a file holds, without reading it whole."""
    total, tail = 0, b""
    with open(path, "rb") as f:
        while chunk := f.read(1 << 22):
            text = tail + chunk
            total += text.count(pattern)
            # What a count may have seen already must not be seen again.
            tail = text[-(len(pattern) - 1):]
    return total


def servers_spans(path):
    return count_in(path, b'"kind":2')


class Scoped:
    """nginx outside, sonde scoped to its processes, wrk outside: every exchange is a SERVER span."""

    def __init__(self, tmp_path, options=()):
        self.directory = tmp_path
        self.nginx = servers.Nginx(tmp_path)
        self.server = subprocess.Popen(
            [str(w) for w in self.nginx.cmd()], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_for(lambda: listening(self.nginx.port), "nginx listens")
        pids = [self.server.pid, *wait_for(lambda: bpf.children(self.server.pid), "workers")]
        self.out, self.ledger = tmp_path / "out.jsonl", tmp_path / "ledger.json"
        self.errors = open(tmp_path / "sonde.stderr", "w")
        self.sonde = subprocess.Popen(
            [SONDE, "trace", "-p", ",".join(map(str, pids)), "-q", "-o", self.out, "--ledger", self.ledger,
             *map(str, options)],
            stdout=subprocess.DEVNULL, stderr=self.errors,
        )

    def attach(self):
        """Asks until sonde has seen it: from then on every request counts."""
        def seen():
            subprocess.run(["curl", "-sS", "-o", "/dev/null", self.nginx.url("/warm")], check=True)
            return self.out.exists() and b"/warm" in self.out.read_bytes()

        wait_for(seen, "sonde sees a request")
        # The last of them may still be on its way to the file.
        wait_for(self.quiet, "the file is quiet")
        self.before, self.warm = self.nginx.logged(), servers_spans(self.out)
        self.unused = self.descriptors()

    def descriptors(self):
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in bpf.children(self.server.pid))

    def quiet(self):
        """All of the warm-up's requests that sonde can have seen are in the file."""
        seen = servers_spans(self.out)
        subprocess.run(["curl", "-sS", "-o", "/dev/null", self.nginx.url("/mark")], check=True)
        wait_for(lambda: servers_spans(self.out) > seen, "the mark arrives")
        return count_in(self.out, b"/mark") > 0

    def wrk(self, seconds, connections=64):
        done = subprocess.run(
            ["wrk", "-t2", f"-c{connections}", f"-d{seconds}s", self.nginx.url("/wrk")],
            capture_output=True, text=True, check=True,
        )
        return int(re.search(r"(\d+) requests in", done.stdout).group(1))

    def end(self):
        # A request whose client has gone is served and logged all the same; that is to be seen, too.
        wait_for(lambda: self.descriptors() <= self.unused, "nginx has served the last request")
        self.sonde.send_signal(signal.SIGINT)
        status = self.sonde.wait(60)
        self.server.send_signal(signal.SIGQUIT)
        self.server.wait(20)
        self.errors.close()
        err = (self.directory / "sonde.stderr").read_text()
        assert status == 0, err[-2000:]
        return json.loads(self.ledger.read_text())

    def abandon(self):
        if self.sonde.poll() is None:
            self.sonde.kill()
            self.sonde.wait()
        if self.server.poll() is None:
            self.server.terminate()  # killed, it would leave its workers behind
            self.server.wait(20)


@pytest.fixture
def scoped(tmp_path):
    made = []

    def make(*options):
        made.append(Scoped(tmp_path, options))
        made[-1].attach()
        return made[-1]

    yield make
    for one in made:
        one.abandon()
        one.out.unlink(missing_ok=True)


def assert_balanced(ledger):
    unbalanced = {line: rest for line, rest in residuals(ledger).items() if rest}
    assert not unbalanced, f"{unbalanced}\n{json.dumps(ledger)}"


def assert_accounted(run, ledger):
    """SERVER spans + counted losses = lines of the access log, and every line balances."""
    logged = run.nginx.logged() - run.before
    spans = servers_spans(run.out) - run.warm
    lost = sum(ledger["exchanges"]["dropped"].values()) + refused(ledger)
    assert_balanced(ledger)
    assert spans + lost == logged, f"{spans} spans + {lost} lost != {logged} lines\n{json.dumps(ledger)}"
    return logged, spans, lost


def test_full_speed(scoped):
    """Protects: wrk at full speed for 10 s: spans + counted losses = access log lines, residuals 0; at
    most three records an exchange; memory bounded."""
    run = scoped()
    most = 0
    for _ in range(5):
        run.wrk(2)
        most = max(most, bpf.pss_kib(bpf.roles(run.sonde.pid).values()))
    ledger = run.end()
    logged, spans, lost = assert_accounted(run, ledger)
    assert ledger["records"]["attempted"] <= 3 * (logged + run.before) + 5000
    assert most < MEMORY_KIB, f"{most} KiB"
    print(f"{logged} requests, {spans} spans, {lost} lost, {most} KiB")


def test_small_ring_and_stopped_role(scoped):
    """Protects: a 64 KiB ring, and the trace role stopped for a second: the reason is named, the
    sum is right, nginx keeps serving."""
    run = scoped("--ring-size", 65536)
    trace = bpf.roles(run.sonde.pid)["trace"]
    load = subprocess.Popen(
        ["wrk", "-t2", "-c32", "-d4s", run.nginx.url("/wrk")], stdout=subprocess.PIPE, text=True
    )
    size = run.out.stat().st_size
    wait_for(lambda: run.out.stat().st_size > size, "spans of the load arrive")
    os.kill(trace, signal.SIGSTOP)
    before = run.nginx.logged()
    try:
        subprocess.run(["sleep", "1"], check=True)
        assert run.nginx.logged() > before, "nginx stands still"
    finally:
        os.kill(trace, signal.SIGCONT)
    out, _ = load.communicate(timeout=30)
    assert "Socket errors" not in out, out
    ledger = run.end()
    _, _, lost = assert_accounted(run, ledger)
    assert lost > 0
    assert sum(ledger["records"]["lost"].values()) > 0, "the reason is named"


def test_start_under_load(tmp_path):
    """Protects: begun while wrk is at full speed, whatever the moment: every line balances."""
    nginx = servers.Nginx(tmp_path)
    server = subprocess.Popen([str(w) for w in nginx.cmd()], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ledger = tmp_path / "ledger.json"
    try:
        wait_for(lambda: listening(nginx.port), "nginx listens")
        pids = [server.pid, *wait_for(lambda: bpf.children(server.pid), "workers")]
        load = subprocess.Popen(["wrk", "-t1", "-c16", "-d120s", nginx.url("/wrk")], stdout=subprocess.DEVNULL)
        spans = 0
        for _ in range(8):
            subprocess.run([SONDE, "trace", "-p", ",".join(map(str, pids)), "-q", "-o", "/dev/null", "--ledger", ledger,
                            "--duration", "0.2"], check=True, timeout=60)
            account = json.loads(ledger.read_text())
            assert_balanced(account)
            spans += account["exchanges"]["spans"]
        assert spans > 0 and load.poll() is None
    finally:
        load.kill()
        load.wait()
        server.terminate()
        server.wait(20)


def test_big_download(tmp_path):
    """Protects: 10 GB are one exchange a side and a handful of records, whatever their size."""
    size = 10_000_000_000
    server = servers.Nginx(tmp_path, server="location / { }")
    with open(server.directory / "www/big", "wb") as f:
        f.truncate(size)
    run = trace_scene(tmp_path, [server], [["curl", "-sS", "-o", "/dev/null", server.url("/big")]], timeout=300).check()
    (served,), (asked,) = run.kind("SERVER"), run.kind("CLIENT")
    assert served.attributes.get("http.response.body.size", size) == size
    assert asked.attributes.get("http.response.body.size", size) == size
    assert served.parent_id == asked.span_id
    assert run.ledger["records"]["attempted"] <= 40
    assert run.ledger["bytes"]["sequence"] >= 2 * size


IDLE = """
import os, resource, socket, sys
port, each, processes = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
here, there = os.pipe(), os.pipe()
for p in range(processes):
    if os.fork():
        continue
    os.close(there[1])
    held = []
    for n in range(each):
        s = socket.create_connection(("127.0.0.1", port))
        s.sendall(b"GET /idle/%d/%d HTTP/1.1\\r\\nHost: idle\\r\\n\\r\\n" % (p, n))
        s.recv(4096)
        held.append(s)
    os.write(here[1], b".")
    os.read(there[0], 1)
    held[0].sendall(b"GET /last/%d HTTP/1.1\\r\\nHost: idle\\r\\n\\r\\n" % p)
    held[0].recv(4096)
    os._exit(0)
for _ in range(processes):
    os.read(here[0], 1)
os.close(there[0]), os.close(there[1])
sys.exit(any(os.wait()[1] for _ in range(processes)))
"""


def test_idle_connections(tmp_path):
    """Protects: 20,000 connections open at once: each is told apart, memory stays bounded, and the
    first one of each process still works."""
    each, processes = 5_000, 4
    count = each * processes
    server = servers.Nginx(tmp_path, connections=12_000, workers=4)
    idle = ["/usr/bin/python3", "-c", IDLE, str(server.port), str(each), str(processes)]
    scene = write_scene(tmp_path, [server], [idle])
    sonde = start_trace(scene, tmp_path, ["--ring-size", "4m"])
    most = 0
    while sonde.poll() is None:
        most = max(most, bpf.pss_kib(bpf.roles(sonde.pid).values()))
        try:
            sonde.wait(0.2)
        except subprocess.TimeoutExpired:
            pass
    run = scene_results(finish(sonde), [server]).check(quiet=False, most=2000)
    count += processes
    assert server.logged() == count
    served, asked = (sorted(s.path for s in run.kind(kind)) for kind in ("SERVER", "CLIENT"))
    assert len(served) == len(set(served)) and len(asked) == len(set(asked)), "told twice"
    lost = sum(run.ledger["exchanges"]["dropped"].values()) + refused(run.ledger)
    assert len(served) + len(asked) + lost == 2 * count
    assert most < MEMORY_KIB, f"{most} KiB"
