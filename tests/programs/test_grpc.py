# SPDX-License-Identifier: Apache-2.0
"""gRPC in the clear: each call is a span at both ends, with its method, its status and its messages."""

from harness import refused, trace_scene
from servers import HERE, Server, venv_python

CLIENT = HERE.parent / "clients/grpc_client.py"
RING = ["--ring-size", "16m"]


class GrpcPython(Server):
    """grpcio, on gRPC's C core: scattered writes, SETTINGS before the client has said anything."""

    def cmd(self):
        return [venv_python(), HERE / "grpc_server.py", self.port, self.log]


def call(tmp_path, *calls, options=(), quiet=True):
    server = GrpcPython(tmp_path)
    return trace_scene(tmp_path, [server], [[venv_python(), CLIENT, server.port, *calls]],
                       RING + list(options)).check(quiet)


def both(run):
    """[(client span, server span)] in the order of the calls."""
    servers = {s.parent_id: s for s in run.kind("SERVER")}
    clients = sorted(run.kind("CLIENT"), key=lambda s: s.start_ns)
    assert len(clients) == len(servers)
    return [(c, servers[c.span_id]) for c in clients]


def messages(span):
    return span.attributes["sonde.rpc.request.messages"], span.attributes["sonde.rpc.response.messages"]


def test_call_types(tmp_path):
    """Protects: method, status and message counts of the four types of calls, at both ends."""
    found = both(call(tmp_path, "unary:7", "unary:8 100000", "server:100", "client:50", "both:20"))
    wanted = [("Unary", 1, 1), ("Unary", 1, 1), ("ServerStream", 1, 100), ("ClientStream", 50, 1), ("BothStreams", 20, 40)]
    assert len(found) == len(wanted)
    for pair, (name, requests, responses) in zip(found, wanted):
        for span in pair:
            assert span.name == f"test.Echo/{name}"
            assert span.attributes["rpc.system.name"] == "grpc"
            assert span.attributes["rpc.method"] == f"test.Echo/{name}"
            assert span.attributes["rpc.response.status_code"] == "OK"
            assert span.status == 0 and not span.error
            assert messages(span) == (requests, responses)
        assert pair[1].attributes["sonde.link.method"] == "edge"


def test_statuses(tmp_path):
    """Protects: what a call ends with is said as gRPC says it: trailers alone, cancelled, too late, not there."""
    run = call(tmp_path, "unary:fail", "lacking", "sleep::0.4", "cancel")
    assert run.results[0]["stdout"].split("\n")[:3] == [
        "unary FAILED_PRECONDITION", "lacking UNIMPLEMENTED", "sleep DEADLINE_EXCEEDED"]
    found = both(run)
    codes = [tuple(s.attributes.get("rpc.response.status_code") for s in pair) for pair in found]
    assert [c for c, _ in codes] == ["FAILED_PRECONDITION", "UNIMPLEMENTED", "DEADLINE_EXCEEDED", "CANCELLED"]
    assert codes[0][1] == "FAILED_PRECONDITION" and codes[1][1] == "UNIMPLEMENTED"
    for client, _ in found:
        assert client.status == 2 and client.error == client.attributes["rpc.response.status_code"]
    # a server is not to blame for what it was asked for
    assert found[0][1].status == 0
    assert found[1][1].status == 2 and found[1][1].attributes["rpc.method"] == "_OTHER"
    assert found[1][1].attributes["rpc.method_original"] == "test.Echo/Lacking"
    assert found[2][0].attributes["sonde.rpc.timeout"] in range(1, 403)


def test_thousand_streams(tmp_path):
    """Protects: a thousand calls at once on one connection."""
    run = call(tmp_path, "many:1000", quiet=False)
    assert run.ledger["exchanges"]["spans"] == 2000
    if not refused(run.ledger):
        for pair in both(run):
            for span in pair:
                assert span.attributes["rpc.response.status_code"] == "OK"
                assert messages(span) == (1, 1)


def test_traceparent(tmp_path):
    """Protects: a propagation header is read from metadata."""
    (client, server), = both(call(tmp_path, "traced"))
    assert client.trace_id == server.trace_id == "0af7651916cd43dd8448eb211c80319c"
    assert client.parent_id == "b7ad6b7169203331" and server.parent_id == client.span_id
