# SPDX-License-Identifier: Apache-2.0
"""tls_client.py PORT COUNT CA: COUNT requests on one connection, then COUNT with a connection each."""
import http.client
import ssl
import sys

port, count = int(sys.argv[1]), int(sys.argv[2])
context = ssl.create_default_context(cafile=sys.argv[3])


def connect():
    return http.client.HTTPSConnection("localhost", port, timeout=20, context=context)


kept = connect()
for n in range(count):
    kept.request("GET", f"/kept/{n}")
    assert kept.getresponse().read() == b"hello\n"
kept.close()
for n in range(count):
    one = connect()
    one.request("GET", f"/one/{n}", headers={"Connection": "close"})
    assert one.getresponse().read() == b"hello\n"
    one.close()
