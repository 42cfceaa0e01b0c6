# SPDX-License-Identifier: Apache-2.0
"""doctor where something is missing: the right sentence and fix, never a verifier's text; and what
wrong usage gets: the right exit status with what, why and what to do."""
import json
import os
import subprocess

import pytest

import harness

VERIFIER_WORDS = ("R1=", "processed ", "insns", "invalid mem access", "libbpf:")
NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]


def run(*command, **more):
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=120, **more)


def doctor(*prefix):
    done = run(*prefix, harness.SONDE, "doctor", "--json")
    assert not any(word in done.stdout + done.stderr for word in VERIFIER_WORDS), done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert done.returncode == (0 if report["tier"] else 1)
    conditions = {c["name"]: c for c in report["conditions"]}
    tiers = {t["name"]: t for t in report["tiers"]}
    for entry in list(conditions.values()) + list(tiers.values()):
        bad = entry.get("level") in ("bad", "note") or entry.get("available") is False
        assert not bad or entry.get("text") or entry.get("why"), entry
    return report, conditions, tiers


def in_mounts(script):
    """Runs what follows in a mount namespace of its own, changed by script. After chroot the root is no mount."""
    own = "{ mount --make-rprivate / 2>/dev/null || mount --make-rprivate /sys; }"
    return ["unshare", "--mount", "--propagation", "unchanged", "sh", "-c", f'{own} && {script} && exec "$@"', "sh"]


def test_here_it_can_trace_and_says_how():
    report, conditions, tiers = doctor()
    assert report["tier"] in tiers and tiers[report["tier"]]["available"]
    assert conditions["privileges"]["level"] == "ok" and conditions["btf"]["level"] == "ok"


def test_without_root_it_names_the_capabilities():
    report, conditions, tiers = doctor(*NOBODY)
    assert report["tier"] is None
    assert "CAP_BPF" in conditions["privileges"]["text"] and "root" in conditions["privileges"]["fix"]
    assert all(not t["available"] and ("CAP_BPF" in t["why"] or t["why"]) for t in tiers.values())


def test_without_btf_it_says_which_kernel_to_use():
    report, conditions, tiers = doctor(*in_mounts("mount -t tmpfs none /sys/kernel/btf"))
    assert conditions["btf"]["level"] == "bad" and "CONFIG_DEBUG_INFO_BTF" in conditions["btf"]["fix"]
    assert report["tier"] is None
    done = run(*in_mounts("mount -t tmpfs none /sys/kernel/btf"), harness.SONDE, "trace", "--", "true")
    assert done.returncode == 125 and "BTF" in done.stderr, done.stderr


def test_without_tracefs_it_says_how_to_mount_it():
    hide = "umount -l /sys/kernel/tracing 2>/dev/null; umount -l /sys/kernel/debug 2>/dev/null; true"
    _, conditions, _ = doctor(*in_mounts(hide))
    assert conditions["tracefs"]["level"] == "note"
    assert "mount -t tracefs" in conditions["tracefs"]["fix"]


def test_paranoid_perf_is_named():
    path = "/proc/sys/kernel/perf_event_paranoid"
    before = open(path).read()
    try:
        open(path, "w").write("3")
        _, conditions, _ = doctor(*NOBODY)
    finally:
        open(path, "w").write(before)
    assert "perf_event_paranoid is 3" in conditions["perf_event_paranoid"]["text"]
    assert "sysctl" in conditions["perf_event_paranoid"]["fix"]


@pytest.mark.skipif(os.path.exists("/sys/bus/event_source/devices/kprobe"), reason="this kernel has kprobes")
def test_a_kernel_without_kprobes_is_said_so():
    _, _, tiers = doctor()
    assert not tiers["kprobe"]["available"] and "not compiled" in tiers["kprobe"]["why"]
    done = run(harness.SONDE, "trace", "--tier", "kprobe", "--", "true")
    assert done.returncode == 125 and "kprobe" in done.stderr


@pytest.mark.parametrize("arguments, status, words", [
    (["trace", "--nonsense"], 2, ["--nonsense", "--help"]),
    (["trace", "--port", "70000"], 2, ["70000", "1 to 65535"]),
    (["trace", "-p", "4194304"], 2, ["4194304"]),
    (["trace", "--duration", "soon"], 2, ["soon", "10s"]),
    (["trace", "--ring-size", "1000"], 2, ["power of two"]),
    (["trace", "--tier", "best", "--", "true"], 2, ["fentry, kprobe and socktp"]),
    (["trace", "--where", "status>>5", "--", "true"], 2, ["column"]),
    (["trace", "--otlp", "ftp://host", "--", "true"], 2, ["http://"]),
    (["trace", "--unit", "no-such-unit", "--", "true"], 2, ["no-such-unit"]),
    (["trace", "--cgroup", "/no/such", "--", "true"], 2, ["/no/such"]),
    (["trace", "--netns", "/no/such", "--", "true"], 2, ["/no/such", "No such file"]),
    (["trace", "-o", "/no/such/file", "--", "true"], 125, ["/no/such/file", "No such file"]),
    (["trace", "-u", "no-such-user", "--", "true"], 125, ["no-such-user"]),
    (["trace", "--", "/no/such/program"], 127, ["/no/such/program", "No such file"]),
    (["trace", "--", "/etc/passwd"], 126, ["/etc/passwd", "Permission denied"]),
    (["agent", "--config", "/no/such.yaml"], 2, ["/no/such.yaml"]),
    (["replay", "/etc/passwd"], 1, ["sonde record"]),
    (["replay"], 2, ["replay FILE"]),
    (["record", "--", "true"], 2, ["-o FILE"]),
    (["doctor", "--all"], 2, ["--all"]),
    (["frobnicate"], 2, ["frobnicate", "--help"]),
])
def test_wrong_usage(arguments, status, words):
    done = run(harness.SONDE, *arguments)
    assert done.returncode == status, (done.returncode, done.stderr)
    assert done.stderr.startswith("sonde") and all(w in done.stderr for w in words), done.stderr


@pytest.mark.parametrize("script, status", [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 143)])
def test_a_command_keeps_its_status(script, status):
    assert run(harness.SONDE, "trace", "-q", "--", "sh", "-c", script).returncode == status


@pytest.mark.parametrize("command", ["trace", "agent", "record", "replay", "doctor", "version"])
def test_help_teaches_by_example(command):
    done = run(harness.SONDE, command, "--help")
    assert done.returncode == 0 and done.stdout.startswith(f"usage: sonde {command}")
