# SPDX-License-Identifier: Apache-2.0
"""Passes a connection on as it is, and keeps what the client sent: requests of HTTP/1, messages of gRPC."""

import gzip
import io
import socket
import threading


class Relay:
    """Listens at .port for a receiver at `to`."""

    def __init__(self, to):
        self.to = to
        self.sent = []  # a bytearray a connection
        self.listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listening.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.to))
            kept = bytearray()
            self.sent.append(kept)
            threading.Thread(target=self._pass, args=(client, server, kept), daemon=True).start()
            threading.Thread(target=self._pass, args=(server, client, bytearray()), daemon=True).start()

    @staticmethod
    def _pass(from_, to, kept):
        try:
            while data := from_.recv(65536):
                kept += data
                to.sendall(data)
            to.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        self.listening.close()

    def messages(self):
        """(content type, unpacked body) of each request of all connections."""
        return [m for sent in self.sent for m in (grpc_messages if sent.startswith(b"PRI ") else http_messages)(bytes(sent))]


def read_chunks(stream):
    body = b""
    while size := int(stream.readline().split(b";")[0], 16):
        body += stream.read(size)
        stream.readline()
    while stream.readline().strip():
        pass
    return body


def http_messages(sent):
    """RFC 9112: requests, one after the other."""
    stream, found = io.BytesIO(sent), []
    while stream.readline():
        headers = {}
        while line := stream.readline().strip():
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        chunked = headers.get("transfer-encoding") == "chunked"
        body = read_chunks(stream) if chunked else stream.read(int(headers.get("content-length", 0)))
        found.append((headers["content-type"], gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body))
    return found


def grpc_messages(sent):
    """RFC 9113: what DATA frames of a stream hold, cut into messages, each behind a flag and a length."""
    at, streams, found = len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), {}, []
    while at + 9 <= len(sent):
        length, kind, flags = int.from_bytes(sent[at:at + 3], "big"), sent[at + 3], sent[at + 4]
        stream, data = int.from_bytes(sent[at + 5:at + 9], "big"), sent[at + 9:at + 9 + length]
        if kind == 0:
            padded = flags & 8
            streams.setdefault(stream, bytearray()).extend(data[1:len(data) - data[0]] if padded else data)
        at += 9 + length
    for data in map(bytes, streams.values()):
        while data:
            length = int.from_bytes(data[1:5], "big")
            message = data[5:5 + length]
            found.append(("application/grpc", gzip.decompress(message) if data[0] else message))
            data = data[5 + length:]
    return found
