# SPDX-License-Identifier: Apache-2.0
"""Whatever of sonde dies: traced programs keep serving, nothing is left in the kernel, losses are counted."""

import json
import os
import re
import shlex
import signal
import subprocess
import time

import pytest

import bpf
import servers
from harness import SONDE, finish, residuals, scene_results, start_trace, wait_for, write_scene


def begin(tmp_path, seconds=4):
    """A trace of nginx under wrk; returns once spans come out."""
    server = servers.Nginx(tmp_path)
    wrk = ["wrk", "-t1", "-c8", f"-d{seconds}s", server.url("/wrk")]
    sonde = start_trace(write_scene(tmp_path, [server], [wrk]), tmp_path)
    out = tmp_path / "out.jsonl"
    wait_for(lambda: sonde.poll() is not None or out.exists() and out.stat().st_size > 0, "spans come out")
    assert sonde.poll() is None, (tmp_path / "sonde.stderr").read_text()[-2000:]
    return sonde, server


def requests_of(run):
    out = run.results[0]["stdout"]
    assert "Socket errors" not in out and "Non-2xx" not in out, out
    return int(re.search(r"(\d+) requests in", out).group(1))


@pytest.mark.parametrize("victims", [["trace"], ["ship"], ["trace", "ship"]], ids="-".join)
def test_role_is_back(tmp_path, victims):
    """Protects: a killed trace or ship is back within a second, under load; its loss is counted."""
    before = bpf.objects()
    sonde, server = begin(tmp_path)
    old = bpf.roles(sonde.pid)
    for victim in victims:
        os.kill(old[victim], signal.SIGKILL)
    killed = time.monotonic()
    for victim in victims:
        wait_for(lambda v=victim: bpf.roles(sonde.pid).get(v, old[v]) != old[v], f"{victim} is back", 5)
    assert time.monotonic() - killed < 1.0
    size = (tmp_path / "out.jsonl").stat().st_size
    wait_for(lambda: (tmp_path / "out.jsonl").stat().st_size > size, "spans go on")
    run = scene_results(finish(sonde), [server])
    assert run.returncode == 0, run.stderr[-2000:]
    assert server.logged() >= requests_of(run) > 0
    assert not [v for v in residuals(run.ledger).values() if v], json.dumps(run.ledger)
    # What was in hand is in the account, or it would not balance; at the moment of a kill that may be nothing.
    assert "restart" in run.stderr or "died" in run.stderr or "killed" in run.stderr
    bpf.assert_nothing_left(before)


def test_probe_killed(tmp_path):
    """Protects: with probe itself killed, its roles end, the traced programs go on to their own end,
    and no program, map or link stays."""
    before = bpf.objects()
    sonde, server = begin(tmp_path)
    everyone = bpf.roles(sonde.pid)
    sonde.kill()
    sonde.wait()
    wait_for(lambda: not [p for r, p in everyone.items() if r != "probe" and alive(p)], "the roles end", 5)
    bpf.assert_nothing_left(before)
    # The scene was a child of sonde: it goes on, and says so.
    wait_for(lambda: (tmp_path / "results.json").exists() and (tmp_path / "results.json").stat().st_size, "the load ends")
    result = json.loads((tmp_path / "results.json").read_text())["clients"][0]
    assert result["rc"] == 0 and "Socket errors" not in result["stdout"]
    assert server.logged() > 0


def test_all_killed(tmp_path):
    """Protects: every process of sonde killed at once leaves nothing."""
    before = bpf.objects()
    sonde, _ = begin(tmp_path)
    for pid in bpf.roles(sonde.pid).values():
        os.kill(pid, signal.SIGKILL)
    sonde.wait()
    bpf.assert_nothing_left(before)
    wait_for(lambda: (tmp_path / "results.json").exists() and (tmp_path / "results.json").stat().st_size, "the load ends")
    assert json.loads((tmp_path / "results.json").read_text())["clients"][0]["rc"] == 0


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGSTOP])
def test_inspect_is_back(sign, tmp_path):
    """Protects: inspect that died, or stood still over an executable, is there again for it."""
    before = bpf.objects()
    server = servers.Go(tmp_path)
    scene = write_scene(tmp_path, [server], [["curl", "-sS", server.url("/a")]])
    sonde = start_trace(["sh", "-c", f"while [ ! -e {tmp_path}/go ]; do sleep 0.1; done; exec {shlex.join(scene)}"], tmp_path)
    old = wait_for(lambda: bpf.roles(sonde.pid).get("inspect"), "inspect runs")
    os.kill(old, sign)
    (tmp_path / "go").touch()
    run = scene_results(finish(sonde), [server]).check()
    spans = run.kind("SERVER", server.pids)
    assert [s.resource["telemetry.sdk.language"] for s in spans] == ["go"]
    bpf.assert_nothing_left(before)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def agent(tmp_path, name, pid, *options):
    """An agent scoped to one process of ours, with a lock of its own."""
    log = open(tmp_path / f"{name}.stderr", "w")
    return subprocess.Popen(
        [SONDE, "agent", "-p", str(pid), "--lock", tmp_path / "lock", "-o", tmp_path / f"{name}.jsonl",
         "--ledger", tmp_path / f"{name}.json", *options],
        stdout=log, stderr=log, env={**os.environ, "OTEL_TRACES_EXPORTER": "none"},
    )


def test_one_agent(tmp_path):
    """Protects: a second agent refuses and names the first; --replace takes over; nothing is left."""
    before = bpf.objects()
    bystander = subprocess.Popen(["sleep", "600"])
    started = []
    try:
        first = agent(tmp_path, "first", bystander.pid)
        started.append(first)
        wait_for(lambda: first.poll() is not None or "trace" in bpf.roles(first.pid), "the first agent runs")
        second = agent(tmp_path, "second", bystander.pid)
        started.append(second)
        assert second.wait(20) == 1
        assert str(first.pid) in (tmp_path / "second.stderr").read_text()
        assert first.poll() is None
        third = agent(tmp_path, "third", bystander.pid, "--replace")
        started.append(third)
        assert first.wait(20) == 0
        wait_for(lambda: third.poll() is not None or "trace" in bpf.roles(third.pid), "the third agent runs")
        assert third.poll() is None, (tmp_path / "third.stderr").read_text()
        third.terminate()
        assert third.wait(20) == 0
    finally:
        for process in [*started, bystander]:
            if process.poll() is None:
                process.kill()
                process.wait()
    bpf.assert_nothing_left(before)
