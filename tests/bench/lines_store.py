# SPDX-License-Identifier: Apache-2.0
"""The store: what it takes, how fast it answers, how soon what came by OTLP is found."""

import http.client
import json
import os
import signal
import struct
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

from arms import OUTPUT, SONDE, Running, free_port
from measure import Peak, cpu_ns, pss_bytes, role_pids, tree, wait_for
from rows import Row

LITTLE, MUCH = 1_000_000, 10_000_000
QUESTIONS = 20
ARRIVALS, SPANS_A_REQUEST = 10, 500
SENDERS, SENT = 2, 1_000_000
RATE = 10_000  # spans a second, as tests/bench/store dates them
BODIES = 16  # of a sender: what they hold differs, and to make one takes longer than to take it in


def filled(spans):
    """What tests/bench/store says of so many spans, in a folder beside the output, which is on a disk."""
    with tempfile.TemporaryDirectory(prefix="store-", dir=OUTPUT / "bench") as folder:
        done = subprocess.run([OUTPUT / "bench/store", folder, str(spans), str(QUESTIONS)], capture_output=True, text=True,
                              timeout=900)
        if done.returncode:
            raise RuntimeError(done.stderr)
        said = json.loads(done.stdout)
        if said["evicted"] or said["services"]["spans"] != spans:
            raise RuntimeError(f"of {spans} spans {said['services']['spans']} are in the store, {said['evicted']} were given up")
        kept = sum(os.path.getsize(os.path.join(folder, name)) for name in os.listdir(folder))
        views = shown(folder) if spans == MUCH else {}
    return {**said, "bytes_per_span": kept / spans, **views}


def shown(folder):
    """Seconds that the page waits for its services and its map, of more spans than there is time for, and how many these
    tell of: as much of the time as could be looked at, with the rate that it has."""
    os.chmod(folder, 0o755)
    for name in os.listdir(folder):
        os.chmod(os.path.join(folder, name), 0o644)
    views = {}
    with Serve(folder) as serve:
        for view in ("statistics", "map"):
            begin = time.monotonic()
            answer = serve.get(f"/api/v1/{view}")
            took = time.monotonic() - begin
            seconds = (int(answer["end_unix_nano"]) - int(answer["start_unix_nano"])) / 1e9
            if not answer["incomplete"] or abs(answer["spans"] / seconds / RATE - 1) > 0.02:
                raise RuntimeError(f"{view}: {answer['spans']} spans in {seconds} s, incomplete: {answer['incomplete']}")
            views[view] = {"seconds": took, "spans": answer["spans"]}
    return views


def field(number, payload):
    """A field of bytes, as protobuf has it."""
    length, head = len(payload), bytes([number << 3 | 2])
    while length >= 0x80:
        head, length = head + bytes([length & 0x7f | 0x80]), length >> 7
    return head + bytes([length]) + payload


def attribute(number, key, value):
    return field(number, field(1, key.encode()) + field(2, field(1, value.encode())))


def export_request(trace, n):
    """An ExportTraceServiceRequest of n spans of 14 attributes and some 600 bytes."""
    spans = b""
    for _ in range(n):
        now = time.time_ns()
        span = field(1, trace) + field(2, os.urandom(8)) + field(5, b"GET /api/v1/customers/{id}/orders") + b"\x30\x02"
        span += b"\x39" + struct.pack("<Q", now) + b"\x41" + struct.pack("<Q", now + 1000)
        span += b"".join(attribute(9, f"attribute.bench.{i}", f"value-{i}-{os.urandom(2).hex()}") for i in range(14))
        spans += field(2, span)
    return field(1, field(1, attribute(1, "service.name", "bench")) + field(2, spans))


class Serve(Running):
    """`sonde serve` that receives, on a store of its own, or on one that is there."""

    def __init__(self, folder=None):
        self.folder = tempfile.TemporaryDirectory(prefix="store-", dir=OUTPUT / "bench")
        self.http, self.ui = free_port(), free_port()
        self.process = subprocess.Popen(
            [SONDE, "serve", "--store", folder or os.path.join(self.folder.name, "store"), "--ui", f"127.0.0.1:{self.ui}",
             "--otlp-http", f"127.0.0.1:{self.http}"], stderr=subprocess.PIPE)
        wait_for(self.answers, "sonde serve answers")

    def answers(self):
        try:
            return self.post(b"") == 200 and self.get("/api/v1/health")
        except OSError:
            return False

    def post(self, body):
        request = urllib.request.Request(f"http://127.0.0.1:{self.http}/v1/traces", body,
                                         {"Content-Type": "application/x-protobuf"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ui}{path}", timeout=60) as answer:
            return json.load(answer)

    def has(self, trace, n):
        """As long as there is nothing of a trace that is an error, 404."""
        try:
            whole = self.get(f"/api/v1/traces/{trace.hex()}")
        except urllib.error.HTTPError:
            return False
        return len(whole["resourceSpans"][0]["scopeSpans"][0]["spans"]) >= n

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=30)
        self.folder.cleanup()


