# SPDX-License-Identifier: Apache-2.0
"""The role that receives: OTLP of other programs is kept as it came, searchable, and passed on; whoever sends what is
none, too much, or too slowly, is told so, or bounded."""

import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (ExportTraceServiceRequest,
                                                                      ExportTraceServiceResponse)

import harness
from harness import SONDE, free_port, wait_for

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
# Field 9999, a length-delimited one: no version of the protocol has it.
UNKNOWN = b"\xfa\xf0\x04\x07unknown"


class Receiver:
    """A `sonde serve` that receives, on a store of its own."""

    def __init__(self, where, *options, env=None):
        self.store, self.ledger_file = where / "store", where / "ledger.json"
        self.http, self.grpc, self.ui = free_port(), free_port(), free_port()
        self.process = subprocess.Popen(
            [SONDE, "serve", "--store", self.store, "--ui", f"127.0.0.1:{self.ui}",
             "--otlp-http", f"127.0.0.1:{self.http}", "--ledger", self.ledger_file, *options],
            stderr=subprocess.PIPE, text=True, env={**os.environ, **(env or {})})
        self.url = f"http://127.0.0.1:{self.http}/v1/traces"
        self.ledger = None

    def __enter__(self):
        wait_for(lambda: self.answers() or self.process.poll() is not None, "it answers")
        assert self.process.poll() is None, self.process.stderr.read()
        return self

    def answers(self):
        """Both roles: that it listens, the parent already sees to."""
        try:
            return self.post(b"", PROTOBUF).status == 200 and self.get("/api/v1/health")
        except OSError:
            return False

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        _, self.stderr = self.process.communicate(timeout=30)
        assert self.process.returncode == 0, self.stderr
        self.ledger = json.loads(self.ledger_file.read_text())
        received = self.ledger["received"]
        assert received["residual"] == 0 and received["requests"]["residual"] == 0, received
        assert received["waiting"] == 0 and received["dropped"] == {}, received
        for sink in self.ledger["sinks"].values():
            assert sink["residual"] == 0 and sink["spans"] == received["passed"], self.ledger

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ui}{path}", timeout=30) as answer:
            return json.load(answer)

    def post(self, body, content_type, path="/v1/traces", **headers):
        request = urllib.request.Request(f"http://127.0.0.1:{self.http}{path}", body, {
            "Content-Type": content_type, **{k.replace("_", "-"): v for k, v in headers.items()}})
        try:
            answer = urllib.request.urlopen(request, timeout=60)
        except urllib.error.HTTPError as error:
            answer = error
        answer.body = answer.read()
        return answer

    def spans(self):
        return self.get("/api/v1/health")["store"]["spans"]

    def wait_spans(self, n):
        wait_for(lambda: self.spans() >= n, f"{n} spans are in the store")
        assert self.spans() == n

    def trace(self, trace_id):
        return self.get(f"/api/v1/traces/{trace_id}")


@pytest.fixture(scope="module")
def receiver(tmp_path_factory):
    with Receiver(tmp_path_factory.mktemp("receiver")) as receiver:
        yield receiver


def request_of(n=1, service="sender", name="op", trace=None, size=0):
    """An export request of n spans in one trace; its id is returned with it."""
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    attribute = resource_spans.resource.attributes.add(key="service.name")
    attribute.value.string_value = service
    scope_spans = resource_spans.scope_spans.add()
    scope_spans.scope.name = "lib"
    trace = trace or os.urandom(16)
    now = time.time_ns()
    for i in range(n):
        span = scope_spans.spans.add(trace_id=trace, span_id=os.urandom(8), name=f"{name}{i}", kind=2,
                                     start_time_unix_nano=now, end_time_unix_nano=now + 1000 + i)
        if size:
            span.attributes.add(key="filling").value.string_value = "x" * size
    return request, trace.hex()


def test_protobuf_is_kept_and_found(receiver):
    """Protects: what comes by OTLP/HTTP is searchable within two seconds, packed or not."""
    before = receiver.spans()
    plain, _ = request_of(3, name="plain")
    packed, trace = request_of(4, service="packed", name="packed")
    begun = time.monotonic()
    answer = receiver.post(plain.SerializeToString(), PROTOBUF)
    assert answer.status == 200 and answer.headers["Content-Type"] == PROTOBUF and answer.body == b""
    answer = receiver.post(gzip.compress(packed.SerializeToString()), PROTOBUF, Content_Encoding="gzip")
    assert answer.status == 200, answer.body
    wait_for(lambda: receiver.get("/api/v1/search?service=packed")["traces"], "it is found")
    assert time.monotonic() - begun < 2
    found = receiver.get("/api/v1/search?service=packed")["traces"]
    assert [t["trace_id"] for t in found] == [trace] and found[0]["spans"] == 4
    receiver.wait_spans(before + 7)
    names = [s["name"] for s in receiver.trace(trace)["resourceSpans"][0]["scopeSpans"][0]["spans"]]
    assert sorted(names) == [f"packed{i}" for i in range(4)]
