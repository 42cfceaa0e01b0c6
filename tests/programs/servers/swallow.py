# SPDX-License-Identifier: Apache-2.0
"""Reads whatever comes, says SETTINGS of HTTP/2 and nothing else: swallow.py PORT."""

import socket
import sys
import threading


def serve(s):
    with s:
        s.sendall(b"\0\0\0\4\0\0\0\0\0")
        while s.recv(65536):
            pass


listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
