# SPDX-License-Identifier: Apache-2.0
"""Files that sonde writes as root: nobody's trap, and nobody else's to read."""

import fcntl
import os
import stat
import subprocess

import pytest

from harness import SONDE

SOMEBODY = 4321


@pytest.fixture
def bystander():
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


def agent(lock, bystander, *options, seconds="0.2"):
    return subprocess.run([SONDE, "agent", "-p", str(bystander.pid), "--lock", lock, "--duration", seconds, *options],
                          env={**os.environ, "OTEL_TRACES_EXPORTER": "none"}, capture_output=True, text=True, timeout=60)


def test_a_lock_is_no_trap(tmp_path, bystander):
    """Protects: a lock's name that is a link, a FIFO or somebody's file is refused; what it leads to stays as it is."""
    precious = tmp_path / "precious"
    precious.write_text("precious")
    link, fifo, foreign = tmp_path / "link", tmp_path / "fifo", tmp_path / "foreign"
    link.symlink_to(precious)
    os.mkfifo(fifo)
    foreign.write_text("")
    os.chown(foreign, SOMEBODY, SOMEBODY)
    for lock in (link, fifo, foreign):
        done = agent(lock, bystander)
        assert done.returncode == 1 and "cannot open the lock" in done.stderr, (lock, done.stderr)
    assert precious.read_text() == "precious"


def test_a_lock_is_not_for_everybody(tmp_path, bystander):
    """Protects: an ordinary user can neither keep the agent from running nor name a victim for --replace."""
    lock = tmp_path / "lock"
    assert agent(lock, bystander).returncode == 0
    assert stat.S_IMODE(lock.stat().st_mode) == 0o600
    lock.write_text(f"{bystander.pid}\n")
    os.chmod(lock, 0o644)
    with open(lock) as held:  # all that whoever may only read it can do
        fcntl.flock(held, fcntl.LOCK_EX)
        done = agent(lock, bystander, "--replace")
    assert done.returncode == 0, done.stderr
    assert bystander.poll() is None


def test_a_recording_is_the_owners(tmp_path):
    """Protects: requests' heads, credentials included, do not land in a file that others may read."""
    there = tmp_path / "there"
    there.write_text("longer than what was there before, which must go: " + "x" * 100000)
    os.chmod(there, 0o644)
    done = subprocess.run([SONDE, "record", "-o", there, "--", "true"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert stat.S_IMODE(there.stat().st_mode) == 0o600
    assert subprocess.run([SONDE, "replay", there], timeout=60).returncode == 0
    os.chmod(there, 0o644)
    os.chown(there, SOMEBODY, SOMEBODY)
    done = subprocess.run([SONDE, "record", "-o", there, "--", "true"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 125 and "belongs to somebody else" in done.stderr
