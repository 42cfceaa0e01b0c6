# SPDX-License-Identifier: Apache-2.0
"""grpc-web and Connect, by connect-go at both ends: what fields of HTTP say of a call is said, and what is in bodies is not."""

import subprocess

import pytest

from harness import ROOT, trace_scene
from servers import Server

SERVICE = "sonde.test.Words"
COUNT = 10


def program():
    build = [ROOT / "tests/lib/go_java.sh", "connect"]
    subprocess.run(build, check=True)
    return subprocess.run([*build, "--path", "go"], check=True, capture_output=True, text=True).stdout.strip()


class Words(Server):
    def cmd(self):
        return [program(), "serve", self.port, self.log]


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("protocol, system", [("connect", "connectrpc"), ("json", "connectrpc"), ("grpcweb", "grpc")])
def test_calls(tmp_path, protocol, system, version):
    """Protects: system and method of each call at both ends; its status where a field says it, and never another."""
    server = Words(tmp_path)
    run = trace_scene(tmp_path, [server], [[program(), "call", server.port, protocol, version, COUNT]]).check()
    assert server.logged() == COUNT + 2
    for kind in ("CLIENT", "SERVER"):
        spans = sorted(run.kind(kind), key=lambda s: s.start_ns)
        assert len(spans) == COUNT + 3
        methods = ["Repeat"] * (COUNT + 1) + ["Count", "Lacking"]
        for span, method in zip(spans, methods):
            said = span.attributes
            assert said["rpc.system.name"] == system and said["http.request.method"] == "POST"
            assert said["network.protocol.version"] == ("2" if version == "2" else "1.1")
            assert span.path == f"/{SERVICE}/{method}"
            if method == "Lacking":
                assert span.name == said["rpc.method"] == "_OTHER" and said["rpc.method_original"] == f"{SERVICE}/{method}"
            else:
                assert span.name == said["rpc.method"] == f"{SERVICE}/{method}"
        *good, failed, streamed, lacking = spans
        for span in good:
            assert span.status_code == 200 and not span.error and span.status == 0
            assert "rpc.response.status_code" not in span.attributes
        assert lacking.status_code == 404
        # with bodies that say how it ended HTTP's status is that of any other, and says no more than it does
        assert "rpc.response.status_code" not in streamed.attributes and streamed.status_code == 200
        assert failed.status_code == (200 if protocol == "grpcweb" else 503)
        if protocol != "grpcweb":
            assert failed.error == "503" and "rpc.response.status_code" not in failed.attributes
        else:
            assert failed.attributes.get("rpc.response.status_code") in (None, "UNAVAILABLE")
    clients = {s.span_id: s for s in run.kind("CLIENT")}
    for span in run.kind("SERVER"):
        assert clients[span.parent_id].trace_id == span.trace_id and clients[span.parent_id].path == span.path
