# SPDX-License-Identifier: Apache-2.0
"""The stock: how many of an item there are; it takes its time to look."""

import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Stock(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one write

    def do_GET(self):
        item = self.path.rpartition("/")[2]
        time.sleep(0.005)
        found = item.isdigit() and item != "404"
        body = (f"{int(item) * 7}\n" if found else "none\n").encode()
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Stock)
server.daemon_threads = True
server.serve_forever()
