# SPDX-License-Identifier: Apache-2.0
"""Lines under load: nginx' throughput with and without sonde, what a hook hit costs, a ping-pong of no protocol,
what lies in the ring, what the user side takes."""

import os
import statistics
import subprocess
import tempfile

from arms import FREE, SONDE, TOOLS, Collector, Empty, Load, Nginx, Nothing, Sonde, collector_program, wrk
from measure import Statistics, cpu_ns, residuals
from rows import Row

WARM_S = 1  # of each arm's load, before it is measured: the governor has a second to react


class Outside(Sonde):
    name = "outside"


ARMS = {
    "nothing": lambda args, nginx, idler: Nothing(),
    "empty": lambda args, nginx, idler: Empty(args.tier),
    "sonde": lambda args, nginx, idler: Sonde(args, [nginx.process.pid]),
    "governed": lambda args, nginx, idler: Sonde(args, [nginx.process.pid], options=()),
    "collector": lambda args, nginx, idler: Sonde(args, [nginx.process.pid], FREE, Collector),
    "outside": lambda args, nginx, idler: Sonde(args, idler.ready),
}


def measure_arm(name, args, nginx, idler):
    """One arm of one round: {"rate", "requests", "cpu": {role: ns}, "sink_ns", "ledger"}."""
    with ARMS[name](args, nginx, idler) as arm:
        warm, _ = wrk(nginx.port, 2 * WARM_S if name == "governed" else WARM_S)
        traced = isinstance(arm, Sonde)
        cpu, sink = (arm.cpu(), arm.sink.cpu_ns()) if traced else (None, 0)
        out, own = {}, sum(map(cpu_ns, nginx.pids))
        out["requests"], out["rate"] = wrk(nginx.port, args.seconds)
        out["nginx_ns"] = sum(map(cpu_ns, nginx.pids)) - own
        if traced:
            out["cpu"] = arm.cpu_since(cpu)
            out["sink_ns"] = arm.sink.cpu_ns() - sink
    if traced:
        out["ledger"], out["asked"] = arm.ledger, warm + out["requests"]
        out["sink"] = getattr(arm.sink, "said", None)
    return out


def share_shed(ledger, what):
    """Of all exchanges: those that were not looked at, or whose trace was not sampled."""
    shed, begun = ledger["shed"], ledger["exchanges"]["begun"]
    return shed[what] / max(begun + shed["exchanges"], 1)


