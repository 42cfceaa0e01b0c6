# SPDX-License-Identifier: Apache-2.0
"""A gRPC server without generated code: grpc_server.py PORT LOG. Messages are text: "N" or "N SIZE"."""

import sys
import time
from concurrent import futures

import grpc


def unary(request, context):
    n, _, size = request.partition(b" ")
    context.set_trailing_metadata((("x-number", n.decode()),))
    if n == b"fail":
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "as asked")
    return n + b"." * int(size or 0)


def server_stream(request, context):
    for i in range(int(request)):
        yield b"%d" % i


def client_stream(requests, context):
    return b"%d" % sum(1 for _ in requests)


def both_streams(requests, context):
    for request in requests:
        yield request
        yield request


def sleep(request, context):
    end = time.monotonic() + 30
    while context.is_active() and time.monotonic() < end:
        time.sleep(0.02)
    return b""


def main():
    methods = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "ServerStream": grpc.unary_stream_rpc_method_handler(server_stream),
        "ClientStream": grpc.stream_unary_rpc_method_handler(client_stream),
        "BothStreams": grpc.stream_stream_rpc_method_handler(both_streams),
        "Sleep": grpc.unary_unary_rpc_method_handler(sleep),
    }
    server = grpc.server(futures.ThreadPoolExecutor(16), options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", methods),))
    server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
    server.start()
    server.wait_for_termination()


main()
