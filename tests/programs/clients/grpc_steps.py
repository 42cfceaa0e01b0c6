# SPDX-License-Identifier: Apache-2.0
"""Calls of a peer of grpc/README, on one connection, as it is told by lines of its input; it answers each with one line.

  grpc_steps.py PORT

  call N     N calls of Unary
  refill N   N calls of methods that there are not, each with a long name, and one that is answered with N header fields:
             so much goes into the tables of both directions
"""

import sys

import grpc

SERVICE = "/sonde.test.Echo"


def main():
    channel = grpc.insecure_channel(f"127.0.0.1:{sys.argv[1]}", options=[("grpc.enable_retries", 0)])
    unary = channel.unary_unary(f"{SERVICE}/Unary")
    for line in sys.stdin:
        step, number = line.split()
        for i in range(int(number)):
            if step == "call":
                assert unary(b"hello", timeout=60) == b"hello"
            else:
                try:
                    channel.unary_unary(f"{SERVICE}/{'Lacking' * 8}{i}")(b"", timeout=60)
                except grpc.RpcError as error:
                    assert error.code() == grpc.StatusCode.UNIMPLEMENTED
        if step == "refill":
            unary(b"refill " + number.encode(), timeout=60)
        print("done", flush=True)


main()