def full(args):
    """nginx under full load: with nothing, empty programs, sonde, the default governor, a real Collector, out of scope."""
    arms = [name for name in ARMS if name != "nothing"]
    try:
        collector_program()
    except (OSError, subprocess.SubprocessError) as e:
        print(f"no Collector here: {e}")
        arms.remove("collector")
    rounds = {name: [] for name in arms}
    with Nginx() as nginx, Load("pair", "pingpong") as idler:
        wrk(nginx.port, 1)
        before = measure_arm("nothing", args, nginx, idler)
        for i in range(args.rounds):
            # Whoever comes first is another one each time.
            for name in arms[i % len(arms):] + arms[:i % len(arms)]:
                arm = measure_arm(name, args, nginx, idler)
                after = measure_arm("nothing", args, nginx, idler)
                rounds[name].append({**arm, "nothing": (before, after)})
                before = after
    # This machine's speed changes within seconds: an arm is held against what came right before and after it.
    plain = {name: [statistics.mean(n["rate"] for n in r["nothing"]) for r in rs] for name, rs in rounds.items()}
    lost = {name: [1 - r["rate"] / p for r, p in zip(rs, plain[name])] for name, rs in rounds.items()}
    sonde = rounds["sonde"]
    ledgers = [r["ledger"] for rs in rounds.values() for r in rs if "ledger" in r]
    shed = [r["ledger"] for r in rounds["governed"]]

    def own_more(name):
        """nginx' own time a request, more than with nothing."""
        return [r["nginx_ns"] / r["requests"] - statistics.mean(n["nginx_ns"] / n["requests"] for n in r["nothing"])
                for r in rounds[name]]

    rows = [
        Row("nginx, full load, nothing attached", [p for ps in plain.values() for p in ps], "/s"),
        Row("nginx loses with empty programs (the floor)", lost["empty"], "%"),
        Row("nginx loses with sonde, governor off, every span acknowledged", lost["sonde"], "%", 0.08),
        Row("nginx loses with the default governor", lost["governed"], "%", 0.05),
        Row("  of the traces not sampled there", [share_shed(s, "sampling") for s in shed], "%"),
        Row("  of the requests not looked at there", [share_shed(s, "exchanges") for s in shed], "%"),
        *(() if "collector" not in arms else (
            Row("nginx loses with a real Collector on the same processors", lost["collector"], "%"),
            Row("  the Collector's own time a request",
                [r["sink_ns"] / r["requests"] for r in rounds["collector"]], "us"))),
        Row("nginx loses while sonde looks at others only", lost["outside"], "%", 0.01),
        # Of the processes' own clocks: says the same on a machine that others use, too.
        Row("nginx' own time a request: more with empty programs", own_more("empty"), "us"),
        Row("nginx' own time a request: more with sonde", own_more("sonde"), "us"),
        Row("user space a request, all roles",
            [sum(s["cpu"].values()) / s["requests"] for s in sonde], "us"),
        Row("  of it trace", [s["cpu"]["trace"] / s["requests"] for s in sonde], "us"),
        Row("ship a span, frames to acknowledged request",
            [s["cpu"]["ship"] / s["requests"] for s in sonde], "us", 500),
        Row("records lost under full load", [sum(r["ledger"]["records"]["lost"].values()) for r in sonde]),
        Row("residuals of all accounts there", [residuals(ledger) for ledger in ledgers], "", 0, judge="most"),
    ]
    return rows, rounds


def pair_stats(pair, arm, rounds):
    hits, ns = arm.programs.read()
    took = pair.do(rounds)
    now = arm.programs.read()
    return {"rounds": rounds, "hits": now[0] - hits, "hit_ns": now[1] - ns, "ns": took["ns"]}


HTTP_ROUNDS = 10000
STREAM_CALLS = 100000


