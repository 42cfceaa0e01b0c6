# SPDX-License-Identifier: Apache-2.0
"""client.py PORT COUNT: COUNT requests on one connection, then COUNT with a connection each."""
import http.client
import sys

port, count = int(sys.argv[1]), int(sys.argv[2])
kept = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
for n in range(count):
    kept.request("GET", f"/kept/{n}")
    assert kept.getresponse().read() == b"hello\n"
kept.close()
for n in range(count):
    one = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    one.request("GET", f"/one/{n}", headers={"Connection": "close"})
    assert one.getresponse().read() == b"hello\n"
    one.close()
