# SPDX-License-Identifier: Apache-2.0
"""HTTP inside TLS where the program itself carries what its library has encrypted: rustls, Python's asyncio, Node."""

import collections
import os
import shutil
import subprocess
import sys

import pytest

import tls
from harness import trace_scene
from rust import rust_program
from test_tls import CLIENTS, COUNT, Watching, ca, check_both_ends, curl, serving

ECHO = 'location / { return 200 "$uri"; }'
WARM = 2000


def rust(server, count=COUNT, path="/rust/"):
    return [rust_program("rustls", "client"), server.port, ca(), count, path]


def check_linked(run, server, asking, sent):
    """What these processes asked: a span an end and a request, the server's under the client's, right peers."""
    asked = run.kind("CLIENT", asking)
    assert len(asked) == sent and not [s for s in asked if s.cut]
    under = {s.parent_id: s for s in run.kind("SERVER", server.pids)}
    for span in asked:
        served = under[span.span_id]
        assert served.path == span.path and served.trace_id == span.trace_id and served.status_code == 200
        assert span.attributes["network.peer.port"] == server.port
        assert served.attributes["network.peer.address"] == span.attributes["network.peer.address"] == "127.0.0.1"
        assert served.attributes["tls.protocol.version"] == "1.3"
        assert "sonde.joined" not in span.attributes and "sonde.joined" not in served.attributes
    assert run.ledger["tls"]["crossed"] == 0


@pytest.mark.parametrize("kind", [tls.RustTls, tls.NginxTls], ids=lambda c: c.__name__.lower())
def test_rustls_client(kind, tmp_path):
    """Protects: a client of rustls: spans = requests, the right peer from the first one on, one trace.

    A program is hooked some milliseconds after it was mapped for the first time: a first client lasts longer
    than that, those behind the next one are counted.
    """
    server = kind(tmp_path, server=ECHO, workers=1) if kind is tls.NginxTls else kind(tmp_path)
    clients = [rust(server, WARM, "/warm/"), rust(server, 5, "/warm/"), *(rust(server) for _ in range(5))]
    run = trace_scene(tmp_path, [server], clients, ["--ring-size", "4m"]).check()
    assert server.logged() == WARM + 5 + 5 * COUNT
    check_linked(run, server, {c["pid"] for c in run.results[2:]}, 5 * COUNT)


def test_rustls_server(tmp_path):
    """Protects: a server of rustls, asked by OpenSSL.

    Whenever a library is hooked, connections that are open count as older than sonde: curl brings one of its own.
    """
    server = tls.RustTls(tmp_path)
    (client,), _ = curl(server)
    warm = rust(server, WARM, "/warm/")
    run = trace_scene(tmp_path, [server], [warm, client, warm, *[client] * 5], ["--ring-size", "4m"]).check()
    assert server.logged() == 2 * WARM + 6 * COUNT
    check_linked(run, server, {c["pid"] for c in run.results[3:]}, 5 * COUNT)


def test_rustls_stripped(tmp_path):
    """Protects: rustls in a program without symbols is said as not seen into, and its bytes are nobody's requests."""
    server = tls.NginxTls(tmp_path, server=ECHO)
    bare = tmp_path / "client"
    subprocess.run(["strip", "-o", bare, rust_program("rustls", "client")], check=True)
    run = trace_scene(tmp_path, [server], [[bare, *rust(server)[1:]]]).check()
    assert len(run.kind("SERVER", server.pids)) == COUNT and not run.kind("CLIENT")
    assert run.ledger["connections"]["tls"] > run.ledger["connections"]["tls_seen_into"]
    assert "TLS connections were not seen into" in run.stderr


def test_requests(tmp_path):
    """Protects: Python's requests."""
    server = tls.NginxTls(tmp_path)
    client = [sys.executable, CLIENTS / "requests_client.py", server.port, COUNT, ca()]
    check_both_ends(trace_scene(tmp_path, [server], [client]).check(), server, COUNT)


@pytest.mark.parametrize("kind, loop", [(tls.Aio, "asyncio"), (tls.NginxTls, "asyncio"), (tls.AioUv, "uvloop")],
                         ids=["aio-aio", "nginx-aio", "uvloop-uvloop"])
