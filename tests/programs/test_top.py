# SPDX-License-Identifier: Apache-2.0
"""`sonde top` on a terminal and in a pipe, `sonde map`: what real programs did, as they do it."""

import json
import os
import re
import signal
import subprocess
import time

import pytest

import harness
import servers
import terminal
from harness import SONDE, start_trace, trace_scene, wait_for, write_scene

SCREEN_ON, SCREEN_OFF = b"\x1b[?1049h", b"\x1b[?1049l"


class Screen(terminal.Terminal):
    """One that is drawn upon as a whole, and given back."""

    def shown(self):
        """The last whole frame, as text."""
        self.read()
        frame = self.out.split(b"\x1b[H")[-1]
        if b"\x1b[J" not in frame:
            frame = (self.out.split(b"\x1b[H") + [b"", b""])[-3 if self.out.count(b"\x1b[H") > 1 else -1]
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", frame.decode(errors="replace"))

    def until(self, condition, what):
        return wait_for(lambda: condition(self.shown()), what, 60)

    def ended(self):
        """Its status; the terminal is as it was."""
        status = super().ended()
        assert self.out.count(SCREEN_ON) == 1 and self.out.rindex(SCREEN_OFF) > self.out.rindex(SCREEN_ON)
        assert b"\x1b[?25h" in self.out[self.out.rindex(SCREEN_OFF) - 20:]
        return status


@pytest.fixture()
def loaded(tmp_path):
    """An nginx, and a client that keeps asking it."""
    server = servers.Nginx(tmp_path)
    daemon = subprocess.Popen(server.cmd(), stdout=subprocess.DEVNULL)
    wait_for(lambda: harness.listeners(server.port), "nginx listens")
    client = subprocess.Popen(["curl", "-s", "--rate", "50/s", "-o", "/dev/null", server.url("/live?n=[1-100000]")])
    yield server
    client.kill()
    client.wait()
    daemon.send_signal(signal.SIGQUIT)
    daemon.wait(20)


@pytest.fixture()
def temporary(tmp_path, monkeypatch):
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def test_on_a_terminal(loaded, temporary):
    """Protects: services and operations come up by themselves; keys sort, filter and end; the terminal is given back and
    the folder has gone."""
    top = Screen(SONDE, "top", "--port", loaded.port, "--interval", "0.5")
    try:
        top.until(lambda s: "nginx" in s and "GET /live" in s and "server" in s, "nginx is shown")
        rows = [line.split() for line in top.shown().splitlines() if "nginx" in line]
        assert float(rows[0][0]) > 1 and rows[0][1] == "0.0%"
        top.type("\x1b[C")
        top.until(lambda s: "sorted by errors" in s, "sorted by the next column")
        top.type("\x1b[D\x1b[D")
        top.until(lambda s: "sorted by name" in s, "and back, around")
        top.type("ngi")
        top.until(lambda s: "nginx" in s and "filter: ngi" in s, "the filter keeps it")
        top.type("q")
        top.until(lambda s: "filter: ngiq" in s and "GET /live" not in s, "the filter takes it away; q belongs to it")
        top.type("\x1b")
        top.until(lambda s: "nginx" in s, "without a filter it is back")
        top.type("\t")
        top.until(lambda s: s.split("\r\n")[1].startswith("services") and "nginx" in s and "GET /live" not in s, "by service")
        assert all(len(line.strip("\r")) <= 120 for line in top.shown().split("\r\n"))
        top.type("q")
        assert top.ended() == 0
        assert b"spans, " in top.out[top.out.rindex(SCREEN_OFF):]  # the account
    finally:
        top.close()
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_gives_the_terminal_back(loaded, temporary, sig):
    """Protects: ended from outside, it leaves the terminal as it was, and nothing behind."""
    top = Screen(SONDE, "top", "--port", loaded.port, "--interval", "0.3")
    try:
        top.until(lambda s: "sorted by rate" in s, "it is shown")
        top.process.send_signal(sig)
        assert top.ended() == 0
    finally:
        top.close()
    assert not list(temporary.iterdir())


