# SPDX-License-Identifier: Apache-2.0
"""The arithmetic of docs/scale.md, from what a run of the bench has measured.

  scale.py RESULT.json     prints it as a page's sections"""

import json
import os
import statistics
import sys

EXPORT_DELAY_S = 0.8  # what a batch waits for by default (OTEL_BSP_SCHEDULE_DELAY)
BATCH_BYTES = 1 << 20
QUEUE_BYTES = 16 << 20
RING_BYTES = 256 << 10
WAKE_SHARE = 4  # trace is woken when a quarter of the ring waits
NODE_CPUS, NODE_RATES = 128, (10_000, 100_000, 500_000)
NODES, NODE_RATE = 5000, 2000  # requests a second of a node on the average, each a server's and a client's span
SAMPLED = (1, 100)


class Costs:
    """What one of each costs, as measured."""

    def __init__(self, result):
        lines = result["lines"]
        self.cpus = result["processors"]
        sonde = lines["full"]["raw"]["sonde"]

        def role(name):
            return statistics.median(s["cpu"].get(name, 0) / s["requests"] for s in sonde)

        self.trace_ns, self.ship_ns = role("trace"), role("ship")
        self.rate = statistics.median(s["rate"] for s in sonde)
        self.lost = statistics.median(1 - s["rate"] / statistics.mean(n["rate"] for n in s["nothing"]) for s in sonde)
        self.export_bytes = statistics.median(s["sink"]["bytes"] / s["ledger"]["exchanges"]["spans"] for s in sonde)
        raw = lines["connections"]["raw"]
        few = raw[sorted(raw, key=int)[1]]
        empty = [r["empty"]["http"]["hit_ns"] / r["empty"]["http"]["hits"] for r in lines["hooks"]["raw"]]
        # What the kernel adds to a hit while it counts is in an empty program's figure, too.
        self.kernel_ns = few["programs"] - few["hits"] * statistics.median(empty)
        self.growth = {line: {int(k): v["user"] + v["programs"] for k, v in lines[line]["raw"].items()}
                       for line in ("connections", "processes")}
        ring = lines["ring"]["raw"]
        self.record_bytes = ring["bytes"] / ring["requests"]
        memory = lines["memory"]["raw"]
        self.idle_bytes = memory["idle"]
        self.connection_bytes = (memory["connections"] - memory["idle"]) / 50000
        self.free = lines["overload"]["raw"]["free"]

    @property
    def exchange_ns(self):
        return self.kernel_ns + self.trace_ns + self.ship_ns


def table(head, rows):
    return "\n".join(["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
                     + ["| " + " | ".join(map(str, row)) + " |" for row in rows])


def us(ns):
    return f"{ns / 1000:.2f} us"


def slopes(c):
    return table(("one more", "costs", "where"), [
        ("exchange", f"{us(c.kernel_ns)} + {us(c.trace_ns)} + {us(c.ship_ns)} = {us(c.exchange_ns)}",
         "programs, trace, ship (`full`, `connections`)"),
        ("exchange", f"{c.record_bytes:.0f} bytes through the ring, {c.export_bytes:.0f} bytes of export", "`ring`, `full`"),
        ("connection", f"{c.connection_bytes:.0f} bytes; "
         + ", ".join(f"{us(ns)} an exchange over {n:,}" for n, ns in c.growth["connections"].items()), "`memory`, `connections`"),
        ("process", ", ".join(f"{us(ns)} an exchange of {n:,}" for n, ns in c.growth["processes"].items()), "`processes`"),
        ("MiB idle", f"{c.idle_bytes / 2**20:.1f} MiB once a node", "`memory`"),
    ])


def node(c):
    rows = []
    for rate in NODE_RATES:
        fills = RING_BYTES / WAKE_SHARE / (rate * c.record_bytes)
        rows.append((f"{rate:,}", f"{rate * c.exchange_ns / 1e9:.2f} of {NODE_CPUS} ({rate * c.exchange_ns / 1e7 / NODE_CPUS:.2f} %)",
                     f"{rate * c.trace_ns / 1e7:.0f} %", f"{rate * c.record_bytes / 1e6:,.0f} MB/s",
                     f"{1000 * fills:.2f} ms, {1000 * (WAKE_SHARE - 1) * fills:.2f} ms more until it is full",
                     f"{rate * c.export_bytes / 1e6:,.0f} MB/s in {rate * c.export_bytes / BATCH_BYTES:,.0f} requests/s"))
    one = 1e9 / c.trace_ns
    return table(("requests/s", "processors, all of sonde", "of trace's one", "through the ring", "256 KiB ring: woken after", "export, all spans"),
                 rows) + f"\n\ntrace is one thread: above about {one:,.0f} exchanges a second it is full."


def cluster(c):
    rows = []
    for share in SAMPLED:
        spans = 2 * NODE_RATE / share
        by_bytes = spans * c.export_bytes / BATCH_BYTES
        each = max(1 / EXPORT_DELAY_S, by_bytes)
        rows.append(("all" if share == 1 else f"1 in {share}", f"{spans:,.0f}", f"{NODES * spans / 1e6:,.2f} million",
                     f"{NODES * spans * c.export_bytes / 1e6:,.0f} MB/s", f"{each:.2f}", f"{NODES * each:,.0f}",
                     f"{QUEUE_BYTES / (spans * c.export_bytes):,.0f} s"))
    return table(("spans kept", "a node, /s", "cluster, /s", "bytes into the backend", "export requests/s, a node", "cluster", "a full queue after an outage of"), rows)


def checks(c):
    """What the slopes say beforehand, beside what another line has measured."""
    predicted = c.rate * c.exchange_ns / (c.cpus * 1e9)
    free = c.free[-1]
    return table(("prediction", "from the slopes", "measured"), [
        (f"throughput lost at {c.rate:,.0f} requests/s on {c.cpus} processors", f"{predicted:.1%}", f"{c.lost:.1%} (`full`)"),
        (f"share of the machine at {free['rate']:,.0f} requests/s, paced",
         f"{free['rate'] * c.exchange_ns / (c.cpus * 1e9):.1%}", f"{free['share']:.1%} (`overload`, ungoverned)"),
    ])


SECTIONS = {"slopes": slopes, "node": node, "cluster": cluster, "checks": checks}


def main():
    if len(sys.argv) != 2 or not os.path.exists(sys.argv[1]):
        sys.exit("usage: scale.py RESULT.json (of make bench)")
    with open(sys.argv[1]) as f:
        costs = Costs(json.load(f))
    for name, section in SECTIONS.items():
        print(f"{name}\n\n{section(costs)}\n")


if __name__ == "__main__":
    main()
