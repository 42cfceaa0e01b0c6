# SPDX-License-Identifier: Apache-2.0
"""The deterministic script of the kernel matrix, natively, under every tier that this kernel has."""

import subprocess
import sys

import pytest

from harness import ROOT, SONDE, losses, residuals, sonde_trace

TIERS = ["kprobe", "fentry", "socktp"]
# Where every exchange is to be a span, a busy machine must not lose records for want of room.
ROOMY = ["--ring-size", "4m"]


@pytest.fixture(scope="session")
def guest():
    """peer and spans, the programs of tests/vm/guest."""
    sys.path.insert(0, str(ROOT / "tests/vm"))
    import matrix

    matrix.build_guest()
    return matrix.GUEST


def traced(tier, tmp_path, cmd, options=()):
    run = sonde_trace(["sh", "-c", cmd], tmp_path, ["--tier", tier, *options])
    if run.returncode == 125:
        pytest.skip(f"this kernel has no tier {tier}: {run.stderr.strip().splitlines()[-1][:100]}")
    assert run.returncode == 0, run.stderr[-2000:]
    assert not [v for v in residuals(run.ledger).values() if v], run.ledger
    return run


def judge(guest, *words):
    done = subprocess.run([guest / "spans", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.parametrize("tier", TIERS)
def test_script(tier, guest, tmp_path):
    """Protects: every way of reading and writing, TCP over IPv4 and IPv6 and Unix; the same spans under
    each tier, and what a tier cannot see is `unseen` by its reason."""
    run = traced(tier, tmp_path, f"{guest}/peer script >{tmp_path}/expected", ROOMY)
    judge(guest, "expect", tmp_path / "expected", run.directory / "out.jsonl", run.directory / "ledger.json")


@pytest.mark.parametrize("family", ["tcp", "unix"])
@pytest.mark.parametrize("tier", TIERS)
def test_blocked(tier, family, guest, tmp_path):
    """Protects: 40 threads blocked in read lose no receive."""
    run = traced(tier, tmp_path, f"{guest}/peer blocked 40 1000 {family} >{tmp_path}/expected", ROOMY)
    judge(guest, "expect", tmp_path / "expected", run.directory / "out.jsonl", run.directory / "ledger.json")


@pytest.mark.parametrize("how", ["byte", "close"])
@pytest.mark.parametrize("family", ["tcp4", "unix"])
@pytest.mark.parametrize("tier", TIERS)
def test_short(tier, family, how, guest, tmp_path):
    """Protects: heads that are read a byte a call, and bodies that end with their connection."""
    run = traced(tier, tmp_path, f"{guest}/peer short 200 {family} {how} >{tmp_path}/expected", ["--ring-size", "16m"])
    judge(guest, "expect", tmp_path / "expected", run.directory / "out.jsonl", run.directory / "ledger.json")


@pytest.mark.parametrize("tier", TIERS)
def test_many_unix(tier, guest, tmp_path):
    """Protects: what the kernel side keeps of a Unix connection goes with it, also where no hook tells
    of its end: three times as many connections as there are slots."""
    run = traced(tier, tmp_path, f"{guest}/peer short 100000 unix >/dev/null", ["--ring-size", "64m"])
    assert run.ledger["exchanges"]["spans"] == 200000, run.ledger
    assert run.ledger["links"]["edge"] == 100000, run.ledger
    assert not run.ledger["state"], run.ledger


@pytest.mark.parametrize("tier", TIERS)
def test_busy(tier, guest, tmp_path):
    """Protects: no torn and no foreign payload from 8 busy processes; misses and losses are counted."""
    run = traced(tier, tmp_path, f"{guest}/peer busy 4 2500")
    judge(guest, "busy", "4", "2500", run.directory / "out.jsonl", run.directory / "ledger.json")


@pytest.mark.parametrize("tier", TIERS)
def test_small_ring(tier, guest, tmp_path):
    """Protects: with a ring of 64 KiB every loss is counted under its reason."""
    run = traced(tier, tmp_path, f"{guest}/peer busy 4 10000", ["--ring-size", 65536])
    judge(guest, "busy", "4", "10000", run.directory / "out.jsonl", run.directory / "ledger.json")
    if losses(run.ledger):
        assert "lost" in run.stderr


def test_default_tier_is_said(guest, tmp_path):
    """Protects: without --tier the best that works is taken and named in the account."""
    run = sonde_trace([guest / "peer", "blocked", "1", "10"], tmp_path).check()
    assert run.ledger["tier"] in TIERS
    assert SONDE.exists()
