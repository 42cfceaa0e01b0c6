# SPDX-License-Identifier: Apache-2.0
"""What the kernel holds for BPF, and which processes are sonde's."""

import ctypes
import errno
import os

from harness import wait_for


SYS_BPF = {"x86_64": 321, "aarch64": 280}[os.uname().machine]
NEXT_ID = {"prog": 11, "map": 12, "link": 31}  # BPF_*_GET_NEXT_ID of linux/bpf.h


def objects():
    """{(kind, id)} of the programs, maps and links that exist now.

    Their numbers are asked for and nothing is opened: who takes a descriptor of a map of programs (as bpftool
    does for its list) and gives it back right after its last owner has gone makes the kernel leak the map, as
    prog_array_map_clear() counts up for work that is under way already (seen on 6.18).
    """
    libc = ctypes.CDLL(None, use_errno=True)
    found = set()
    for kind, command in NEXT_ID.items():
        attr = (ctypes.c_uint32 * 3)()  # start_id, next_id, open_flags
        while libc.syscall(SYS_BPF, command, attr, ctypes.sizeof(attr)) == 0:
            attr[0] = attr[1]
            found.add((kind, attr[1]))
        assert ctypes.get_errno() == errno.ENOENT, os.strerror(ctypes.get_errno())
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
        return not left or not left - held()

    try:
        wait_for(gone, "no program, map or link is left behind", 15)
    except AssertionError as e:
        raise AssertionError(f"{e}: {sorted(left)}") from None


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
