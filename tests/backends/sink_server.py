# SPDX-License-Identifier: Apache-2.0
"""OTLP backends that behave as a test tells them to: HTTP (protobuf, JSON) and gRPC."""
import collections
import concurrent.futures
import gzip
import http.server
import json
import socket
import ssl
import struct
import threading
import time

import grpc
from google.protobuf import json_format
from harness import free_port
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

Request = collections.namedtuple("Request", "at path headers message spans size")
METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
HANG, CLOSE = object(), object()


def response(rejected=0, message=""):
    answer = trace_service_pb2.ExportTraceServiceResponse()
    if rejected or message:
        answer.partial_success.rejected_spans = rejected
        answer.partial_success.error_message = message
    return answer


def ids_to_base64(value):
    """OTLP JSON has hex ids; the official JSON reader wants base64."""
    import base64
    if isinstance(value, list):
        return [ids_to_base64(v) for v in value]
    if not isinstance(value, dict):
        return value
    return {k: base64.b64encode(bytes.fromhex(v)).decode() if k in ("traceId", "spanId", "parentSpanId")
            else ids_to_base64(v) for k, v in value.items()}


def read_json(text):
    """An ExportTraceServiceRequest by the official definitions; unknown or ill-typed fields fail."""
    return json_format.ParseDict(ids_to_base64(json.loads(text)),
                                 trace_service_pb2.ExportTraceServiceRequest())


def spans_of(message):
    return [s for r in message.resource_spans for c in r.scope_spans for s in c.spans]


class Sink:
    """What arrives is in .requests; behave(n, request) says how the n-th (from 0) is answered."""

    def __init__(self, behave=None):
        self.requests = []
        self.taken = []  # spans of requests that were answered with success
        self.behave = behave or (lambda n, request: None)
        self.lock = threading.Lock()
        self.release = threading.Event()

    def add(self, path, headers, message, size):
        request = Request(time.monotonic(), path, headers, message, spans_of(message), size)
        with self.lock:
            self.requests.append(request)
            return len(self.requests) - 1, request

    def span_ids(self):
        return [s.span_id for s in self.taken]


class HttpSink(Sink):
    """behave returns None (200), (status, headers, body), HANG or CLOSE."""

    def __init__(self, behave=None, port=0, tls=None):
        super().__init__(behave)
        self.connections = []
        sink = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                super().setup()
                with sink.lock:
                    sink.connections.append(self.connection)

            def do_POST(self):
                sink.answer(self)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", port), Handler)
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.url = f"{'https' if tls else 'http'}://localhost:{self.port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02},
                                       daemon=True)
        self.thread.start()

    def answer(self, handler):
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        size = len(body)
        encoding = handler.headers.get("Content-Encoding")
        if encoding == "gzip":
            body = gzip.decompress(body)
        elif encoding == "zstd":
            import subprocess
            body = subprocess.run(["zstd", "-dc"], input=body, capture_output=True, check=True).stdout
        as_json = handler.headers["Content-Type"] == "application/json"
        message = read_json(body) if as_json else \
            trace_service_pb2.ExportTraceServiceRequest.FromString(body)
        n, request = self.add(handler.path, {k.lower(): v for k, v in handler.headers.items()}, message, size)
        result = self.behave(n, request)
        if result is HANG:
            self.release.wait()
            result = CLOSE
        if result is CLOSE:
            handler.close_connection = True
            return
        if result is None:
            result = (200, {}, response())
        status, headers, answer = result
        if not isinstance(answer, bytes):
            answer = json_format.MessageToJson(answer).encode() if as_json else answer.SerializeToString()
        if 200 <= status < 300:
            with self.lock:
                self.taken.extend(request.spans)
        handler.send_response(status)
        headers = {"Content-Type": handler.headers["Content-Type"], "Content-Length": str(len(answer)),
                   **headers}
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(answer)

    def close(self):
        self.release.set()
        self.server.shutdown()
        self.server.server_close()
        for connection in self.connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class RawSink(Sink):
    """An HTTP backend, byte by byte: replies(n) gives what the n-th request is answered with (b"": the
    connection is reset). The connection is closed after each."""

    def __init__(self, replies):
        super().__init__()
        self.replies, self.heads = replies, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.url = f"http://localhost:{self.port}"
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as file:
                try:
                    self.one(connection, file)
                except OSError:
                    pass

    def one(self, connection, file):
        head = {"": file.readline().decode().strip()}
        for line in iter(file.readline, b"\r\n"):
            if not line:
                return
            name, _, value = line.decode().partition(":")
            head[name.lower()] = value.strip()
        body = file.read(int(head["content-length"]))
        body = gzip.decompress(body) if head.get("content-encoding") == "gzip" else body
        self.heads.append(head)
        n, _ = self.add(head[""].split()[1], head, trace_service_pb2.ExportTraceServiceRequest.FromString(body),
                        len(body))
        reply = self.replies(n)
        if not reply:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return
        connection.sendall(reply)
        connection.shutdown(socket.SHUT_WR)

    def close(self):
        self.listener.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class GrpcSink(Sink):
    """behave returns None (OK), a response, (code, details, trailing metadata) or HANG."""

    def __init__(self, behave=None, port=0, tls=None):
        super().__init__(behave)
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(8))
        handler = grpc.unary_unary_rpc_method_handler(self.answer)
        self.server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(
            "opentelemetry.proto.collector.trace.v1.TraceService", {"Export": handler})])
        if tls:
            self.port = self.server.add_secure_port(f"127.0.0.1:{port}", tls)
        else:
            self.port = self.server.add_insecure_port(f"127.0.0.1:{port}")
        self.url = f"{'grpcs' if tls else 'grpc'}://localhost:{self.port}"
        self.server.start()

    def answer(self, body, context):
        message = trace_service_pb2.ExportTraceServiceRequest.FromString(body)
        n, request = self.add(METHOD, dict(context.invocation_metadata()), message, len(body))
        result = self.behave(n, request)
        if result is HANG:
            self.release.wait()
            context.abort(grpc.StatusCode.INTERNAL, "hung")
        if isinstance(result, tuple):
            code, details, metadata = result
            context.set_trailing_metadata(metadata)
            context.abort(code, details)
        with self.lock:
            self.taken.extend(request.spans)
        return (result or response()).SerializeToString()

    def close(self):
        self.release.set()
        self.server.stop(0).wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def server_context(certificate, key, client_ca=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    if client_ca:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client_ca)
    return context