def arrivals():
    """Seconds from the first byte of a request to the answer of a search that has all of its spans."""
    took = []
    with Serve() as serve:
        for _ in range(ARRIVALS):
            trace = os.urandom(16)
            body = export_request(trace, SPANS_A_REQUEST)
            begin = time.monotonic()
            serve.post(body)
            wait_for(lambda: serve.has(trace, SPANS_A_REQUEST), "the spans are found")
            took.append(time.monotonic() - begin)
    return took


def send(serve, n):
    """n spans by one connection, as fast as they are taken."""
    bodies = [export_request(os.urandom(16), SPANS_A_REQUEST) for _ in range(BODIES)]
    connection = http.client.HTTPConnection("127.0.0.1", serve.http, timeout=60)
    sent = 0
    while sent < n // SPANS_A_REQUEST:
        connection.request("POST", "/v1/traces", bodies[sent % BODIES], {"Content-Type": "application/x-protobuf"})
        answer = connection.getresponse()
        answer.read()
        if answer.status == 503:  # too much waits to be stored: again, soon
            time.sleep(0.02)
        elif answer.status != 200:
            raise RuntimeError(f"OTLP/HTTP answered {answer.status}")
        else:
            sent += 1
    connection.close()


def received():
    """A million spans by OTLP/HTTP, until all of them can be found: processor time of all roles, memory of the one that
    writes."""
    with Serve() as serve:
        pids, ship = tree(serve.process.pid), [role_pids(serve.process.pid)["ship"]]
        before = {"cpu": sum(map(cpu_ns, pids)), "pss": pss_bytes(ship)}
        begin = time.monotonic()
        with Peak(lambda: pss_bytes(ship)) as peak:
            threads = [threading.Thread(target=send, args=(serve, SENT // SENDERS)) for _ in range(SENDERS)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            wait_for(lambda: serve.get("/api/v1/health")["store"]["spans"] >= SENT, "all spans are found")
        took, cpu = time.monotonic() - begin, sum(map(cpu_ns, pids)) - before["cpu"]
    return {"per_cpu_second": SENT / cpu * 1e9, "per_second": SENT / took, "added": peak.most - before["pss"], **before}


def store(args):
    """One and ten million spans into the store, a fixed set of questions; OTLP over HTTP until it is found."""
    little, much, took, taken = filled(LITTLE), filled(MUCH), arrivals(), received()
    of = f"{MUCH:,} spans"
    kib = [r["resident_added_kib"] * 1024 for r in (little, much)]
    warm, cold = ([q[f"{how}_p95_ms"] for q in much["queries"]] for how in ("warm", "cold"))
    slowest = max(much["queries"], key=lambda q: q["cold_p95_ms"])["query"]
    return [
        Row(f"store: spans taken a second and core, {of}", [much["spans_per_cpu_second"]], "/s", 150000, at_least=True,
            note=f"{much['span_bytes']:.0f} bytes each, {much['bytes_per_span']:.0f} on disk"),
        Row("  memory of the writer", [kib[1]], "MiB", 32 * 2**20),
        Row("  more than with a tenth of them", [kib[1] - kib[0]], "MiB", 8 * 2**20),
        Row("  the longest batch, merging included", [much["longest_write_ms"]], "ms"),
        Row(f"  {len(warm)} questions, p95 of each, warm", warm, "ms", 50, judge="most"),
        Row("  cold", cold, "ms", 200, judge="most", note=f"slowest: {slowest}"),
        Row("  list of services, p95, warm", [much["services"]["warm_p95_ms"]], "ms", 20,
            note=f"cold {much['services']['cold_p95_ms']:.1f} ms"),
        Row("  rate, errors and durations of all services, asked until told", [much["statistics"]["seconds"]], "s",
            note=f"of the newest {much['statistics']['spans']:,} spans: for more there is not the time"),
        Row("  map of all services, the same", [much["map"]["seconds"]], "s", note=f"of the newest {much['map']['spans']:,} spans"),
        Row(f"OTLP/HTTP, {SENT:,} spans: taken a second and core, all roles", [taken["per_cpu_second"]], "/s", 150000, at_least=True,
            note=f"{taken['per_second']:,.0f}/s"),
        Row("  memory of ship, its queues included, more than before", [taken["added"]], "MiB", 32 * 2**20),
        Row(f"OTLP/HTTP, {SPANS_A_REQUEST} spans, until they are found", took, "s", 2, judge="most"),
    ], {"little": little, "much": much, "arrivals": took, "received": taken}
