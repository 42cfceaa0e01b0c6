# SPDX-License-Identifier: Apache-2.0
"""The agent keeps to its budget by itself: it sheds, says so, the account balances, and it comes back."""

import http.client
import json
import os
import re
import signal
import subprocess
import threading

import pytest

import bpf
import servers
from harness import SONDE, listening, residuals, wait_for

SECONDS = 5
LEVELS = ["attributes", "sampling", "heads", "connections"]


def cpu_seconds(pids):
    """Processor time of some processes so far, by the kernel's books."""
    ticks = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat") as f:
            fields = f.read().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


class Agent:
    """nginx, an agent scoped to it, and a load of bounded length."""

    def __init__(self, folder, *options):
        folder.mkdir()
        self.folder = folder
        self.nginx = servers.Nginx(folder, workers=1, server='access_log off; location / { return 200 "hello\\n"; }')
        self.server = subprocess.Popen([str(w) for w in self.nginx.cmd()], stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)
        wait_for(lambda: listening(self.nginx.port), "nginx listens")
        pids = [self.server.pid, *wait_for(lambda: bpf.children(self.server.pid), "workers")]
        self.ledger = folder / "ledger.json"
        self.connection, self.asked = None, 0
        self.sonde = subprocess.Popen(
            [SONDE, "agent", "-p", ",".join(map(str, pids)), "-o", folder / "spans", "--ledger", self.ledger,
             "--lock", folder / "lock", *options],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=open(folder / "stderr", "w"),
            env={**os.environ, "OTEL_TRACES_EXPORTER": "none"})
        wait_for(lambda: "hooks are attached" in self.said(), "hooks are attached")
        self.roles = wait_for(lambda: len(r := bpf.roles(self.sonde.pid)) == 4 and r, "all roles run")

    def said(self):
        return (self.folder / "stderr").read_text()

    def ask(self, path):
        """One request, always on the same connection."""
        if not self.connection:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.nginx.port, timeout=30)
        self.connection.request("GET", path)
        self.connection.getresponse().read()
        self.asked += 1

    def told(self, what):
        return what.encode() in (self.folder / "spans").read_bytes()

    def load(self):
        """(requests, seconds of processor time that sonde's roles took for each)"""
        busy, ended = threading.Event(), []

        def ask_often():
            while not busy.wait(0.005):
                self.ask("/often")
            ended.append(True)

        asking = threading.Thread(target=ask_often)
        asking.start()
        try:
            return self.wrk()
        finally:
            busy.set()
            asking.join(30)
            assert ended

    def wrk(self):
        before = cpu_seconds(self.roles.values())
        done = subprocess.run(["wrk", "-t1", "-c32", f"-d{SECONDS}s", self.nginx.url("/some/path?a=b")],
                              capture_output=True, text=True, check=True, timeout=60)
        requests = int(re.search(r"(\d+) requests in", done.stdout).group(1))
        return requests, (cpu_seconds(self.roles.values()) - before) / requests

    def end(self):
        self.sonde.send_signal(signal.SIGTERM)
        assert self.sonde.wait(30) == 0, self.said()
        return json.loads(self.ledger.read_text())

    def stop(self):
        for process in (self.sonde, self.server):
            if process.poll() is None:
                process.terminate()
                process.wait(30)


@pytest.fixture
def agents():
    started = []

    def start(*args):
        started.append(Agent(*args))
        return started[-1]

    yield start
    for agent in started:
        agent.stop()


def test_keeps_to_its_budget(tmp_path, agents):
    """Protects: over its budget sonde sheds in the documented order and gets cheaper for it; every exchange is a
    span, a loss or counted as not looked at; when the load is gone all is traced again."""
    free = agents(tmp_path / "free", "--cpu-budget", "100", "--memory-budget", "1g")
    requests, dear = free.load()
    assert requests > 1000
    ledger = free.end()
    assert not any(residuals(ledger).values()), ledger
    assert ledger["shed"]["highest"] == 0 and ledger["shed"]["times"] == 0, ledger["shed"]
    assert not any(ledger["shed"][what] for what in ("attributes", "sampling", "heads", "exchanges")), ledger["shed"]
    assert "shed" not in free.said()

    tight = agents(tmp_path / "tight", "--cpu-budget", "0.5", "--memory-budget", "1g")
    requests, cheap = tight.load()
    said = tight.said()
    assert "over the processor budget" in said and "begins to shed" in said, said
    wait_for(lambda: "within the budget again" in tight.said(), "it comes back", 60)

    # What comes now is whole again, on a new connection and on one that was shed.
    tight.ask("/same")
    wait_for(lambda: tight.told("/same"), "the request on the connection that was shed is a span")
    tight.connection = None
    tight.ask("/new")
    wait_for(lambda: tight.told("/new"), "the request on a new connection is a span")
    ledger = tight.end()
    shed = ledger["shed"]
    assert not any(residuals(ledger).values()), ledger
    assert shed["highest"] > 0 and shed["times"] >= 1, shed
    assert shed["attributes"] and shed["sampling"] and shed["exchanges"], shed
    assert shed["seconds"]["connections"] > 0, shed
    # Every request that nginx answered is in the account, in one place.
    assert abs(ledger["exchanges"]["begun"] + shed["exchanges"] - requests - tight.asked) <= 64, (ledger, requests)
    order = [LEVELS.index(level) for level in re.findall(r"(?:now:|has more to shed:) (\w+)", tight.said())]
    assert order[0] <= order[-1]
    assert cheap < dear / 2, (cheap, dear)


@pytest.mark.parametrize("option, value", [
    ("--cpu-budget", "0"), ("--cpu-budget", "101"), ("--cpu-budget", "much"), ("--cpu-budget", "3x"),
    ("--cpu-budget", "nan"), ("--cpu-budget", "-1"), ("--memory-budget", "0"), ("--memory-budget", "64q"),
    ("--memory-budget", "1023k")])
def test_wrong_budgets(option, value):
    """Protects: a budget that is none is an error that says what to write."""
    done = subprocess.run([SONDE, "agent", option, value], capture_output=True, text=True, timeout=30)
    assert done.returncode == 2, done
    assert option in done.stderr and f"'{value}'" in done.stderr and "write" in done.stderr, done.stderr


def test_trace_has_no_budget():
    """Protects: `sonde trace` never sheds."""
    done = subprocess.run([SONDE, "trace", "--cpu-budget", "3", "--", "true"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 2 and "unknown option" in done.stderr, done
