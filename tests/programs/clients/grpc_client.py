# SPDX-License-Identifier: Apache-2.0
"""Calls of grpc_server.py, each waited for: grpc_client.py PORT CALL…; a call is NAME[:ARGUMENT[:TIMEOUT]]."""

import sys
import threading

import grpc

METADATA = (("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),)


def main():
    channel = grpc.insecure_channel(f"127.0.0.1:{sys.argv[1]}", options=[("grpc.enable_retries", 0)])
    unary = channel.unary_unary("/test.Echo/Unary")
    for call in sys.argv[2:]:
        name, _, rest = call.partition(":")
        argument, _, timeout = rest.partition(":")
        timeout = float(timeout) if timeout else 60
        try:
            if name == "unary":
                assert unary(argument.encode(), timeout=timeout).startswith(argument.split()[0].encode())
            elif name == "traced":
                unary(b"1", timeout=timeout, metadata=METADATA)
            elif name == "server":
                assert len(list(channel.unary_stream("/test.Echo/ServerStream")(argument.encode()))) == int(argument)
            elif name == "client":
                messages = (b"%d" % i for i in range(int(argument)))
                assert channel.stream_unary("/test.Echo/ClientStream")(messages) == argument.encode()
            elif name == "both":
                messages = (b"%d" % i for i in range(int(argument)))
                assert len(list(channel.stream_stream("/test.Echo/BothStreams")(messages))) == 2 * int(argument)
            elif name == "sleep":
                channel.unary_unary("/test.Echo/Sleep")(b"", timeout=timeout)
            elif name == "cancel":
                running = channel.unary_unary("/test.Echo/Sleep").future(b"")
                gone = threading.Event()
                running.add_done_callback(lambda _: gone.set())
                threading.Timer(0.3, running.cancel).start()
                gone.wait(60)
            elif name == "lacking":
                channel.unary_unary("/test.Echo/Lacking")(b"", timeout=timeout)
            elif name == "many":
                running = [unary.future(b"%d" % i, timeout=60) for i in range(int(argument))]
                assert [r.result() for r in running] == [b"%d" % i for i in range(int(argument))]
        except grpc.RpcError as error:
            print(name, error.code().name)
    channel.close()


main()