@pytest.mark.parametrize("connections", [1, 30])
def test_asyncio(kind, loop, connections, tmp_path):
    """Protects: many connections in one thread, whose handshakes go on at once: none is taken for another."""
    server = kind(tmp_path)
    sent = connections * COUNT
    client = [sys.executable, CLIENTS / "aio.py", server.port, ca(), loop, connections, COUNT]
    run = trace_scene(tmp_path, [server], [client], ["--ring-size", "4m"]).check()
    assert server.logged() == sent
    served, asked = run.kind("SERVER", server.pids), run.kind("CLIENT", {run.results[0]["pid"]})
    assert len(served) == len(asked) == sent
    assert [(s.kind, s.path, s.error, s.attributes) for s in run.spans if s.cut] == []
    assert run.ledger["tls"]["crossed"] == 0
    check_peers(served, asked, connections)


def check_peers(served, asked, connections):
    """Paths tell the connection: each has one port of the client's, or none is known; no two share one."""
    ports = collections.defaultdict(set)
    for span in served:
        port = span.attributes.get("network.peer.port")
        if port:
            ports[span.path.split("/")[2]].add(port)
    assert len(ports) == connections and all(len(p) == 1 for p in ports.values())
    assert len(set.union(*ports.values())) == connections
    clients = {s.span_id: s for s in asked}
    for span in served:
        parent = clients.get(span.parent_id)
        assert not parent or parent.path == span.path


ROUNDS = 8


def ask_rounds(server, client, rounds, tmp_path):
    """Each round is a request on each connection of a client, which sonde meets after the first round."""
    process = subprocess.Popen([str(w) for w in client], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(path):
        process.stdin.write(path + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "done\n"

    ask("/before")
    watching = Watching(tmp_path, [*server, process.pid])
    watching.hooked()
    for n in range(rounds):
        ask(f"/joined/{n}")
    process.stdin.close()
    assert process.wait(30) == 0
    spans, ledger = watching.end()
    return spans, ledger, process.pid


@pytest.mark.parametrize("kind, loop", [(tls.Aio, "asyncio"), (tls.AioUv, "uvloop")], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("connections", [1, 20])
def test_asyncio_joined(kind, loop, connections, tmp_path):
    """Protects: connections older than sonde, whose bytes programs carry: the right peer, as soon as it is sure."""
    server = kind(tmp_path)
    with serving(server, workers=False) as pids:
        client = [sys.executable, CLIENTS / "aio.py", server.port, ca(), loop, connections]
        spans, ledger, _ = ask_rounds(pids, client, ROUNDS, tmp_path)
    for side in ("CLIENT", "SERVER"):
        found = [s for s in spans if s.kind == side]
        assert sorted(s.path for s in found) == sorted(f"/joined/{n}/{c}" for n in range(ROUNDS) for c in range(connections))
        assert all(s.attributes["sonde.joined"] is True for s in found)
    served = [s for s in spans if s.kind == "SERVER"]
    ports = collections.defaultdict(set)
    for span in served:
        if span.attributes.get("network.peer.port"):
            ports[span.path.split("/")[3]].add(span.attributes["network.peer.port"])
    # a connection is of one peer, and a peer of one connection
    assert all(len(p) == 1 for p in ports.values()) and len(ports) == len(set().union(*ports.values()))
    for span in spans:
        if span.kind == "CLIENT":
            assert span.attributes.get("network.peer.port", server.port) == server.port
    assert ledger["tls"]["crossed"] == 0
    last = [s for s in served if s.path.startswith(f"/joined/{ROUNDS - 1}/")]
    known = [s for s in last if "network.peer.port" in s.attributes]
    assert len(known) == connections


@pytest.mark.skipif(not shutil.which("psql"), reason="needs PostgreSQL")
def test_postgres(tmp_path):
    """Protects: TLS that begins behind a request for it: the connection is TLS's and is seen into at both ends, what it
    carries is nobody's requests (PostgreSQL's protocol is none that is known), and the account balances."""
    server = tls.Postgres(tmp_path)
    queries = [w for n in range(COUNT) for w in ("-c", f"select 'GET /{n} HTTP/1.1' || repeat('x', {n * 1000})")]
    client = ["psql", "-qAt", f"host=127.0.0.1 port={server.port} user=postgres dbname=postgres sslmode=require", *queries]
    run = trace_scene(tmp_path, [server], [client] * 3).check()
    assert all(c["stdout"].count("GET /") == COUNT for c in run.results)
    assert not run.spans
    connections, inside = run.ledger["connections"], run.ledger["tls"]
    # one at each end, but for those of PostgreSQL's own processes with each other
    assert connections["tls"] == connections["tls_seen_into"] == 6
    assert inside["streams"] == inside["tied"] == 6 and inside["crossed"] == 0
    assert connections["http1"] == connections["http2"] == 0
