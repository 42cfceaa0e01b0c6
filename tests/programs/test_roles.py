# SPDX-License-Identifier: Apache-2.0
"""The sandboxes: what each role holds while it works, and what it is refused when it tries more."""
import os
import pathlib
import re
import signal
import subprocess

import pytest

import bpf
import harness

FORBIDDEN_UIDS = {0, 65534}


def status_of(pid):
    return dict(line.split(":\t", 1) for line in
                pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)


def roles_of(pid):
    """{name: pid} of the roles below a running sonde."""
    roles = {}
    for child in bpf.children(pid):
        try:
            name = pathlib.Path(f"/proc/{child}/comm").read_text().strip()
        except OSError:
            continue
        if name.startswith("sonde-"):
            roles[name[len("sonde-"):]] = child
    return roles


@pytest.fixture
def running(tmp_path):
    """A sonde that traces a sleeping command of ours."""
    process = subprocess.Popen([harness.SONDE, "trace", "-o", tmp_path / "spans.jsonl", "--", "sleep", "60"],
                               stderr=subprocess.PIPE, text=True)
    roles = harness.wait_for(lambda: (r := roles_of(process.pid)) and len(r) >= 2 and r, "both roles run")
    harness.wait_for(lambda: all(status_of(p)["Seccomp"].strip() == "2" for p in roles.values()),
                     "both roles are in their sandboxes")
    yield process, roles
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)


@pytest.mark.parametrize("role", ["trace", "ship", "inspect", "read", "serve", "receive"])
def test_a_role_cannot_leave_its_sandbox(role):
    uid = 61184 + 77
    done = subprocess.run([harness.SONDE, f"--escape={role}", str(uid)], capture_output=True, text=True)
    assert "NOT REFUSED" not in done.stdout, done.stdout
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^capabilities +0$", done.stdout, re.M)
    assert re.search(rf"^uid +{uid}$", done.stdout, re.M)
    refused = re.findall(r"^(.*?) +refused: ", done.stdout, re.M)
    assert {"bpf", "ptrace", "exec", "fork", "setuid 0", "open /etc/shadow", "write a file"} <= set(refused)
    if role != "ship":
        assert {"open /etc/passwd", "socket"} <= set(refused)


def test_roles_at_work_hold_nothing(running):
    _, roles = running
    assert {"trace", "ship"} <= set(roles)
    uids = set()
    for name, pid in roles.items():
        status = status_of(pid)
        uid = {int(u) for u in status["Uid"].split()}
        assert len(uid) == 1 and not uid & FORBIDDEN_UIDS, (name, uid)
        uids |= uid
        for caps in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(status[caps], 16) == 0, (name, caps, status[caps])
        assert status["NoNewPrivs"].strip() == "1", name
        assert status["Seccomp"].strip() == "2", name
        assert status["Groups"].strip() == "", (name, status["Groups"])
    assert len(uids) == len(roles), "every role has a uid of its own"


def test_trace_holds_only_what_it_was_given(running):
    """No program, no link: the maps that it reads by mmap, sockets, shared memory, its own epoll."""
    _, roles = running
    base = pathlib.Path(f"/proc/{roles['trace']}/fd")
    for fd in base.iterdir():
        what = os.readlink(fd)
        if int(fd.name) <= 2:
            continue
        assert re.match(r"anon_inode:(bpf-map|\[eventpoll\]|\[eventfd\])|socket:|/memfd:", what), (fd.name, what)


def test_ship_holds_no_map_and_no_program(running):
    _, roles = running
    for fd in pathlib.Path(f"/proc/{roles['ship']}/fd").iterdir():
        assert "bpf" not in os.readlink(fd), os.readlink(fd)


def test_roles_are_limited(running):
    """Protects: no role leaves a core file with payload; a hostile executable cannot make inspect eat the memory."""
    process, _ = running
    roles = harness.wait_for(lambda: len(r := roles_of(process.pid)) == 3 and r, "all roles run")
    for name, pid in roles.items():
        harness.wait_for(lambda p=pid: status_of(p)["Seccomp"].strip() == "2", "it is in its sandbox")
        limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
        assert re.search(r"^Max core file size +0 +0 ", limits, re.M), name
        if name == "inspect":
            assert re.search(rf"^Max address space +{128 << 20} +{128 << 20} ", limits, re.M)


CAPABILITIES = {"DAC_READ_SEARCH": 2, "KILL": 5, "SETGID": 6, "SETUID": 7, "SETPCAP": 8, "SYS_CHROOT": 18, "SYS_PTRACE": 19,
                "SYS_ADMIN": 21, "SYS_RESOURCE": 24, "PERFMON": 38, "BPF": 39, "CHECKPOINT_RESTORE": 40}


def test_probe_keeps_what_the_unit_file_gives(running):
    """Protects: probe itself holds no capability beyond those that it was built to need, the same as the unit's."""
    process, _ = running
    may = sum(1 << number for number in CAPABILITIES.values())
    unit = (harness.ROOT / "deploy/sonde.service").read_text()
    named = re.search(r"^CapabilityBoundingSet=(.*)$", unit, re.M).group(1).split()
    assert {name.removeprefix("CAP_") for name in named} == set(CAPABILITIES) | {"CHOWN"}  # the last one for the start alone

    def limited():
        status = status_of(process.pid)
        return all(int(status[caps], 16) & ~may == 0 for caps in ("CapInh", "CapPrm", "CapEff", "CapBnd"))

    harness.wait_for(limited, "probe gives up what it does not need")


def test_a_role_that_dies_comes_back_with_that(running):
    """Protects: what probe has kept is enough to start each role again, in its sandbox."""
    process, roles = running
    for name, pid in roles.items():
        os.kill(pid, signal.SIGKILL)
        if name == "inspect":
            continue  # it comes back when an executable is to be looked at
        now = harness.wait_for(lambda n=name, p=pid: (r := roles_of(process.pid).get(n, p)) != p and r, f"{name} is back")
        harness.wait_for(lambda p=now: status_of(p)["Seccomp"].strip() == "2", "it is in its sandbox")
        assert int(status_of(now)["CapBnd"], 16) == 0
