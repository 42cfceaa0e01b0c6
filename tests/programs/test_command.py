# SPDX-License-Identifier: Apache-2.0
"""The traced command is run as it would be without sonde, and ends sonde as it would end by itself."""

import ctypes
import json
import os
import pty
import re
import resource
import signal
import subprocess
import sys
import termios
import time

import pytest

import bpf
import servers
import terminal as terminals
from harness import PYTHON, SONDE, listeners, wait_for

# What a program can see of how it was started, but for its own and its parent's number.
LOOK = r"""
import json, os, resource, sys
def read(name):
    return open(f"/proc/self/{name}").read()
status = dict(l.split(":\t", 1) for l in read("status").splitlines() if ":\t" in l)
seen = {k: status[k] for k in ("Umask", "Uid", "Gid", "Groups", "SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt",
                               "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "TracerPid")}
fds = {}
for fd in os.listdir("/proc/self/fd"):
    try:
        fds[fd] = os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        pass  # of the listing itself
with open(sys.argv[1], "w") as to:
    json.dump({**seen, "fds": fds, "limits": [resource.getrlimit(n) for n in range(16)], "nice": os.nice(0),
               "oom": read("oom_score_adj"), "cgroup": read("cgroup"), "cwd": os.getcwd(), "env": dict(os.environ),
               "scheduler": os.sched_getscheduler(0), "cpus": sorted(os.sched_getaffinity(0)),
               "session": os.getsid(0), "personality": read("personality"),
               "namespaces": {n: os.readlink(f"/proc/self/ns/{n}") for n in os.listdir("/proc/self/ns")}}, to)
"""


def plainly():
    pass


def unusually():
    """As a shell script, a supervisor or a test runner may start it."""
    os.umask(0o027)
    os.nice(3)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGUSR1, signal.SIGTERM})
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 128))
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with open("/proc/self/oom_score_adj", "w") as f:
        f.write("7")
    for fd in (3, 7, 16, 17, 31, 40):
        os.dup2(2, fd, inheritable=True)


def closed():
    for fd in (0, 1, 2):
        os.close(fd)


@pytest.mark.parametrize("prepare", [plainly, unusually, closed], ids=lambda f: f.__name__)
def test_it_sees_what_it_would_see_alone(tmp_path, prepare):
    """Protects: descriptors, signals, limits, ids, capabilities, environment … of the traced command."""
    def look(*before):
        out = tmp_path / "seen.json"
        out.unlink(missing_ok=True)
        done = subprocess.run([*before, PYTHON, "-c", LOOK, out], stdin=subprocess.DEVNULL, preexec_fn=prepare,
                              close_fds=False, timeout=60, capture_output=prepare is not closed)
        assert done.returncode == 0, done.stderr
        return json.loads(out.read_text())

    alone = look()
    # Outputs of sonde's own must not take a place that the command was given.
    traced = look(SONDE, "trace", "-o", tmp_path / "spans.jsonl", "--ledger", tmp_path / "ledger.json", "--")
    for seen in (alone, traced):
        seen["fds"] = {fd: re.sub(r"\[\d+\]", "", to) for fd, to in seen["fds"].items()}
    assert traced == alone
    assert json.loads((tmp_path / "ledger.json").read_text())["exchanges"]["residual"] == 0


@pytest.mark.parametrize("script,status", [("exit 3", 3), ("kill -9 $$", 137), ("kill -TERM $$", 143)])
def test_children_ignored(script, status):
    """Protects: started with SIGCHLD ignored, as some supervisors do, sonde still learns how the command ended."""
    done = subprocess.run([SONDE, "trace", "--", "sh", "-c", script], timeout=60, capture_output=True,
                          preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
    assert done.returncode == status, done.stderr


def hooked(process, log):
    return wait_for(lambda: process.poll() is not None or "hooks are attached" in log.read_text(), "hooks are attached")


def bystander_trace(tmp_path, bystander, **more):
    log = tmp_path / "log"
    process = subprocess.Popen([SONDE, "trace", "-v", "-p", str(bystander.pid)], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=open(log, "w"), **more)
    hooked(process, log)
    assert process.poll() is None, log.read_text()
    return process, log


@pytest.fixture
def bystander():
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


def test_hangup_ends_a_trace(tmp_path, bystander):
    """Protects: a trace does not go on, as root and unseen, when its terminal has closed."""
    process, log = bystander_trace(tmp_path, bystander)
    process.send_signal(signal.SIGHUP)
    assert process.wait(30) == 0
    assert " spans, " in log.read_text()


def test_nohup_and_background(tmp_path, bystander):
    """Protects: what whoever started sonde had ignored (nohup, a script's background job) stays ignored."""
    def ignore():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    process, log = bystander_trace(tmp_path, bystander, preexec_fn=ignore)
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)  # comes after both
    assert process.wait(30) == 0
    pending = log.read_text()
    assert " spans, " in pending


