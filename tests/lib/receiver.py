# SPDX-License-Identifier: Apache-2.0
"""A `sonde serve` that receives OTLP, and somebody that it passes spans on to."""

import gzip
import http.server
import json
import os
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from harness import SONDE, free_port, wait_for

PROTOBUF = "application/x-protobuf"
JSON = "application/json"


class Receiver:
    """A `sonde serve` that receives, on a store of its own."""

    def __init__(self, where, *options, env=None):
        self.store, self.ledger_file = where / "store", where / "ledger.json"
        self.http, self.grpc, self.ui = free_port(), free_port(), free_port()
        self.process = subprocess.Popen(
            [SONDE, "serve", "--store", self.store, "--ui", f"127.0.0.1:{self.ui}",
             "--otlp-http", f"127.0.0.1:{self.http}", "--otlp-grpc", f"127.0.0.1:{self.grpc}", "--ledger", self.ledger_file, *options],
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
            return self.post(b"", PROTOBUF).status in (200, 401) and self.get("/api/v1/health")
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


def flat(trace):
    """Spans of an API's trace, as (resource, scope, span)."""
    return [(r["resource"], s["scope"], span) for r in trace["resourceSpans"] for s in r["scopeSpans"]
            for span in s["spans"]]


class Backend:
    """Takes whatever is posted, and keeps it."""

    def __enter__(self):
        bodies = self.bodies = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                bodies.append(gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
