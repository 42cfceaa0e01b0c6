# SPDX-License-Identifier: Apache-2.0
"""The first thing that a new user runs: `make demo`."""

import json
import os
import re
import socket
import subprocess
import time
import urllib.request

import pytest

from harness import ROOT, SONDE, free_port, wait_for
from terminal import Terminal

DEMO = ROOT / "demo/demo.sh"
FILES = SONDE.parent / "demo"


@pytest.fixture()
def address():
    return f"127.0.0.1:{free_port()}"


def environment(address):
    return {**os.environ, "OUTPUT": str(FILES.parent), "UI": address}


def shown(address):
    """Services of the traces that the page has to show."""
    with urllib.request.urlopen(f"http://{address}/api/v1/services", timeout=5) as answer:
        return {service["name"] for service in json.load(answer)["services"]}


def test_on_a_terminal(address):
    """Protects: the URL is printed, the page has the traces within 5 s of the first request, and goes on until Ctrl-C."""
    log = FILES / "access.log"
    log.unlink(missing_ok=True)
    demo = Terminal(DEMO, env=environment(address))
    try:
        demo.said(f"http://{address}/".encode())
        wait_for(lambda: log.exists() and log.stat().st_size, "the first request", 60)
        first = time.monotonic()
        wait_for(lambda: {"nginx", "shop", "stock"} <= shown(address), "the page has traces")
        assert time.monotonic() - first < 5
        demo.said(b"until Ctrl-C")
        said = re.sub(r"\x1b\[[0-9;]*m", "", demo.out.decode())
        assert said.count("nginx server GET /buy") == 12 and ", 0 lost; " in said
        assert {"curl", "nginx", "shop", "stock"} <= shown(address)
        demo.type("\x03")
        assert demo.ended() == 0, demo.out
        assert b"OTLP JSON lines" in demo.out
    finally:
        demo.close()


def test_without_a_terminal(address):
    """Protects: in a script it ends by itself, with 0; where the page's address is taken, all but the page works."""
    with socket.create_server(("127.0.0.1", int(address.split(":")[1]))):
        done = subprocess.run([DEMO], env=environment(address), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "nothing is served" in done.stderr and address.split(":")[1] in done.stderr
    assert done.stderr.count("nginx server GET /buy") == 12