def hooks(args):
    """ns of a hook hit above an empty program on the same hook: a head that is recorded, body bytes that are counted."""
    raw = []
    with Load("pair", "http") as http, Load("pair", "stream") as stream, Statistics():
        for i in range(args.rounds):
            arms = {"empty": lambda: Empty(args.tier), "sonde": lambda: Sonde(args, http.ready + stream.ready)}
            raw.append({})
            for name in sorted(arms, reverse=i % 2):
                with arms[name]() as arm:
                    http.do(HTTP_ROUNDS // 10)
                    stream.do(STREAM_CALLS // 10)
                    raw[-1][name] = {"http": pair_stats(http, arm, HTTP_ROUNDS),
                                     "stream": pair_stats(stream, arm, STREAM_CALLS)}

    def more(r, kind, per):
        return (r["sonde"][kind]["hit_ns"] - r["empty"][kind]["hit_ns"]) / per(r)

    rows = [
        Row("hook, an empty program's own time a hit as counted",
            [r["empty"]["http"]["hit_ns"] / r["empty"]["http"]["hits"] for r in raw], "ns"),
        # Both ends are in scope: a request is seen twice, and its response.
        Row("hook, a head recorded: more than empty programs",
            [more(r, "http", lambda r: 4 * HTTP_ROUNDS) for r in raw], "ns", 250),
        Row("hook, body bytes counted: more than empty programs",
            [more(r, "stream", lambda r: r["empty"]["stream"]["hits"]) for r in raw], "ns", 60),
    ]
    return rows, raw


PING_NS = 300_000_000


def ping_ns(pair, rounds, alone):
    """ns a round. On a processor of their own the time that both take is what there is, whoever else runs."""
    before = sum(cpu_ns(int(pid)) for pid in pair.ready)
    ns = pair.do(rounds)["ns"]
    return (sum(cpu_ns(int(pid)) for pid in pair.ready) - before if alone else ns) / rounds


def pingpong(args):
    """A ping-pong of 64 bytes between two processes in scope, of no protocol."""
    cpus, raw = sorted(os.sched_getaffinity(0)), []
    places = {"on one processor": {cpus[0]}, "on any processor": None}
    pairs = {place: Load("pair", "pingpong", cpus=where) for place, where in places.items()}
    try:
        counts = {place: max(1000, int(3000 * PING_NS / p.do(3000)["ns"])) for place, p in pairs.items()}
        arms = {"nothing": Nothing, "empty": lambda: Empty(args.tier),
                "sonde": lambda: Sonde(args, [pid for p in pairs.values() for pid in p.ready])}
        for i in range(args.rounds):
            raw.append({})
            turn = list(arms)[i % 3:] + list(arms)[:i % 3]
            for name in turn:
                with arms[name]():
                    raw[-1][name] = {}
                    for place, p in pairs.items():
                        ping_ns(p, 500, True)
                        # The best of three short ones: what disturbs makes it slower, never faster.
                        raw[-1][name][place] = min(ping_ns(p, counts[place], places[place]) for _ in range(3))
    finally:
        for p in pairs.values():
            p.stop()
    rows = []
    for place in places:
        lost = {name: [1 - r["nothing"][place] / r[name][place] for r in raw] for name in ("empty", "sonde")}
        rows += [Row(f"ping-pong, {place}: a round with nothing", [r["nothing"][place] for r in raw], "us"),
                 Row(f"ping-pong, {place}: loses with empty programs (the floor)", lost["empty"], "%"),
                 Row(f"ping-pong, {place}: loses with sonde", lost["sonde"], "%", 0.02)]
    return rows, raw


def ring(args):
    """What lies in the ring for a keep-alive exchange, both heads in one call each."""
    raw = []
    with Nginx() as nginx, tempfile.TemporaryDirectory(prefix="sonde-bench-") as folder:
        heads = nginx.head_bytes() + len(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{nginx.port}\r\n\r\n")
        command = [SONDE, "record", "-v", "-o", f"{folder}/run", "--tier", args.tier, "-p", str(nginx.process.pid),
                   "--ring-size", "16m"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as recorder:
            for line in recorder.stderr:
                if "hooks are attached" in line:
                    break
            requests, _ = wrk(nginx.port, 1, 1)
            recorder.terminate()
            recorder.stderr.read()
        said = subprocess.run([TOOLS / "replay_cost", f"{folder}/run", "records"], text=True, check=True,
                              capture_output=True).stdout.split()
        found = dict(zip(said[::2], map(int, said[1::2])))
        raw = {"heads": heads, "requests": requests, **found}
        if recorder.returncode or not found["records"]:
            raise RuntimeError("ring: nothing was recorded")
    return [Row("ring, records a keep-alive exchange", [found["records"] / requests], "", 3, note="aim 2"),
            Row("ring, bytes a keep-alive exchange", [found["bytes"] / requests], "bytes", heads + 200,
                note=f"heads of {heads} bytes")], raw


def replay(args):
    """The user side by itself: records to frames, frames to requests, from a record file."""
    raw = {"trace": [], "ship": []}
    with tempfile.TemporaryDirectory(prefix="sonde-bench-") as folder:
        subprocess.run([TOOLS / "nginx_record", "100000", f"{folder}/nginx.sonde"], check=True)
        for _ in range(args.rounds):
            for part, all_of_it in raw.items():
                words = subprocess.run([TOOLS / "replay_cost", f"{folder}/nginx.sonde", part], text=True, check=True,
                                       capture_output=True).stdout.split()
                all_of_it.append(dict(zip(words[::2], map(int, words[1::2]))))
    ns = {part: [f["ns"] / f["exchanges"] for f in found] for part, found in raw.items()}
    return [Row("user side, an exchange, replay to frames", ns["trace"], "us", 1000),
            Row("user side, allocations there", [f["allocations"] for f in raw["trace"]], "", 0, judge="most"),
            Row("ship, a span, frames to the bytes of a request, replay", ns["ship"], "us", 500),
            Row("ship, allocations there", [f["allocations"] for f in raw["ship"]], "", 0, judge="most")], raw