class Terminal:
    """A session of its own on a pseudo-terminal, with a job-control shell's part played by us."""

    def __init__(self, words, tostop=False):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            signal.signal(signal.SIGTTOU, signal.SIG_IGN)
            if tostop:
                mode = termios.tcgetattr(0)
                mode[3] |= termios.TOSTOP
                termios.tcsetattr(0, termios.TCSANOW, mode)
            job = os.fork()
            if job == 0:
                os.setpgid(0, 0)
                os.tcsetpgrp(0, os.getpid())
                signal.signal(signal.SIGTTOU, signal.SIG_DFL)
                os.execv(words[0], words)
            _, status = os.waitpid(job, os.WUNTRACED)
            while os.WIFSTOPPED(status):
                os.write(1, b"[stopped]\n")
                time.sleep(0.3)
                os.kill(-job, signal.SIGCONT)
                _, status = os.waitpid(job, os.WUNTRACED)
            os.write(1, f"[ended {os.waitstatus_to_exitcode(status)}]\n".encode())
            os._exit(0)
        self.text = ""

    def read_until(self, what, seconds=30):
        end = time.monotonic() + seconds
        while what not in self.text:
            assert time.monotonic() < end, f"no {what!r} in {self.text!r}"
            try:
                self.text += os.read(self.fd, 4096).decode(errors="replace")
            except OSError:
                raise AssertionError(f"the terminal ended without {what!r}: {self.text!r}") from None
        return self.text

    def close(self):
        os.close(self.fd)
        os.waitpid(self.pid, 0)


TALKER = ("import signal, sys, time\n"
          "def told(n, f): print(f'told {signal.Signals(n).name}', flush=True)\n"
          "signal.signal(signal.SIGINT, told)\n"
          "print('ready', flush=True)\n"
          "line = sys.stdin.readline()\n"
          "print('read', line.strip(), flush=True)\n"
          "sys.exit(5)\n")


def test_a_terminal_is_the_commands(tmp_path):
    """Protects: Ctrl-C reaches the command once and leaves sonde; Ctrl-Z stops and fg continues; the command
    reads the terminal; its exit status is sonde's."""
    script = tmp_path / "talker.py"
    script.write_text(TALKER)
    terminal = Terminal([str(SONDE), "trace", "--", PYTHON, str(script)])
    terminal.read_until("ready")
    os.write(terminal.fd, b"\x03")
    terminal.read_until("told SIGINT")
    os.write(terminal.fd, b"\x1a")
    terminal.read_until("[stopped]")
    time.sleep(0.5)
    os.write(terminal.fd, b"a line\n")
    text = terminal.read_until("[ended ")
    assert "read a line" in text and "[ended 5]" in terminal.read_until("]\r\n")
    assert text.count("told SIGINT") == 1
    terminal.close()


