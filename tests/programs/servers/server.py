# SPDX-License-Identifier: Apache-2.0
"""server.py PORT LOG [FOLDER]: every GET is answered. FOLDER: over TLS, with its cert.pem and key.pem."""
import os
import signal
import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = b"hello\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        os.write(log, f"{self.command} {self.path} {args[2]}\n".encode())


class TlsServer(ThreadingHTTPServer):
    def finish_request(self, request, address):
        # In the thread of the connection: nobody waits for another one's handshake.
        with context.wrap_socket(request, server_side=True) as wrapped:
            super().finish_request(wrapped, address)


log = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
ThreadingHTTPServer.request_queue_size = 128
kind = ThreadingHTTPServer
if len(sys.argv) > 3:
    kind, context = TlsServer, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{sys.argv[3]}/cert.pem", f"{sys.argv[3]}/key.pem")
server = kind(("127.0.0.1", int(sys.argv[1])), Handler)
server.daemon_threads = True
server.serve_forever()
