# SPDX-License-Identifier: Apache-2.0
"""With nothing to trace nothing wakes: not a role, not a timer."""

import http.client
import os
import re
import signal
import subprocess
import time

import pytest

import bpf
from harness import PYTHON, SONDE, wait_for

IDLE_S = 10
WINDOWS = 12
PF_KTHREAD = 0x200000


def switches(pids):
    """{role: how often it gave up the processor to wait} over all its threads."""
    found = {}
    for role, pid in pids.items():
        found[role] = 0
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/status") as f:
                found[role] += int(re.search(r"^voluntary_ctxt_switches:\t(\d+)", f.read(), re.M).group(1))
    return found


def others(own):
    """What somebody else does on this machine: how many processes were started, what processor time programs took."""
    ticks = 0
    with open("/proc/stat") as f:
        processes = int(re.search(r"^processes (\d+)", f.read(), re.M).group(1))
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as f:
                fields = f.read().rpartition(")")[2].split()
        except OSError:
            continue
        if int(pid) not in own and not int(fields[6]) & PF_KTHREAD:
            ticks += int(fields[11]) + int(fields[12])
    return processes, ticks


class Idler:
    """A server, and a sonde that traces it and no one else."""

    def __init__(self, folder, command, ring):
        self.name = " ".join((command, ring)).strip()
        self.folder = folder
        folder.mkdir()
        log = folder / "server.log"
        self.server = subprocess.Popen([PYTHON, "-u", "-c", "import http.server as h, sys\n"
                                        "h.SimpleHTTPRequestHandler.protocol_version = 'HTTP/1.1'\n"
                                        "s = h.ThreadingHTTPServer(('127.0.0.1', 0), h.SimpleHTTPRequestHandler)\n"
                                        "print('port', s.server_port, flush=True)\n"
                                        "s.serve_forever(3600)\n"],
                                       stdout=open(log, "w"), stderr=subprocess.DEVNULL, cwd=folder)
        self.port = int(wait_for(lambda: re.search(r"port (\d+)", log.read_text()), "the server listens").group(1))
        more = ["--lock", folder / "lock"] if command == "agent" else []
        self.sonde = subprocess.Popen([SONDE, command, "-v", "-p", str(self.server.pid), "-o", folder / "spans", *more],
                                      stderr=open(folder / "stderr", "w"), stdin=subprocess.DEVNULL,
                                      env={**os.environ, "SONDE_RING": ring, "OTEL_TRACES_EXPORTER": "none"})

    def wait_started(self):
        wait_for(lambda: "hooks are attached" in (self.folder / "stderr").read_text(), f"{self.name}: hooks are attached")
        self.roles = wait_for(lambda: len(r := bpf.roles(self.sonde.pid)) == 4 and r, f"{self.name}: all roles run")

    def request(self):
        """One request; its connection stays open."""
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port)
        self.connection.request("GET", "/")
        self.connection.getresponse().read()
        wait_for(lambda: (self.folder / "spans").stat().st_size, f"{self.name}: its span is written")

    def stop(self):
        self.sonde.send_signal(signal.SIGTERM)
        self.sonde.wait(30)
        self.server.kill()
        self.server.wait()


@pytest.mark.parametrize("before", ["traffic", "nothing"])
def test_nothing_wakes(tmp_path, before):
    """Protects: ten seconds without traffic are ten seconds asleep, in every role; also after some traffic, with
    a connection still open. They idle side by side: one that wakes for another's sake is a fault, too."""
    idlers = []
    try:
        kinds = (("trace", ""), ("trace", "drain"), ("agent", "")) if before == "traffic" else (("agent", ""),)
        for n, (command, ring) in enumerate(kinds):
            idlers.append(Idler(tmp_path / str(n), command, ring))
        for idler in idlers:
            idler.wait_started()
            if before == "traffic":
                idler.request()

        def all_switches():
            return {idler.name: switches(idler.roles) for idler in idlers}

        # Batches, timers of the request that has ended, what follows a start: until they are over.
        quiet = [all_switches()]
        wait_for(lambda: (quiet.append(all_switches()), time.sleep(3), quiet[-1] == all_switches())[-1],
                 "they come to rest", 60)
        # Whatever anybody on this machine starts or maps to execute wakes probe: such seconds say nothing.
        own = {os.getpid(), *(pid for idler in idlers for pid in (idler.server.pid, *idler.roles.values()))}
        for _ in range(WINDOWS):
            before_us, start = others(own), all_switches()
            time.sleep(IDLE_S)
            woken = {name: {role: n - start[name][role] for role, n in roles.items() if n != start[name][role]}
                     for name, roles in all_switches().items()}
            if not any(woken.values()) or others(own) == before_us:
                break
        assert not any(woken.values()), f"{woken}; others, before and behind: {before_us}, {others(own)}"
    finally:
        for idler in idlers:
            idler.stop()