def test_in_a_pipe(loaded, temporary):
    """Protects: a line of JSON an interval, --count of them, with what nginx answered in that time."""
    done = subprocess.run([SONDE, "top", "--port", str(loaded.port), "--interval", "2", "--count", "3"], capture_output=True,
                          text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == 3 and "\x1b" not in done.stdout
    assert [int(a["at_unix_nano"]) < int(b["at_unix_nano"]) for a, b in zip(lines, lines[1:])] == [True, True]
    nginx = [o for line in lines for o in line["operations"] if o["service"] == "nginx" and o["kind"] == "server"]
    assert nginx and sum(o["count"] for o in nginx) > 10
    for line in lines:
        assert 1.9 < line["seconds"] < 30 and line["spans"] == sum(o["count"] for o in line["operations"])
    for o in nginx:
        assert o["name"] == "GET /live" and o["inferred"] and o["errors"] == 0
        assert 0 < int(o["p50_nano"]) <= int(o["p99_nano"]) <= int(o["max_nano"])
    assert not list(temporary.iterdir())


def test_of_a_store(tmp_path):
    """Protects: what was in the store before is not counted as if it was now; what is added is."""
    server, store = servers.Nginx(tmp_path), tmp_path / "store"
    run = trace_scene(tmp_path, [server], [["curl", "-s", "-o", "/dev/null", server.url("/old")]], options=["--store", store])
    assert len(run.spans) == 2
    again = servers.Nginx(tmp_path)
    load = ["curl", "-s", "--rate", "20/s", "-o", "/dev/null", again.url("/new?n=[1-400]")]
    sonde = start_trace(write_scene(tmp_path / "again", [again], [load]), tmp_path, options=["--store", store])
    wait_for(lambda: again.logged() > 5, "it goes on")
    top = subprocess.Popen([SONDE, "top", "--store", store, "--interval", "0.5", "--json"], stdout=subprocess.PIPE, text=True)
    try:
        seen, end = [], time.monotonic() + 60
        while sum(o["count"] for o in seen) < 20 and time.monotonic() < end:
            seen += json.loads(top.stdout.readline())["operations"]
        assert {(o["service"], o["name"], o["kind"]) for o in seen} == {("nginx", "GET /new", "server"), ("curl", "GET /new", "client")}
        assert 20 <= sum(o["count"] for o in seen) < 800
    finally:
        top.terminate()
        assert top.wait(20) == 0
        harness.finish(sonde)


def test_map_of_a_store(tmp_path):
    """Protects: callers and what they call, as text and as JSON; what is not traced by its address."""
    server, store = servers.Nginx(tmp_path), tmp_path / "store"
    trace_scene(tmp_path, [server], [["curl", "-s", "-o", "/dev/null", server.url("/a"), server.url("/b")]],
                options=["--store", store])
    time.sleep(2.1)  # a call may be answered by a span that is on its way for so long: `sonde map` knows the time
    text = subprocess.run([SONDE, "map", "--store", store], capture_output=True, text=True, check=True, timeout=30).stdout
    head, row = text.splitlines()
    assert head.split()[:3] == ["CALLER", "CALLED", "CALLS"] and row.split()[:3] == ["curl", "nginx", "2"]
    answer = json.loads(subprocess.run([SONDE, "map", "--store", store, "--json", "--since", "1h"], capture_output=True, text=True,
                                       check=True, timeout=30).stdout)
    names = {n["id"]: n["name"] for n in answer["nodes"]}
    assert [(names[e["from"]], names[e["to"]], e["count"]) for e in answer["edges"]] == [("curl", "nginx", 2)]
    none = subprocess.run([SONDE, "map", "--store", store, "--errors"], capture_output=True, text=True, check=True, timeout=30)
    assert none.stdout == "" and "no failed call" in none.stderr


@pytest.mark.parametrize("options, words", [
    (["top", "--interval", "0"], "0.1"), (["top", "--count", "x"], "--count"), (["top", "extra"], "too many"),
    (["top", "--store", "x", "--port", "80"], "scope"), (["map", "--since", "yesterday"], "15m"), (["map", "extra"], "too many"),
    (["map", "--nonsense"], "unknown")])
def test_wrong_usage(options, words):
    done = subprocess.run([SONDE, *options], capture_output=True, text=True, timeout=30)
    assert done.returncode == 2 and words in done.stderr, done.stderr
