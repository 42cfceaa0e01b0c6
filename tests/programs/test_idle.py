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


def switches(pids):
    """{role: how often it gave up the processor to wait} over all its threads."""
    found = {}
    for role, pid in pids.items():
        found[role] = 0
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/status") as f:
                found[role] += int(re.search(r"^voluntary_ctxt_switches:\t(\d+)", f.read(), re.M).group(1))
    return found


@pytest.mark.parametrize("command,ring,before", [("trace", "", "traffic"), ("trace", "drain", "traffic"),
                                                 ("agent", "", "nothing"), ("agent", "", "traffic")])
def test_nothing_wakes(tmp_path, command, ring, before):
    """Protects: ten seconds without traffic are ten seconds asleep, in every role; also after some traffic, with
    a connection still open."""
    log = tmp_path / "server.log"
    server = subprocess.Popen([PYTHON, "-u", "-c", "import http.server as h, sys\n"
                               "h.SimpleHTTPRequestHandler.protocol_version = 'HTTP/1.1'\n"
                               "s = h.ThreadingHTTPServer(('127.0.0.1', 0), h.SimpleHTTPRequestHandler)\n"
                               "print('port', s.server_port, flush=True)\n"
                               "s.serve_forever(3600)\n"],
                              stdout=open(log, "w"), stderr=subprocess.DEVNULL, cwd=tmp_path)
    port = int(wait_for(lambda: re.search(r"port (\d+)", log.read_text()), "the server listens").group(1))
    more = ["--lock", tmp_path / "lock"] if command == "agent" else []
    sonde = subprocess.Popen([SONDE, command, "-v", "-p", str(server.pid), "-o", tmp_path / "spans", *more],
                             stderr=open(tmp_path / "stderr", "w"), stdin=subprocess.DEVNULL,
                             env={**os.environ, "SONDE_RING": ring, "OTEL_TRACES_EXPORTER": "none"})
    try:
        wait_for(lambda: "hooks are attached" in (tmp_path / "stderr").read_text(), "hooks are attached")
        roles = wait_for(lambda: len(r := bpf.roles(sonde.pid)) == 4 and r, "all roles run")
        connection = http.client.HTTPConnection("127.0.0.1", port)
        if before == "traffic":
            connection.request("GET", "/")
            connection.getresponse().read()
            wait_for(lambda: (tmp_path / "spans").stat().st_size, "its span is written")
        # Batches, timers of the request that has ended, what follows a start: until they are over.
        quiet = [switches(roles)]
        wait_for(lambda: (quiet.append(switches(roles)), time.sleep(3), quiet[-1] == switches(roles))[-1],
                 "it comes to rest", 60)
        start = switches(roles)
        time.sleep(IDLE_S)
        assert {role: n - start[role] for role, n in switches(roles).items()} == {role: 0 for role in roles}
        connection.close()
    finally:
        sonde.send_signal(signal.SIGTERM)
        sonde.wait(30)
        server.kill()
        server.wait()
