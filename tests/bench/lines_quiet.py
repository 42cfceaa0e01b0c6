# SPDX-License-Identifier: Apache-2.0
"""Lines at rest and at low load: memory, wake-ups, how soon it begins, how soon a span leaves."""

import http.client
import http.server
import re
import subprocess
import threading
import time

from arms import FREE, SONDE, Load, Loads, Nginx, Sonde
from measure import Peak, residuals, switches, wait_for
from rows import Row

IDLE_S = 10
CONNECTIONS = 50000


def memory(args):
    """Map bytes and proportional memory of all roles: idle, at 10,000 requests a second, with 50,000 idle connections."""
    raw = {}
    with Nginx() as nginx:
        with Sonde(args, nginx.pids, FREE) as sonde:
            time.sleep(1)
            raw["idle"] = sonde.memory()
            with Load("paced", nginx.port, 64) as load, Peak(sonde.memory) as peak:
                raw["load"] = load.do(10000, 4000)
            raw["busy"] = peak.most
    # As many workers as their limits of descriptors need.
    with Nginx(workers=6) as nginx:
        with Sonde(args, nginx.pids, FREE) as many:
            with Loads(nginx.port, CONNECTIONS) as load, Peak(many.memory) as peak:
                raw["asked"] = load.do("once")
                time.sleep(1)
            raw["connections"] = peak.most
    raw["ledgers"] = [sonde.ledger, many.ledger]
    seen = many.ledger["connections"]["seen"]
    rate = raw["load"]["requests"] / raw["load"]["ns"] * 1e9
    return [Row("maps and roles, idle", [raw["idle"]], "MiB", 25 * 2**20),
            Row("maps and roles, 10,000 requests/s", [raw["busy"]], "MiB", 48 * 2**20, note=f"at {rate:,.0f}/s"),
            Row("maps and roles, 50,000 idle connections", [raw["connections"]], "MiB", 64 * 2**20,
                note=f"{seen:,} seen"),
            Row("residuals there", [residuals(ledger) for ledger in raw["ledgers"]], "", 0, judge="most")], raw


def idle(args):
    """Wake-ups and processor time without traffic, after some, with a connection open."""
    with Nginx() as nginx, Sonde(args, nginx.pids, options=()) as sonde:
        connection = http.client.HTTPConnection("127.0.0.1", nginx.port)
        connection.request("GET", "/")
        connection.getresponse().read()

        def looks():
            return {role: switches(pid) for role, pid in sonde.roles.items()}

        # Batches and timers of the request that has ended: until they are over.
        begin, before = time.monotonic(), looks()
        while time.monotonic() - begin < 30:
            time.sleep(2)
            if before == (before := looks()):
                break
        cpu = sonde.cpu()
        time.sleep(IDLE_S)
        after, took = looks(), sonde.cpu_since(cpu)
        connection.close()
    raw = {"switches": {role: after[role] - before[role] for role in after}, "cpu_ns": took,
           "rest_after_s": time.monotonic() - begin - IDLE_S}
    return [Row(f"idle, wake-ups in {IDLE_S} s", [sum(raw["switches"].values())], "", 0),
            Row("idle, of a processor", [sum(took.values()) / (IDLE_S * 1e9)], "%", 0.0005)], raw


class Asking:
    """One request every so often, on a connection of its own, until the end."""

    def __init__(self, port, every):
        self.port, self.every, self.ended = port, every, threading.Event()

    def __enter__(self):
        self.thread = threading.Thread(target=self.ask, daemon=True)
        self.thread.start()
        return self

    def ask(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        while not self.ended.wait(self.every):
            connection.request("GET", "/")
            connection.getresponse().read()
        connection.close()

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()


def start(args):
    """From the start of the command to its hooks, and to the first span that it shows."""
    raw = {"hooks": [], "span": []}
    with Nginx() as nginx:
        for _ in range(args.rounds):
            with Sonde(args, nginx.pids) as sonde:
                raw["hooks"].append(sonde.start_seconds)
            with Asking(nginx.port, 0.005):
                began = time.monotonic()
                trace = subprocess.Popen([SONDE, "trace", "-q", "--tier", args.tier, "-p", ",".join(map(str, nginx.pids)),
                                          "-n", "1"], text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
                trace.stdout.readline()
                raw["span"].append(time.monotonic() - began)
                trace.communicate(timeout=30)
    return [Row("start to the hooks attached", raw["hooks"], "s", 0.5),
            Row("start to the first span shown", raw["span"], "s", 1.0)], raw


class Arrivals(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.arrivals.append((time.monotonic(), len(body)))
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class TimedSink:
    """Notes when a request comes."""

    def __init__(self):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Arrivals)
        self.server.daemon_threads = True
        self.server.arrivals = self.arrivals = []
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


# Seconds between a span's arrival and the next request: of no rhythm that a timer could be in step with.
GAPS = (0.31, 0.77, 1.13, 0.05, 0.59, 0.93)


def latency(args):
    """From a response's last byte to its span leaving ship, one request at a time."""
    raw = []
    with Nginx() as nginx, Sonde(args, nginx.pids, (), TimedSink) as sonde:
        connection = http.client.HTTPConnection("127.0.0.1", nginx.port)
        for gap in GAPS:
            time.sleep(gap)
            before = len(sonde.sink.arrivals)
            connection.request("GET", "/")
            connection.getresponse().read()
            end = time.monotonic()
            wait_for(lambda: len(sonde.sink.arrivals) > before, "the span")
            raw.append(sonde.sink.arrivals[before][0] - end)
        connection.close()
    return [Row("a response's last byte to its span leaving ship", raw, "s", 1.0, judge="most")], raw
