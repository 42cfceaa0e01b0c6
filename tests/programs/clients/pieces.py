# SPDX-License-Identifier: Apache-2.0
"""pieces.py PLAN.json: requests whose bytes arrive in exactly the pieces that the plan says.

PLAN: [[piece, piece, …], …], each piece a string of latin-1 characters; one connection a request. Two processes: the
server tells the client through a pipe what it has read, and only then the next piece is written.
Every answer is an empty 200.
"""
import json
import os
import socket
import sys

with open(sys.argv[1]) as f:
    plan = [[piece.encode("latin-1") for piece in pieces] for pieces in json.load(f)]
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen(8)
read_end, write_end = os.pipe()


def serve():
    for pieces in plan:
        connection, _ = listener.accept()
        for piece in pieces:
            left = len(piece)
            while left:
                left -= len(connection.recv(left))
            os.write(write_end, b".")
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        while connection.recv(4096):
            pass
        connection.close()


def ask():
    for pieces in plan:
        with socket.create_connection(listener.getsockname()) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for piece in pieces:
                connection.sendall(piece)
                os.read(read_end, 1)
            answer = b""
            while b"\r\n\r\n" not in answer:
                answer += connection.recv(4096)


child = os.fork()
if child == 0:
    serve()
    os._exit(0)
ask()
sys.exit(os.waitpid(child, 0)[1])
