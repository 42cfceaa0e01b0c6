# SPDX-License-Identifier: Apache-2.0
"""What this machine says of processes and programs: time on the processor, memory, maps, hits."""

import os
import pathlib
import re
import statistics
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

from bpf import children, pss_kib, roles as role_pids  # noqa: E402
from harness import wait_for  # noqa: E402

STATISTICS = "/proc/sys/kernel/bpf_stats_enabled"


def tree(pid):
    return [pid] + [q for p in children(pid) for q in tree(p)]


def cpu_ns(pid):
    """By the process's own clock, in ns (clock_getcpuclockid(3): its number is made of the pid); 0: it has ended."""
    try:
        return time.clock_gettime_ns((~pid << 3) | 2)
    except OSError:
        return 0


def switches(pid):
    """How often the threads of a process have given up the processor, or been put off it."""
    total = 0
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/status") as f:
                total += sum(map(int, re.findall(r"ctxt_switches:\t(\d+)", f.read())))
    except OSError:
        pass
    return total


def pss_bytes(pids):
    return pss_kib(pids) * 1024


def bpf_descriptors(pids, *words):
    """What the kernel says of each descriptor of these processes that has all the words."""
    for pid in pids:
        base = f"/proc/{pid}/fdinfo"
        for fd in os.listdir(base):
            try:
                with open(f"{base}/{fd}") as f:
                    text = f.read()
            except OSError:
                continue
            said = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
            if all(word in said for word in words):
                yield said


def map_bytes(pids):
    return sum({int(f["map_id"]): int(f["memlock"]) for f in bpf_descriptors(pids, "map_id", "memlock")}.values())


class Programs:
    """The programs that a process holds: their hits and time so far, while the kernel counts them."""

    def __init__(self, pid):
        self.paths = []
        base = f"/proc/{pid}/fdinfo"
        seen = set()
        for fd in os.listdir(base):
            try:
                with open(f"{base}/{fd}") as f:
                    text = f.read()
            except OSError:  # it was for loading
                continue
            said = re.search(r"^prog_id:\s*(\d+)", text, re.M)
            if said and "run_cnt" in text and said[1] not in seen:
                seen.add(said[1])
                self.paths.append(f"{base}/{fd}")

    def read(self):
        """(hits, ns)"""
        hits = ns = 0
        for path in self.paths:
            with open(path) as f:
                text = f.read()
            hits += int(re.search(r"run_cnt:\s*(\d+)", text)[1])
            ns += int(re.search(r"run_time_ns:\s*(\d+)", text)[1])
        return hits, ns


class Statistics:
    """The kernel counts hits and their time within; it slows every program while it does."""

    def __enter__(self):
        with open(STATISTICS) as f:
            self.before = f.read()
        with open(STATISTICS, "w") as f:
            f.write("1")
        return self

    def __exit__(self, *_):
        with open(STATISTICS, "w") as f:
            f.write(self.before)


class Peak:
    """The most that a function said while it was asked every so often."""

    def __init__(self, function, every=0.3):
        self.function, self.every, self.most = function, every, 0

    def __enter__(self):
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()
        return self

    def watch(self):
        while not self.ended.wait(self.every):
            self.most = max(self.most, self.function())

    def __exit__(self, *_):
        self.most = max(self.most, self.function())
        self.ended.set()
        self.thread.join()


def residuals(ledger):
    return sum(abs(part["residual"]) for part in
               [ledger["records"], ledger["bytes"], ledger["exchanges"], *ledger["sinks"].values()])


median = statistics.median
