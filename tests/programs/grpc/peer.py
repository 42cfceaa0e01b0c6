# SPDX-License-Identifier: Apache-2.0
"""See README."""

import asyncio
import sys

import grpc

SERVICE = "sonde.test.Echo"


async def unary(request, context):
    word, _, number = request.decode().partition(" ")
    if word == "fail":
        code = next(c for c in grpc.StatusCode if c.value[0] == int(number))
        await context.abort(code, "as asked for")
    if word == "sleep":
        await asyncio.sleep(int(number) / 1000)
    return request


async def client_stream(requests, context):
    n = 0
    async for _ in requests:
        n += 1
    return str(n).encode()


async def server_stream(request, context):
    for i in range(int(request.decode().partition(" ")[2])):
        yield str(i).encode()
        if i % 100 == 99:
            await asyncio.sleep(0.001)


async def bidi(requests, context):
    async for request in requests:
        yield request


async def serve(port, certificate=None, key=None):
    server = grpc.aio.server(options=[("grpc.max_concurrent_streams", 5000)])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "ClientStream": grpc.stream_unary_rpc_method_handler(client_stream),
        "ServerStream": grpc.unary_stream_rpc_method_handler(server_stream),
        "Bidi": grpc.stream_stream_rpc_method_handler(bidi),
    }),))
    if certificate:
        with open(key, "rb") as k, open(certificate, "rb") as c:
            server.add_secure_port(f"127.0.0.1:{port}", grpc.ssl_server_credentials([(k.read(), c.read())]))
    else:
        server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


async def status_of(call):
    try:
        await call
    except grpc.aio.AioRpcError as e:
        return e.code().value[0]
    return 0


class Client:
    def __init__(self, channel):
        self.call_unary = channel.unary_unary(f"/{SERVICE}/Unary")
        self.call_missing = channel.unary_unary(f"/{SERVICE}/Missing")
        self.call_client = channel.stream_unary(f"/{SERVICE}/ClientStream")
        self.call_server = channel.unary_stream(f"/{SERVICE}/ServerStream")
        self.call_bidi = channel.stream_stream(f"/{SERVICE}/Bidi")

    async def unary(self, n):
        for i in range(n):
            assert await self.call_unary(b"hello %d" % i) == b"hello %d" % i

    async def client(self, n):
        assert await self.call_client(iter([b"x"] * n)) == str(n).encode()

    async def server(self, n):
        assert len([m async for m in self.call_server(b"count %d" % n)]) == n

    async def bidi(self, n):
        call = self.call_bidi()
        for i in range(n):
            await call.write(b"%d" % i)
            assert await call.read() == b"%d" % i
        await call.done_writing()
        assert await call.read() == grpc.aio.EOF

    async def concurrent(self, n):
        calls = [self.call_bidi() for _ in range(n)]
        for i, call in enumerate(calls):
            await call.write(b"%d" % i)
        for i, call in enumerate(calls):
            assert await call.read() == b"%d" % i
        for call in calls:
            await call.done_writing()
            assert await call.read() == grpc.aio.EOF

    async def fail(self, code):
        assert await status_of(self.call_unary(b"fail %d" % code)) == code

    async def cancel(self):
        call = self.call_server(b"count 100000000")
        await call.read()
        call.cancel()
        assert await call.code() == grpc.StatusCode.CANCELLED

    async def deadline(self):
        assert await status_of(self.call_unary(b"sleep 3000", timeout=0.3)) == 4

    async def missing(self):
        assert await status_of(self.call_missing(b"")) == 12


async def ask(port, ca, steps):
    if ca == "-":
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
    else:
        with open(ca, "rb") as f:
            channel = grpc.aio.secure_channel(f"localhost:{port}", grpc.ssl_channel_credentials(f.read()))
    async with channel:
        client = Client(channel)
        for step in steps:
            name, _, number = step.partition(":")
            await getattr(client, name)(*([int(number)] if number else []))


if sys.argv[1] == "server":
    asyncio.run(serve(*sys.argv[2:]))
else:
    asyncio.run(ask(sys.argv[2], sys.argv[3], sys.argv[4:]))
