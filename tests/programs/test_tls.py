# SPDX-License-Identifier: Apache-2.0
"""HTTP inside TLS: spans are counted against the servers' own logs, as those of HTTP in the clear."""

import collections
import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess

import pytest

import tls
from harness import PYTHON, SONDE, listening, parse_spans, residuals, trace_scene, wait_for
from servers import HERE, go_program

CLIENTS = HERE.parent / "clients"
COUNT = 20
SERVERS = [tls.NginxTls, tls.ApacheTls, tls.PythonTls]


def ca():
    return tls.authority() / "ca.pem"


def curl(server):
    """One curl process, which keeps its connection."""
    urls = [server.url(f"/curl/{n}") for n in range(COUNT)]
    return [["curl", "-sS", "--http1.1", "--max-time", "20", "--cacert", ca(), *urls]], COUNT


def wget(server):
    """By GnuTLS."""
    urls = [server.url(f"/wget/{n}") for n in range(COUNT)]
    return [["wget", "-q", "-O", "/dev/null", f"--ca-certificate={ca()}", *urls]], COUNT


def python(server):
    return [[PYTHON, CLIENTS / "tls_client.py", server.port, COUNT, ca()]], 2 * COUNT


def node(server):
    return [["node", CLIENTS / "tls_client.js", server.port, COUNT, ca()]], COUNT


def go(server):
    return [[go_program("client.go"), server.port, COUNT, 4, "/go/", ca()]], COUNT


def check_both_ends(run, server, sent):
    """A span an end and a request, the server's under the client's, each with the right peer."""
    pids = {c["pid"] for c in run.results}
    assert server.logged() == sent
    served, asked = run.kind("SERVER", server.pids), run.kind("CLIENT", pids)
    assert len(served) == sent and len(asked) == sent
    assert not [s for s in run.spans if s.cut]
    assert collections.Counter(s.path for s in served) == collections.Counter(s.path for s in asked)
    for span in served + asked:
        assert span.status_code == 200
        assert span.attributes["network.peer.address"] == "127.0.0.1"
    for span in asked:
        assert span.attributes["network.peer.port"] == server.port
        assert span.attributes["url.full"].startswith(f"https://localhost:{server.port}/")
    by_id = {s.span_id: s for s in run.spans}
    for span in served:
        assert span.attributes["url.scheme"] == "https"
        assert by_id[span.parent_id].kind == "CLIENT"
        assert by_id[span.parent_id].path == span.path
        assert by_id[span.parent_id].trace_id == span.trace_id


@pytest.mark.parametrize("client", [curl, wget, python], ids=lambda f: f.__name__)
@pytest.mark.parametrize("kind", SERVERS, ids=lambda c: c.__name__.lower())
def test_both_ends(kind, client, tmp_path):
    """Protects: HTTPS by OpenSSL and GnuTLS: spans = requests, the right peer, one trace from both ends."""
    server = kind(tmp_path)
    clients, sent = client(server)
    run = trace_scene(tmp_path, [server], clients).check()
    check_both_ends(run, server, sent)


@pytest.mark.parametrize("kind, client", [(tls.NodeTls, curl), (tls.NginxTls, node), (tls.NodeTls, node)])
def test_memory_bio(kind, client, tmp_path):
    """Protects: the same where the program itself carries what the library has encrypted (Node)."""
    server = kind(tmp_path)
    clients, sent = client(server)
    run = trace_scene(tmp_path, [server], clients).check()
    check_both_ends(run, server, sent)


def test_memory_bio_at_once(tmp_path):
    """Protects: with many connections of one thread none is taken for another."""
    server = tls.NodeTls(tmp_path)
    count = 400
    client = ["node", CLIENTS / "tls_client.js", server.port, count, ca(), 40]
    run = trace_scene(tmp_path, [server], [client]).check()
    check_both_ends(run, server, count)
    ports = collections.defaultdict(set)
    for span in run.kind("SERVER"):
        ports[span.attributes["network.peer.port"]].add(span.path)
    assert len(ports) == 40


