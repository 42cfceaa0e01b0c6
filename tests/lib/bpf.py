# SPDX-License-Identifier: Apache-2.0
"""What the kernel holds for BPF, and which processes are sonde's."""

import json
import os
import subprocess

from harness import wait_for


def objects():
    """{(kind, id)} of the programs, maps and links that exist now."""
    found = set()
    for kind in ("prog", "map", "link"):
        done = subprocess.run(["/usr/sbin/bpftool", "-j", kind, "list"], capture_output=True, text=True, check=True)
        found |= {(kind, entry["id"], entry.get("name", "")) for entry in json.loads(done.stdout or "[]")}
    return found


def held():
    """{(kind, id)} of the objects that some process has a descriptor of."""
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        folder = f"/proc/{pid}/fdinfo"
        try:
            for fd in os.listdir(folder):
                with open(f"{folder}/{fd}") as f:
                    for line in f:
                        kind, _, number = line.partition("_id:")
                        if kind in ("prog", "map", "link") and number:
                            found.add((kind, int(number)))
        except OSError:
            continue
    return found


def assert_nothing_left(before):
    """What came since `before` goes, or is held by a process (of another program on this machine). The
    kernel frees objects a moment after their last user has gone; what comes from now on is not ours."""
    left = objects() - before

    def gone():
        nonlocal left
        left &= objects()
        return not left or not {o for o in left if o[:2] not in held()}

    wait_for(gone, "no program, map or link is left behind", 15)


def children(pid):
    """Of all its threads, which may end meanwhile (programs are loaded by two)."""
    found = []
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return found
    for task in tasks:
        try:
            with open(f"/proc/{pid}/task/{task}/children") as f:
                found += [int(child) for child in f.read().split()]
        except OSError:
            pass
    return found


def roles(pid):
    """{role: pid} of a running sonde, by what their command lines say."""
    found = {"probe": pid}
    for child in children(pid):
        try:
            with open(f"/proc/{child}/cmdline", "rb") as f:
                words = f.read().split(b"\0")
        except OSError:
            continue
        for word in words:
            if word.startswith(b"--role="):
                found[word[7:].decode()] = child
    return found


def pss_kib(pids):
    """Proportional memory of some processes, together."""
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup") as f:
                total += sum(int(line.split()[1]) for line in f if line.startswith("Pss:"))
        except OSError:
            pass
    return total
