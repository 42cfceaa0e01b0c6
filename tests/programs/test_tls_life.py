# SPDX-License-Identifier: Apache-2.0
"""Files with functions of TLS libraries and the processes that map them come and go: hooks come and go with them."""

import json
import os
import pathlib
import shlex
import shutil
import signal
import struct
import subprocess

import pytest

import bpf
import tls
from harness import PYTHON, SONDE, listening, parse_spans, residuals, wait_for
from servers import HERE, go_program

CLIENTS = HERE.parent / "clients"
COUNT = 20
CHUNK = 1 << 16


def ca():
    return tls.authority() / "ca.pem"


def real_library():
    found = subprocess.run(["ldconfig", "-p"], check=True, capture_output=True, text=True).stdout
    return next(line.split()[-1] for line in found.splitlines() if "libssl.so.3 " in line)


def own_library(folder):
    """A copy of libssl, a file that nobody else has; its path."""
    folder.mkdir(parents=True)
    return pathlib.Path(shutil.copy(real_library(), folder / "libssl.so.3"))


class Runner:
    """A shell that starts what it is told to; everything in it is in scope when it is."""

    def __init__(self, folder):
        self.folder, self.n = folder, 0
        self.process = subprocess.Popen(["bash", "-s"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
                                        stderr=open(folder / "runner.err", "a"))
        self.pid = self.process.pid

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def start(self, cmd, env=None, files=""):
        """Its pid."""
        self.n += 1
        told = self.folder / f"pid-{self.n}"
        words = " ".join(f"{k}={shlex.quote(str(v))}" for k, v in (env or {}).items())
        self.say(f"{words} {' '.join(shlex.quote(str(c)) for c in cmd)} {files or '</dev/null'} & "
                 f"echo $! >{told}.new; mv {told}.new {told}")
        return int(wait_for(lambda: told.exists() and told.read_text(), "it is started"))

    def run(self, cmd, env=None):
        """Waits for it."""
        pid = self.start(cmd, env)
        wait_for(lambda: ended(pid), f"{cmd} ends", 60)

    def end(self):
        self.process.stdin.close()
        self.process.terminate()
        self.process.wait(30)


def ended(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


class Turns:
    """tls_turns.py below a runner, which asks when it is told to."""

    def __init__(self, runner, server, env=None, wrap=()):
        self.fifo = runner.folder / f"turns-{runner.n}"
        self.out = pathlib.Path(f"{self.fifo}.out")
        self.asked = 0
        os.mkfifo(self.fifo)
        self.out.touch()
        self.pid = runner.start([*wrap, PYTHON, CLIENTS / "tls_turns.py", server.port, ca()], env,
                                f"<{self.fifo} >{self.out}")
        self.stdin = open(self.fifo, "w")

    def ask(self, path):
        self.asked += 1
        self.stdin.write(path + "\n")
        self.stdin.flush()
        wait_for(lambda: self.out.read_text().count("hello") >= self.asked, f"the answer to {path}")

    def end(self):
        self.stdin.close()
        wait_for(lambda: ended(self.pid), "it ends")


class Watching:
    """`sonde trace -p`."""

    started = []

    def __init__(self, folder, pids):
        self.folder, self.err = folder, folder / "watching.err"
        with open(self.err, "w") as err:
            self.process = subprocess.Popen(
                [SONDE, "trace", "-v", "-p", ",".join(map(str, pids)), "-o", folder / "watching.jsonl", "--ledger",
                 folder / "watching.json"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=err)
        self.started.append(self.process)
        self.said("hooks are attached")

    def said(self, what, count=1):
        wait_for(lambda: self.times(what) >= count or self.process.poll() is not None, f"{count} times: {what}", 60)
        assert self.process.poll() is None, self.err.read_text()

    def times(self, what):
        return self.err.read_text().count(what)

    def hooked(self, count=1):
        self.said("is hooked", count)

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def end(self):
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(60) == 0, self.err.read_text()
        ledger = json.loads((self.folder / "watching.json").read_text())
        assert not {k: v for k, v in residuals(ledger).items() if v}, ledger
        return parse_spans((self.folder / "watching.jsonl").read_text()), ledger


@pytest.fixture
def runner(tmp_path):
    runner = Runner(tmp_path)
    yield runner
    runner.end()
    while Watching.started:
        process = Watching.started.pop()
        if process.poll() is None:  # the test has failed
            process.terminate()
            process.wait(60)


@pytest.fixture
def server(tmp_path):
    """nginx, in nobody's scope."""
    server = tls.NginxTls(tmp_path)
    with open(server.directory / "output.log", "w") as log:
        process = subprocess.Popen([str(w) for w in server.cmd()], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_for(lambda: listening(server.port, process.pid), "the server listens")
        yield server
    finally:
        process.terminate()
        process.wait(30)


def paths(spans, kind="CLIENT"):
    return sorted(s.path for s in spans if s.kind == kind)


def test_let_go(tmp_path, runner, server):
    """Protects: a library that nobody in scope has mapped any more gives its hooks back, and is hooked again when it is used."""
    env = {"LD_LIBRARY_PATH": own_library(tmp_path / "lib").parent}
    watching = Watching(tmp_path, [runner.pid])
    for turn in (1, 2):
        client = Turns(runner, server, env)
        client.ask("/before")
        watching.hooked(turn)
        with_hooks = watching.descriptors()
        for n in range(COUNT):
            client.ask(f"/turn/{turn}/{n}")
        client.end()
        watching.said("is let go", turn)
        # the link and what told of the process's end
        wait_for(lambda: watching.descriptors() <= with_hooks - 2, "descriptors are closed")
    spans, ledger = watching.end()
    asked = [p for p in paths(spans) if p != "/before"]
    assert asked == sorted(f"/turn/{turn}/{n}" for turn in (1, 2) for n in range(COUNT))
    libraries = ledger["tls"]["libraries"]
    assert libraries["hooked"] == libraries["let_go"] == 2 and libraries["hooked_now"] == 0
    assert not libraries["refused"] and not libraries["full"]


def test_kept_by_a_fork(tmp_path, runner, server):
    """Protects: a library that only children of the process that mapped it still have is not given up."""
    env = {"LD_LIBRARY_PATH": own_library(tmp_path / "lib").parent}
    watching = Watching(tmp_path, [runner.pid])
    client = Turns(runner, server, env)
    client.ask("/before")
    watching.hooked()
    client.stdin.write("fork\n")
    client.stdin.flush()
    wait_for(lambda: ended(client.pid), "the process that mapped it has ended")
    # the grace time and two listings are over when a library without anybody is let go, that ended later
    other = Turns(runner, server, {"LD_LIBRARY_PATH": own_library(tmp_path / "other").parent})
    other.ask("/before")
    watching.hooked(2)
    other.end()
    watching.said("is let go")
    for n in range(COUNT):
        client.ask(f"/child/{n}")
    client.stdin.close()
    spans, ledger = watching.end()
    assert [p for p in paths(spans) if p != "/before"] == sorted(f"/child/{n}" for n in range(COUNT))
    assert ledger["tls"]["libraries"]["hooked_now"] == 1


def test_older_children(tmp_path, runner, server):
    """Protects: what a child of a process in scope maps later, which was there before sonde came."""
    env = {"LD_LIBRARY_PATH": own_library(tmp_path / "lib").parent}
    client = Turns(runner, server, env, wrap=["bash", "-c", 'read -r line; exec "$@"', "later"])
    watching = Watching(tmp_path, [runner.pid])
    # it follows whom it finds after it has said that its hooks are attached
    other = Turns(runner, server, {"LD_LIBRARY_PATH": own_library(tmp_path / "other").parent})
    other.ask("/before")
    watching.hooked()
    client.stdin.write("go\n")
    client.ask("/before")
    watching.hooked(2)
    for n in range(COUNT):
        client.ask(f"/later/{n}")
    other.end()
    client.end()
    spans, _ = watching.end()
    assert [p for p in paths(spans) if p != "/before"] == sorted(f"/later/{n}" for n in range(COUNT))


def test_many_files(tmp_path, runner, server):
    """Protects: thousands of programs that run once leave room for one that matters."""
    files = 1100
    watching = Watching(tmp_path, [runner.pid])
    programs = tmp_path / "programs"
    programs.mkdir()
    for n in range(files):
        shutil.copy("/usr/bin/sleep", programs / f"sleep-{n}")
    # each lives for long enough to be looked at
    runner.run(["bash", "-c", f"n=0; for f in {programs}/sleep-*; do $f 1 & n=$((n + 1)); [ $((n % 100)) = 0 ] && wait; done; wait"])
    client = Turns(runner, server, {"LD_LIBRARY_PATH": own_library(tmp_path / "lib").parent})
    client.ask("/before")
    watching.hooked()
    for n in range(COUNT):
        client.ask(f"/after/{n}")
    client.end()
    spans, ledger = watching.end()
    assert [p for p in paths(spans) if p != "/before"] == sorted(f"/after/{n}" for n in range(COUNT))
    libraries = ledger["tls"]["libraries"]
    assert libraries["full"] == 0 and libraries["refused"] == 0
    assert libraries["looked_at"] > 1024


def test_upgrade(tmp_path, runner):
    """Protects: a package upgrade under a running server: the old process goes on with the old file, the next has the new."""
    library = own_library(tmp_path / "lib")
    env = {"LD_LIBRARY_PATH": library.parent}
    watching = Watching(tmp_path, [runner.pid])
    started = []
    for name in ("old", "new"):
        one = tls.NginxTls(tmp_path, workers=1)
        pid = runner.start(one.cmd(), {**one.env(), **env})
        wait_for(lambda: listening(one.port, pid), "the server listens")
        watching.hooked(len(started) + 1)
        started.append((name, one))
        if name == "old":
            shutil.copy(real_library(), f"{library}.new")
            os.rename(f"{library}.new", library)
    for n in range(COUNT):
        for name, one in started:
            subprocess.run(["curl", "-sS", "--cacert", ca(), one.url(f"/{name}/{n}")], check=True, capture_output=True)
    for _, one in started:
        wait_for(lambda: one.logged() == COUNT, "all are logged")
    spans, ledger = watching.end()
    assert paths(spans, "SERVER") == sorted(f"/{name}/{n}" for name, _ in started for n in range(COUNT))
    assert ledger["tls"]["libraries"]["let_go"] == 0


def test_deleted(tmp_path, runner):
    """Protects: a program whose file is gone when sonde comes is seen into."""
    program = shutil.copy(go_program("server.go"), tmp_path / "server")
    server = tls.GoTls(tmp_path)
    pid = runner.start([program, *server.cmd()[1:]], server.env())
    wait_for(lambda: listening(server.port, pid), "the server listens")
    os.unlink(program)
    watching = Watching(tmp_path, [pid])
    watching.hooked()
    urls = [server.url(f"/deleted/{n}") for n in range(COUNT)]
    subprocess.run(["curl", "-sS", "--cacert", ca(), *urls], check=True, capture_output=True)
    spans, _ = watching.end()
    assert paths(spans, "SERVER") == sorted(f"/deleted/{n}" for n in range(COUNT))


def test_over_too_soon(tmp_path, runner, server):
    """Protects: what a process moved before its library was hooked is counted: connections that were not seen into."""
    watching = Watching(tmp_path, [runner.pid])
    for n in range(COUNT):
        library = own_library(tmp_path / f"lib-{n}")
        runner.run(["curl", "-sS", "--cacert", ca(), server.url(f"/soon/{n}")], {"LD_LIBRARY_PATH": library.parent})
    assert server.logged() == COUNT
    spans, ledger = watching.end()
    connections = ledger["connections"]
    assert connections["tls"] == COUNT
    seen = len(paths(spans))
    assert seen <= connections["tls_seen_into"] <= COUNT
    missed = COUNT - connections["tls_seen_into"]
    assert not missed or f"{missed} of {COUNT} TLS connections were not seen into" in watching.err.read_text()


def test_many_processes(tmp_path, runner, server):
    """Protects: 500 processes with one library: hooked once, and nothing is held for each of them, during or after."""
    library = own_library(tmp_path / "lib")
    watching = Watching(tmp_path, [runner.pid])
    client = Turns(runner, server, {"LD_LIBRARY_PATH": library.parent})
    client.ask("/before")
    watching.hooked()
    descriptors, memory, links = watching.descriptors(), bpf.pss_kib([watching.process.pid]), bpf.objects()
    sleepers = tmp_path / "sleepers"
    runner.say(f"for i in $(seq 500); do LD_PRELOAD={library} sleep 1000 & echo $! >>{sleepers}; done")
    pids = wait_for(lambda: sleepers.exists() and len(p := sleepers.read_text().split()) == 500 and p, "they run", 60)
    wait_for(lambda: all(str(library) in pathlib.Path(f"/proc/{p}/maps").read_text() for p in pids), "they map it", 60)
    for n in range(COUNT):
        client.ask(f"/many/{n}")
    # it may be looking at one of them just now
    wait_for(lambda: watching.descriptors() <= descriptors, "nothing is held for each of them")
    assert bpf.pss_kib([watching.process.pid]) < memory + 4096
    assert not {o for o in bpf.objects() - links if o[0] == "link"}
    for pid in pids:
        os.kill(int(pid), signal.SIGTERM)
    client.end()
    watching.said("is let go")
    wait_for(lambda: watching.descriptors() <= descriptors - 2, "descriptors are closed")
    assert bpf.pss_kib([watching.process.pid]) < memory + 4096
    spans, ledger = watching.end()
    assert [p for p in paths(spans) if p != "/before"] == sorted(f"/many/{n}" for n in range(COUNT))
    assert ledger["tls"]["libraries"]["hooked"] == 1


CONTAINER = """
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs {root}
cd {root}
mkdir -p usr etc proc dev tmp opt/lib old .{keep}
mount --rbind /usr usr; mount --rbind /etc etc; mount --rbind /proc proc; mount --rbind /dev dev; mount --rbind /tmp tmp
mount --rbind {keep} .{keep}
for name in bin sbin lib lib64; do [ -L /$name ] && cp -a /$name . || {{ mkdir $name; mount --rbind /$name $name; }}; done
cp {library} opt/lib/libssl.so.3
pivot_root . old
umount -l /old
cd /
exec env LD_LIBRARY_PATH=/opt/lib "$@"
"""


def test_mount_namespace(tmp_path, runner, server):
    """Protects: a library that only a container has, on a file system that is mounted nowhere else."""
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("no mount namespaces here")
    root = tmp_path / "root"
    root.mkdir()
    script = CONTAINER.format(root=root, library=real_library(), keep=CLIENTS.parents[2])
    watching = Watching(tmp_path, [runner.pid])
    client = Turns(runner, server, wrap=["unshare", "-m", "bash", "-c", script, "container"])
    client.ask("/before")
    assert not list(root.iterdir()), "it is the container's alone"
    watching.hooked()
    for n in range(COUNT):
        client.ask(f"/inside/{n}")
    client.end()
    spans, _ = watching.end()
    assert [p for p in paths(spans) if p != "/before"] == sorted(f"/inside/{n}" for n in range(COUNT))


def hostile(folder):
    """Files that are libraries by name: {name: path}."""
    folder.mkdir()
    whole = pathlib.Path(real_library()).read_bytes()
    table, count = struct.unpack_from("<Q", whole, 0x28)[0], struct.unpack_from("<H", whole, 0x3C)[0]
    program_headers = struct.unpack_from("<Q", whole, 0x20)[0], struct.unpack_from("<H", whole, 0x38)[0]

    def mutated(change):
        data = bytearray(whole)
        change(data)
        return bytes(data)

    def every_section(data, field, value):
        for n in range(count):
            struct.pack_into("<Q", data, table + 64 * n + field, value)

    def itself(data):
        for n in range(count):
            struct.pack_into("<I", data, table + 64 * n + 40, n)
        for n in range(program_headers[1]):
            struct.pack_into("<Q", data, program_headers[0] + 56 * n + 8, program_headers[0])

    def counts(data):
        struct.pack_into("<HHHHH", data, 0x36, 56, 0xFFFF, 64, 0xFFFF, 0xFFFE)

    files = {f"cut-{n}": whole[:n] for n in (16, 63, 64, 700, CHUNK, len(whole) // 2, len(whole) - 64)}
    files["sizes"] = mutated(lambda data: every_section(data, 32, (1 << 63) - 1))
    files["offsets"] = mutated(lambda data: every_section(data, 24, (1 << 64) - 64))
    files["itself"] = mutated(itself)
    files["counts"] = mutated(counts)
    files["zero"] = whole[:64] + bytes(len(whole) - 64)
    made = []
    for name, data in files.items():
        made.append(folder / f"libssl-{name}.so")
        made[-1].write_bytes(data)
    made.append(folder / "libssl-huge.so")
    with open(made[-1], "wb") as f:
        f.write(mutated(lambda data: struct.pack_into("<Q", data, 0x28, (1 << 40) - 64 * count)))
        f.truncate(1 << 40)
    return made


MAPS_THEM = """
import mmap, os, sys
held = []
for name in sys.argv[1:]:
    fd = os.open(name, os.O_RDONLY)
    held.append(mmap.mmap(fd, min(os.fstat(fd).st_size, 1 << 16), prot=mmap.PROT_READ | mmap.PROT_EXEC))
print("mapped", flush=True)
sys.stdin.read()
"""


def test_hostile(tmp_path, runner, server):
    """Protects: files that lie about themselves cost their two seconds at the most, are counted, and nobody else suffers."""
    files = hostile(tmp_path / "hostile")
    watching = Watching(tmp_path, [runner.pid])
    fifo, out = tmp_path / "hold", tmp_path / "mapped"
    os.mkfifo(fifo)
    out.touch()
    runner.start([PYTHON, "-c", MAPS_THEM, *files], files=f"<{fifo} >{out}")
    with open(fifo, "w"):
        wait_for(lambda: "mapped" in out.read_text(), "they are mapped")
        client = Turns(runner, server, {"LD_LIBRARY_PATH": own_library(tmp_path / "lib").parent})
        client.ask("/before")
        wait_for(lambda: watching.times("libssl.so.3 is hooked"), "the library behind them is hooked", 60)
        for n in range(COUNT):
            client.ask(f"/behind/{n}")
        client.end()
    spans, ledger = watching.end()
    assert [p for p in paths(spans) if p != "/before"] == sorted(f"/behind/{n}" for n in range(COUNT))
    libraries = ledger["tls"]["libraries"]
    assert libraries["broken"] >= 4 and not libraries["refused"], libraries
    assert libraries["looked_at"] >= len(files)
