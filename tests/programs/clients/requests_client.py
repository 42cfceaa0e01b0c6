# SPDX-License-Identifier: Apache-2.0
"""requests_client.py PORT COUNT CA: COUNT requests by Python's requests, on one session."""
import sys

import requests

with requests.Session() as session:
    for n in range(int(sys.argv[2])):
        assert session.get(f"https://localhost:{sys.argv[1]}/requests/{n}", timeout=20, verify=sys.argv[3]).status_code == 200
