# SPDX-License-Identifier: Apache-2.0
"""HTTP inside TLS where the program itself carries what its library has encrypted: rustls, Python's asyncio, Node."""

import pytest

import tls
from harness import trace_scene
from rust import rust_program
from test_tls import COUNT, ca, check_both_ends, curl, node, python


def rust(server):
    return [[rust_program("rustls", "client"), server.port, ca(), COUNT, "/rust/"]], COUNT


@pytest.mark.parametrize("kind, client", [
    (tls.RustTls, curl), (tls.RustTls, rust), (tls.NginxTls, rust),
], ids=lambda x: x.__name__.lower())
def test_rustls(kind, client, tmp_path):
    """Protects: rustls at either end: spans = requests, the right peer from the first one on, one trace."""
    server = kind(tmp_path)
    clients, sent = client(server)
    run = trace_scene(tmp_path, [server], clients).check()
    check_both_ends(run, server, sent)