@pytest.mark.parametrize("protocol, version", [("TLSv1.2", "1.2"), ("TLSv1.3", "1.3")])
def test_hello(protocol, version, tmp_path):
    """Protects: version, cipher and the server's name, as both hellos have them, at both ends."""
    server = tls.NginxTls(tmp_path, protocols=protocol)
    clients, sent = curl(server)
    run = trace_scene(tmp_path, [server], clients).check()
    check_both_ends(run, server, sent)
    ciphers = {s.attributes["tls.cipher"] for s in run.spans}
    assert len(ciphers) == 1 and ciphers.pop().startswith("TLS_")
    for span in run.spans:
        assert span.attributes["tls.protocol.name"] == "tls"
        assert span.attributes["tls.protocol.version"] == version
        assert span.attributes["tls.client.server_name"] == "localhost"


def test_short_lived(tmp_path):
    """Protects: processes that are over within milliseconds, when their library has been hooked before."""
    server = tls.NginxTls(tmp_path)
    clients = [["curl", "-sS", "--cacert", ca(), server.url(f"/short/{n}")] for n in range(COUNT)]
    run = trace_scene(tmp_path, [server], clients).check()
    check_both_ends(run, server, COUNT)


def test_go(tmp_path):
    """Protects: crypto/tls at both ends, its sockets found by their descriptors, on goroutines that change threads.

    A program is hooked some milliseconds after it was mapped for the first time: a first client lasts longer
    than that, the second one is counted.
    """
    server = tls.GoTls(tmp_path)
    warm = [go_program("client.go"), server.port, 3000, 2, "/go/", ca()]
    count = 400
    client = [go_program("client.go"), server.port, count, 16, "/go/", ca()]
    run = trace_scene(tmp_path, [server], [warm, client], ["--ring-size", "4m"]).check()
    assert server.logged() == 3000 + count
    asked = run.kind("CLIENT", {run.results[1]["pid"]})
    assert len(asked) == count and not [s for s in asked if s.cut]
    by_id = {s.span_id: s for s in run.spans}
    served = [s for s in run.kind("SERVER", server.pids) if s.parent_id in {a.span_id for a in asked}]
    assert len(served) == count
    for span in served:
        assert by_id[span.parent_id].path == span.path
        assert by_id[span.parent_id].trace_id == span.trace_id
        assert span.attributes["tls.protocol.version"] == "1.3"
    for span in asked:
        assert span.attributes["network.peer.port"] == server.port


def test_not_seen_into(tmp_path):
    """Protects: TLS of a library that is not known (Java's own) is said, and its bytes are nobody's requests."""
    server = tls.NginxTls(tmp_path)
    client = ["java", "-Xshare:auto", "-Xmx128m", CLIENTS / "TlsClient.java", server.port, COUNT, ca()]
    run = trace_scene(tmp_path, [server], [client]).check()
    assert len(run.kind("SERVER", server.pids)) == COUNT
    assert not run.kind("CLIENT")
    connections = run.ledger["connections"]
    assert connections["tls"] > connections["tls_seen_into"] > 0
    assert "TLS connections were not seen into" in run.stderr