def test_tostop(tmp_path):
    """Protects: on a terminal that stops background writers (stty tostop) spans are printed all the same."""
    server = subprocess.Popen([PYTHON, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"], cwd=tmp_path,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        port = re.search(r"port (\d+)", server.stdout.readline()).group(1)
        terminal = Terminal([str(SONDE), "trace", "--", "/usr/bin/curl", "-s", f"http://127.0.0.1:{port}/tostop"], True)
        assert "1 spans" in terminal.read_until("[ended ")
        assert "/tostop" in terminal.text
        terminal.close()
    finally:
        server.kill()
        server.wait()


def test_a_closed_terminal(tmp_path):
    """Protects: when the terminal closes, command and sonde both end, and nothing is left in the kernel."""
    before = bpf.objects()
    ended = tmp_path / "ended"
    terminal = Terminal([str(SONDE), "trace", "--", "/bin/sh", "-c",
                         f"trap 'echo yes > {ended}; exit 1' HUP; echo ready; while :; do sleep 0.1; done"])
    terminal.read_until("ready")
    terminal.close()
    wait_for(lambda: ended.exists() and ended.read_text(), "the command was told")
    bpf.assert_nothing_left(before)


def test_roles_hold_nothing_of_the_user(tmp_path):
    """Protects: no role holds the user's input; those that parse strangers' bytes hold no output but the log, and
    no variable (an API key in OTEL_EXPORTER_OTLP_HEADERS)."""
    command = subprocess.Popen([SONDE, "trace", "-o", tmp_path / "spans", "--", "sleep", "60"], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                               env={**os.environ, "OTEL_EXPORTER_OTLP_HEADERS": "api-key=secret"})
    try:
        roles = wait_for(lambda: len(r := bpf.roles(command.pid)) >= 4 and r, "all roles run")
        for name, pid in roles.items():
            if name == "probe":
                continue
            wait_for(lambda p=pid: "Seccomp:\t2" in open(f"/proc/{p}/status").read(), "in its sandbox")
            assert os.readlink(f"/proc/{pid}/fd/0") == "/dev/null", name
            assert os.getpgid(pid) == pid, name  # what the terminal says does not reach it, nor stop it
            ignored = int(re.search(r"^SigIgn:\s*(\w+)", open(f"/proc/{pid}/status").read(), re.M).group(1), 16)
            assert ignored >> (signal.SIGTTOU - 1) & 1, name
            if name == "ship":
                continue
            assert os.readlink(f"/proc/{pid}/fd/1") == "/dev/null", name
            assert b"secret" not in open(f"/proc/{pid}/environ", "rb").read(), name
    finally:
        command.terminate()
        command.communicate(timeout=30)


def test_every_role_has_a_uid_of_its_own(tmp_path):
    """Protects: two sondes at once share no uid: one's roles could send signals to the other's."""
    uids, started = [], []
    try:
        for _ in range(2):
            started.append(subprocess.Popen([SONDE, "trace", "-q", "--", "sleep", "60"]))
            roles = wait_for(lambda: len(r := bpf.roles(started[-1].pid)) >= 4 and r, "all roles run")
            for name, pid in roles.items():
                if name != "probe":
                    wait_for(lambda p=pid: "Seccomp:\t2" in open(f"/proc/{p}/status").read(), "in its sandbox")
                    uids.append(re.search(r"Uid:\t(\d+)", open(f"/proc/{pid}/status").read()).group(1))
        assert len(set(uids)) == 6, uids
    finally:
        for process in started:
            process.terminate()
            process.wait(30)


def test_a_stopped_terminal_stops_nothing_else(tmp_path):
    """Protects: somebody stops his terminal (Ctrl-S, a pager): the file goes on, and the rest is shown when he goes on."""
    server = servers.Nginx(tmp_path)
    daemon = subprocess.Popen([str(word) for word in server.cmd()])
    out = tmp_path / "out.jsonl"
    terminal = None
    try:
        wait_for(lambda: listeners(server.port), "nginx listens")
        terminal = terminals.Terminal(SONDE, "trace", "--tree", "-o", out, "--", "curl", "-s", "-o", "/dev/null", server.url("/r?n=[1-3000]"))
        # Nobody reads meanwhile what is written to the terminal.
        wait_for(lambda: out.exists() and out.read_bytes().count(b'"kind":3') == 3000, "all spans are in the file")
        assert terminal.process.poll() is None
        terminal.said(b"3000 spans, 0 lost")
        assert terminal.ended() == 0
        assert re.sub(rb"\x1b\[[0-9;]*m", b"", terminal.out).count(b"client GET /r") == 3000
    finally:
        if terminal:
            terminal.close()
        daemon.send_signal(signal.SIGQUIT)
        daemon.wait(20)
