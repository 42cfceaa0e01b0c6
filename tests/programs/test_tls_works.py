# SPDX-License-Identifier: Apache-2.0
"""Programs keep working while sonde hooks what they use, and lets go of it, again and again."""

import json
import os
import random
import signal
import subprocess

import tls
from harness import SONDE, free_port, listening, residuals, wait_for
from servers import HERE, go_program

CLIENTS = HERE.parent / "clients"
# `make bench-works` does a million.
REQUESTS = int(os.environ.get("SONDE_TLS_REQUESTS", "20000"))
SECONDS = 60 + REQUESTS / 500


class Program:
    """Asks and checks the answers by itself."""

    def __init__(self, folder, name, cmd, count):
        self.count, self.out, self.err = count, folder / f"{name}.out", folder / f"{name}.err"
        with open(self.out, "w") as out, open(self.err, "w") as err:
            self.process = subprocess.Popen([str(w) for w in cmd], stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        self.pid = self.process.pid

    def done(self):
        """Whether all its answers were right; fails where one was not, or it is gone before."""
        if f"right {self.count}" in self.out.read_text():
            return True
        assert self.process.poll() in (None, 0), (self.process.args, self.process.returncode, self.err.read_text()[-2000:])
        return False

    def end(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(30)


def trace(folder, pids, killed):
    """sonde comes, hooks, stays for a moment, goes; killed: as one that had no time to tidy up. True: it has hooked."""
    err = folder / "sonde.err"
    with open(err, "w") as to:
        sonde = subprocess.Popen([SONDE, "trace", "-v", "-p", ",".join(map(str, pids)), "-o", "/dev/null", "--ledger",
                                  folder / "ledger.json"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=to)
    wait_for(lambda: "is hooked" in err.read_text() or sonde.poll() is not None, "it has hooked", 60)
    try:
        # it may have hooked some and not others, or all: wherever it is, it goes
        sonde.wait(random.uniform(0, 0.7))
    except subprocess.TimeoutExpired:
        pass
    sonde.send_signal(signal.SIGKILL if killed else signal.SIGINT)
    status = sonde.wait(60)
    said = err.read_text()
    if not killed:
        assert status == 0, said
        ledger = json.loads((folder / "ledger.json").read_text())
        assert not {k: v for k, v in residuals(ledger).items() if v}, ledger
    return "is hooked" in said


def test_attached_and_detached(tmp_path):
    """Protects: what Go, Node and Java ask over TLS, from deep and growing stacks, is answered and right while sonde comes and goes."""
    folder = tls.authority()
    node_port = free_port()
    share = REQUESTS // 10
    programs = [Program(tmp_path, "go", [go_program("deep.go"), free_port(), 6 * share, folder], 6 * share),
                Program(tmp_path, "node", ["node", HERE / "deep.js", node_port, 3 * share, folder], 3 * share)]
    try:
        wait_for(lambda: listening(node_port, programs[1].pid), "Node listens")
        programs.append(Program(tmp_path, "java", ["java", "-Xshare:auto", "-Xmx128m", CLIENTS / "DeepTls.java", node_port, share,
                                                   folder / "ca.pem"], share))
        hooked, rounds, finished = 0, 0, []

        def turn():
            nonlocal hooked, rounds
            hooked += trace(tmp_path, [p.pid for p in programs if p.process.poll() is None], rounds % 3 == 2)
            rounds += 1
            finished[:] = [p for p in programs if p.done()]
            return len(finished) == len(programs)

        wait_for(turn, "all have got their answers", SECONDS)
        assert hooked >= 3
        print(f"{REQUESTS} requests, sonde came {rounds} times and hooked {hooked} times")
    finally:
        for program in programs:
            program.end()


def test_strict_seccomp(tmp_path):
    """Protects: a process that is killed for any system call but a few lives with hooks in its library."""
    program = tmp_path / "strict"
    subprocess.run(["cc", "-O1", "-o", program, HERE / "strict.c", "-lssl", "-lcrypto", "-lseccomp"], check=True)
    server = tls.NginxTls(tmp_path)
    count = 500
    with open(server.directory / "output.log", "w") as log:
        nginx = subprocess.Popen([str(w) for w in server.cmd()], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_for(lambda: listening(server.port, nginx.pid), "the server listens")
        strict = subprocess.Popen([program, str(server.port), str(count), tls.authority() / "ca.pem"], text=True,
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert strict.stdout.readline() == "ready\n", strict.stderr.read()
        with open(f"/proc/{strict.pid}/status") as f:
            assert "Seccomp:\t2" in f.read()
        err = tmp_path / "sonde.err"
        with open(err, "w") as to:
            sonde = subprocess.Popen([SONDE, "trace", "-v", "-p", str(strict.pid), "-o", tmp_path / "spans", "--ledger",
                                      tmp_path / "ledger.json"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=to)
        wait_for(lambda: "is hooked" in err.read_text() or sonde.poll() is not None, "it has hooked")
        out, said = strict.communicate("go\n", timeout=60)
        sonde.send_signal(signal.SIGINT)
        assert sonde.wait(60) == 0, err.read_text()
        assert strict.returncode == 0 and out == f"right {count}\n", (strict.returncode, out, said)
        ledger = json.loads((tmp_path / "ledger.json").read_text())
        assert ledger["exchanges"]["spans"] == count, ledger
    finally:
        nginx.terminate()
        nginx.wait(30)
