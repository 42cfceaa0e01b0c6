# SPDX-License-Identifier: Apache-2.0
"""How the cost of one exchange grows: with connections, processes, the length of bodies. The rate is the same
each time, so that what differs is the one thing that grows."""

import time

from arms import FREE, Empty, Load, Loads, Nginx, Sonde
from measure import Statistics
from rows import Row

RATE = 5000
SECONDS = 4
FLAT = 1.3
CONNECTIONS = (1, 100, 20000)
PROCESSES = (1, 50, 500)
BODIES = (1, 1 << 20, 1 << 30)
BODY_RATE = 1
BODY_SECONDS = 5


def come_to_rest(sonde):
    """Whoever is new has been looked at: that is paid once a process, not once an exchange."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        before = sonde.cpu()
        time.sleep(0.4)
        if sum(ns for role, ns in sonde.cpu_since(before).items() if role in ("probe", "inspect")) < 4_000_000:
            return


def cost(args, pids, load, rate, seconds, settle=0.3):
    """{"user": ns, "programs": ns, "hits", "records"} an exchange, all roles; what counting a hit adds is in it."""
    with Sonde(args, pids, FREE) as sonde:
        load.do("once")
        load.do(rate, 500)
        come_to_rest(sonde)
        load.do(rate, 500)
        (hits, ns), cpu = sonde.programs.read(), sonde.cpu()
        done = load.do(rate, seconds * 1000)
        time.sleep(settle)
        (hits2, ns2), took = sonde.programs.read(), sonde.cpu_since(cpu)
    n = max(done["requests"], 1)
    begun = max(sonde.ledger["exchanges"]["begun"], 1)
    return {"user": sum(took.values()) / n, "programs": (ns2 - ns) / n, "hits": (hits2 - hits) / n,
            "records": sonde.ledger["records"]["attempted"] / begun, "requests": n, "late": done["late"],
            "roles": {role: t / n for role, t in took.items()}, "rate": n / done["ns"] * 1e9}


def growth_rows(what, raw):
    """raw: {how many: cost}"""
    total = {k: v["user"] + v["programs"] for k, v in raw.items()}
    first, last = list(raw)[0], list(raw)[-1]
    rows = [Row(f"an exchange over {k:,} {what}", [v], "us",
                note=f"programs {raw[k]['programs'] / 1000:.2f}, user {raw[k]['user'] / 1000:.2f} us at {raw[k]['rate']:,.0f}/s")
            for k, v in total.items()]
    return rows + [Row(f"growth from {first:,} to {last:,} {what}", [total[last] / total[first]], "ratio", FLAT)]


def connections(args):
    """1 to 20,000 keep-alive connections of nginx, 5,000 requests a second in all."""
    raw = {}
    with Statistics():
        for n in CONNECTIONS:
            with Nginx() as nginx, Loads(nginx.port, n) as load:
                raw[n] = cost(args, nginx.pids, load, RATE, SECONDS)
    return growth_rows("connections", raw), raw


def processes(args):
    """1 to 500 processes that serve, 5,000 requests a second in all."""
    raw = {}
    with Statistics():
        for n in PROCESSES:
            with Load("servers", n) as servers:
                ports = [word.split(":")[0] for word in servers.ready]
                with Load("paced", ",".join(ports), n) as load:
                    raw[n] = cost(args, [servers.process.pid], load, RATE, SECONDS)
    return growth_rows("processes", raw), raw


def empty_ns(args, load):
    with Empty(args.tier) as empty:
        hits, ns = empty.programs.read()
        done = load.do(BODY_RATE, BODY_SECONDS * 1000)
        now = empty.programs.read()
    return (now[1] - ns) / max(done["requests"], 1)


def bodies(args):
    """Bodies of 1 B to 1 GB from nginx, one a second: what a copy of so many bytes needs in calls, each call costs."""
    raw = {}
    with Nginx() as nginx, Statistics():
        for size in BODIES:
            with Load("paced", nginx.port, 1, nginx.file(f"body{size}", size)) as load:
                raw[size] = cost(args, nginx.pids, load, BODY_RATE, BODY_SECONDS)
                raw[size]["empty"] = empty_ns(args, load)
    # What probe does is a matter of seconds, not of exchanges.
    for r in raw.values():
        r["user"] = r["roles"]["trace"] + r["roles"]["ship"]
    rows = [Row(f"an exchange with a body of {size:,} bytes, trace and ship", [r["user"]], "us",
                note=f"{r['records']:.2f} records; programs {r['programs'] / 1000:,.1f} us in {r['hits']:,.0f} hits, "
                     f"empty ones {r['empty'] / 1000:,.1f} us") for size, r in raw.items()]
    first, last = raw[BODIES[0]], raw[BODIES[-1]]
    per_hit = (last["programs"] - last["empty"]) / max(last["hits"], 1)
    return rows + [Row("growth from 1 B to 1 GB, trace and ship", [last["user"] / first["user"]], "ratio", FLAT),
                   Row("records of an exchange with any body, at the most", [r["records"] for r in raw.values()], "", 3.5, judge="most",
                       note="the connection's own is among them"),
                   Row("a call of the 1 GB: more than empty programs", [per_hit], "ns", 60)], raw