class Turns:
    """tls_turns.py, which asks when it is told to."""

    def __init__(self, server, env=None):
        self.process = subprocess.Popen(
            [PYTHON, CLIENTS / "tls_turns.py", str(server.port), ca()], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, env={**os.environ, **(env or {})},
        )
        self.pid = self.process.pid

    def ask(self, path):
        self.process.stdin.write(path + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "hello\n"

    def end(self):
        self.process.stdin.close()
        assert self.process.wait(30) == 0


@contextlib.contextmanager
def serving(server, workers=True):
    """The server by itself, untraced; its pids. workers: it has children, which serve."""
    plan = server.plan()
    with open(plan["log"], "w") as log:
        process = subprocess.Popen(plan["cmd"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=plan["cwd"],
                                   env={**os.environ, **plan["env"]})
    try:
        wait_for(lambda: listening(server.port, process.pid), "the server listens")
        children = workers and wait_for(lambda: pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split(),
                            "its workers are there")
        yield [process.pid, *map(int, children or [])]
    finally:
        process.terminate()
        process.wait(30)


class Watching:
    """`sonde trace -p`, which has hooked a library when hooked() returns."""

    def __init__(self, folder, pids):
        self.folder = folder
        self.err = folder / "watching.err"
        with open(self.err, "w") as err:
            self.process = subprocess.Popen(
                [SONDE, "trace", "-v", "-p", ",".join(map(str, pids)), "-o", folder / "watching.jsonl", "--ledger",
                 folder / "watching.json"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=err)

    def hooked(self, count=1):
        wait_for(lambda: self.err.read_text().count("TLS library") >= count or self.process.poll() is not None,
                 "a TLS library is hooked")
        assert self.process.poll() is None, self.err.read_text()

    def end(self):
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(30) == 0, self.err.read_text()
        ledger = json.loads((self.folder / "watching.json").read_text())
        assert not {k: v for k, v in residuals(ledger).items() if v}, ledger
        return parse_spans((self.folder / "watching.jsonl").read_text()), ledger


def test_joined(tmp_path):
    """Protects: a connection older than sonde: right peer, said to be joined, and no id that is a guess."""
    server = tls.NginxTls(tmp_path)
    with serving(server) as pids:
        client = Turns(server)
        client.ask("/before")
        watching = Watching(tmp_path, [*pids, client.pid])
        watching.hooked()
        for n in range(COUNT):
            client.ask(f"/joined/{n}")
        client.end()
        spans, _ = watching.end()
    for kind in ("CLIENT", "SERVER"):
        found = sorted((s for s in spans if s.kind == kind), key=lambda s: s.start_ns)
        assert [s.path for s in found] == [f"/joined/{n}" for n in range(COUNT)]
        for span in found:
            assert span.status_code == 200
            assert span.attributes["network.peer.address"] == "127.0.0.1"
            assert span.attributes["sonde.joined"] is True
            assert "sonde.edge.id" not in span.attributes


def test_scope(tmp_path):
    """Protects: of two programs with one library only the one in scope is seen."""
    server = tls.NginxTls(tmp_path)
    with serving(server):
        inside, outside = Turns(server), Turns(server)
        inside.ask("/before")
        outside.ask("/before")
        watching = Watching(tmp_path, [inside.pid])
        watching.hooked()
        for n in range(COUNT):
            inside.ask(f"/inside/{n}")
            outside.ask(f"/outside/{n}")
        inside.end()
        outside.end()
        spans, _ = watching.end()
    assert sorted(s.path for s in spans) == sorted(f"/inside/{n}" for n in range(COUNT))


def test_library_replaced(tmp_path):
    """Protects: a library that is deleted and replaced while programs run on the old one and the new one."""
    server = tls.NginxTls(tmp_path)
    real = subprocess.run(["bash", "-c", "ldconfig -p | sed -n 's/.*libssl.so.3 .*=> //p' | head -1"], check=True,
                          capture_output=True, text=True).stdout.strip()
    own = tmp_path / "lib" / "libssl.so.3"
    own.parent.mkdir()
    shutil.copy(real, own)
    env = {"LD_LIBRARY_PATH": str(own.parent)}
    with serving(server):
        old = Turns(server, env)
        old.ask("/before")
        # as packages are upgraded: the name is another file's from one moment to the next
        shutil.copy(real, f"{own}.new")
        os.rename(f"{own}.new", own)
        new = Turns(server, env)
        new.ask("/before")
        watching = Watching(tmp_path, [old.pid, new.pid])
        watching.hooked(2)
        for n in range(COUNT):
            old.ask(f"/old/{n}")
            new.ask(f"/new/{n}")
        old.end()
        new.end()
        spans, _ = watching.end()
    assert sorted(s.path for s in spans) == sorted(f"/{who}/{n}" for who in ("old", "new") for n in range(COUNT))
