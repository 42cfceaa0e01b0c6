# SPDX-License-Identifier: Apache-2.0
"""tls_turns.py PORT CA: one kept connection; a request for each line that is read, answered by a line. "fork": a child goes on."""
import http.client
import os
import ssl
import sys

kept = http.client.HTTPSConnection("localhost", int(sys.argv[1]), timeout=60,
                                   context=ssl.create_default_context(cafile=sys.argv[2]))
for line in sys.stdin:
    if line == "fork\n":
        if os.fork():
            os._exit(0)
        continue
    kept.request("GET", line.strip())
    print(kept.getresponse().read().decode().strip(), flush=True)
