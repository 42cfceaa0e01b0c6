# SPDX-License-Identifier: Apache-2.0
"""middle.py PORT UPSTREAM: a threaded server that asks an upstream for the same path, per request.

With FORWARD=api it carries the caller's context on by the OpenTelemetry API alone, no SDK.
"""
import http.client
import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

if os.environ.get("FORWARD") == "api":
    from opentelemetry.propagate import extract, inject

local = threading.local()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        headers = {}
        if os.environ.get("FORWARD") == "api":
            inject(headers, context=extract(dict(self.headers)))
        if not hasattr(local, "upstream"):
            local.upstream = http.client.HTTPConnection("127.0.0.1", int(sys.argv[2]), timeout=20)
        local.upstream.request("GET", self.path, headers=headers)
        answer = local.upstream.getresponse()
        body = answer.read()
        self.send_response(answer.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
ThreadingHTTPServer.request_queue_size = 128
server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
server.daemon_threads = True
server.serve_forever()
