# SPDX-License-Identifier: Apache-2.0
"""HTTP inside TLS where the program itself carries what its library has encrypted: rustls, Python's asyncio, Node."""

import pytest

import tls
from harness import trace_scene
from rust import rust_program
from test_tls import COUNT, ca, curl

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
    than that, those behind it are counted.
    """
    server = kind(tmp_path, server=ECHO) if kind is tls.NginxTls else kind(tmp_path)
    clients = [rust(server, WARM, "/warm/"), *(rust(server) for _ in range(5))]
    run = trace_scene(tmp_path, [server], clients, ["--ring-size", "4m"]).check()
    assert server.logged() == WARM + 5 * COUNT
    check_linked(run, server, {c["pid"] for c in run.results[1:]}, 5 * COUNT)


def test_rustls_server(tmp_path):
    """Protects: a server of rustls, asked by OpenSSL."""
    server = tls.RustTls(tmp_path)
    (client,), _ = curl(server)
    run = trace_scene(tmp_path, [server], [rust(server, WARM, "/warm/"), *[client] * 5], ["--ring-size", "4m"]).check()
    assert server.logged() == WARM + 5 * COUNT
    check_linked(run, server, {c["pid"] for c in run.results[1:]}, 5 * COUNT)
