# SPDX-License-Identifier: Apache-2.0
"""Spans sent to the real Collector and the real Jaeger are read back as they were written to the file."""

import collections
import dataclasses
import json

import pytest

import servers
from backends import Collector, Jaeger
from grpc_peers import GrpcServer
from grpc_peers import client as grpc_client
from harness import trace_scene, wait_for

PROTOCOLS = ["http/protobuf", "http/json", "grpc"]
COUNT = 10


def traced(tmp_path, backend, protocol, options=(), env=None):
    """curl -> nginx -> Python, exported to a back end and to a file at once."""
    inner = servers.PythonThreads(tmp_path)
    front = servers.proxy(tmp_path, inner)
    curls = [["curl", "-sS", "-o", "/dev/null", front.url(f"/b/{n}?q=1")] for n in range(COUNT)]
    url = backend.grpc if protocol == "grpc" else backend.http
    return trace_scene(
        tmp_path, [inner, front], curls, ["--otlp", url, *options],
        env={"OTEL_EXPORTER_OTLP_PROTOCOL": protocol, **(env or {})},
    ).check()


def comparable(spans, loose=False):
    """Spans as plain values, by id. loose: arrays as the text that Jaeger makes of them, and what
    its own storage has no place for left out."""
    found = {}
    for span in spans:
        plain = dataclasses.asdict(span)
        if loose:
            plain.pop("flags")
            for part in ("attributes", "resource"):
                plain[part] = {k: json.dumps(v, separators=(",", ":")) if isinstance(v, list) else v
                               for k, v in plain[part].items()}
        found[span.span_id] = plain
    assert len(found) == len(spans), "a span twice"
    return found


@pytest.mark.parametrize("compression", ["gzip", "none"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_collector(tmp_path, protocol, compression):
    """Protects: ids, parents, attributes and times arrive in the Collector as they were written."""
    with Collector(tmp_path) as collector:
        run = traced(tmp_path, collector, protocol, env={"OTEL_EXPORTER_OTLP_COMPRESSION": compression})
        assert len(run.spans) == 4 * COUNT
        wait_for(lambda: len(collector.spans()) >= len(run.spans), "the Collector writes its file")
        assert comparable(collector.spans()) == comparable(run.spans)
    for name, sink in run.ledger["sinks"].items():
        assert sink["acked"] == sink["spans"] == len(run.spans), (name, sink)
        assert sink["residual"] == 0


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_jaeger(tmp_path, protocol):
    """Protects: Jaeger's query API tells each trace with the same ids, parents, attributes and times."""
    with Jaeger(tmp_path) as jaeger:
        run = traced(tmp_path, jaeger, protocol)
        traces = {}
        for span in run.spans:
            traces.setdefault(span.trace_id, []).append(span)
        assert len(traces) == COUNT
        for trace_id, spans in traces.items():
            wait_for(lambda t=trace_id, n=len(spans): len(jaeger.spans(t)) >= n, "Jaeger has the trace")
            assert comparable(jaeger.spans(trace_id), True) == comparable(spans, True)


GRPC = "sonde.test.Echo"
# (operation, status, messages of the request, of the response) by how often: what a client of grpc/README is told to do
STEPS = ["unary:3", "client:5", "server:4", "bidi:2", "fail:5", "missing"]
CALLS = collections.Counter([
    *[(f"{GRPC}/Unary", "OK", 1, 1)] * 3, (f"{GRPC}/ClientStream", "OK", 5, 1), (f"{GRPC}/ServerStream", "OK", 1, 4),
    (f"{GRPC}/Bidi", "OK", 2, 2), (f"{GRPC}/Unary", "NOT_FOUND", 1, 0),
    # a name that nobody has is not one of the operations
    ("_OTHER", "UNIMPLEMENTED", None, 0),
])


def grpc_calls(said):
    """[(operation, attributes)] as CALLS counts them. How much of a call was sent that is refused, none can say."""
    for operation, attributes in said:
        assert attributes["rpc.system.name"] == "grpc" and attributes["rpc.method"] == operation
    return collections.Counter(
        (operation, a["rpc.response.status_code"], None if operation == "_OTHER" else a["sonde.rpc.request.messages"],
         a["sonde.rpc.response.messages"]) for operation, a in said)


def traced_grpc(tmp_path, backend):
    server = GrpcServer(tmp_path, "go")
    command, env = grpc_client("python", server, *STEPS)
    run = trace_scene(tmp_path, [server], [{"cmd": [str(w) for w in command], "env": env}], ["--otlp", backend.grpc],
                      env={"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}).check()
    assert len(run.spans) == 2 * sum(CALLS.values())
    return run


def test_collector_grpc(tmp_path):
    """Protects: calls of gRPC have their names, kinds and rpc attributes in the Collector."""
    with Collector(tmp_path) as collector:
        run = traced_grpc(tmp_path, collector)
        wait_for(lambda: len(collector.spans()) >= len(run.spans), "the Collector writes its file")
        found = collector.spans()
    assert comparable(found) == comparable(run.spans)
    for kind in ("CLIENT", "SERVER"):
        assert grpc_calls([(s.name, s.attributes) for s in found if s.kind == kind]) == CALLS


def test_jaeger_grpc(tmp_path):
    """Protects: Jaeger shows calls of gRPC as operations of their services, by what its page asks for."""
    with Jaeger(tmp_path) as jaeger:
        run = traced_grpc(tmp_path, jaeger)
        shown = {"client": [], "server": []}
        for trace_id in {s.trace_id for s in run.spans}:
            wanted = sum(s.trace_id == trace_id for s in run.spans)
            wait_for(lambda t=trace_id, n=wanted: len(jaeger.page(t)) >= n, "Jaeger has the trace")
            for span in jaeger.page(trace_id):
                tags = {t["key"]: t["value"] for t in span["tags"]}
                shown[tags["span.kind"]].append((span["operationName"], tags))
                # a call of which the client says that it failed is shown as an error
                if tags["span.kind"] == "client":
                    assert tags.get("error", False) == (tags["rpc.response.status_code"] != "OK")
        for kind, said in shown.items():
            assert grpc_calls(said) == CALLS
            services = {s.service for s in run.spans if s.kind == kind.upper()}
            operations = {o for service in services for o in jaeger.operations(service, kind)}
            assert operations == {operation for operation, *_ in CALLS}
