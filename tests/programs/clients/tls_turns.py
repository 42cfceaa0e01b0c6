# SPDX-License-Identifier: Apache-2.0
"""tls_turns.py PORT CA: one kept connection; a request for each line that is read, answered by a line."""
import http.client
import ssl
import sys

kept = http.client.HTTPSConnection("localhost", int(sys.argv[1]), timeout=60,
                                   context=ssl.create_default_context(cafile=sys.argv[2]))
for line in sys.stdin:
    kept.request("GET", line.strip())
    print(kept.getresponse().read().decode().strip(), flush=True)
