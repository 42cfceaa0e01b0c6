# SPDX-License-Identifier: Apache-2.0
"""HTTP inside TLS: spans are counted against the servers' own logs, as those of HTTP in the clear."""

import collections

import pytest

import tls
from harness import PYTHON, trace_scene
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
    return [[go_program("tls_client.go"), server.port, COUNT, ca()]], COUNT


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
    warm = [go_program("tls_client.go"), server.port, 3000, ca(), 2]
    count = 400
    client = [go_program("tls_client.go"), server.port, count, ca(), 16]
    run = trace_scene(tmp_path, [server], [warm, client]).check()
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
