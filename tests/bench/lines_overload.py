# SPDX-License-Identifier: Apache-2.0
"""Twice the load that fits the governor's budget, all at once: does sonde keep to it, how soon, and stay there?"""

import os
import re
import threading
import time

from arms import FREE, Load, Nginx, Sonde
from measure import Statistics, residuals
from rows import Row

BUDGET = 0.03
OVERLOAD = 2.0
CONNECTIONS = 64
SECONDS = 12
WINDOW_S = 2.0
STEP_S = 0.05
# Of the run behind the first seconds: the governor has found its level, and shall stay about there.
SETTLED_S = 4.0


class Sampler:
    """[(seconds, ns of the roles so far, ns of the programs so far, hits so far)], while it runs."""

    def __init__(self, sonde):
        self.sonde, self.samples, self.ended = sonde, [], threading.Event()

    def __enter__(self):
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()
        return self

    def watch(self):
        while not self.ended.wait(STEP_S):
            hits, ns = self.sonde.programs.read()
            self.samples.append((time.monotonic(), sum(self.sonde.cpu().values()), ns, hits))

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()


def costs(samples, counting_ns):
    """[(begin, end, share of the machine)] between one sample and the next."""
    out = []
    for a, b in zip(samples, samples[1:]):
        ns = b[1] - a[1] + b[2] - a[2] - counting_ns * (b[3] - a[3])
        out.append((a[0], b[0], ns / ((b[0] - a[0]) * 1e9 * os.cpu_count())))
    return out


def mean(parts):
    return sum((e - b) * share for b, e, share in parts) / max(sum(e - b for b, e, _ in parts), 1e-9)


def most_over(parts, seconds):
    """The largest mean over any window of that length."""
    most = 0
    for i, (begin, _, _) in enumerate(parts):
        window = [p for p in parts[i:] if p[1] <= begin + seconds]
        if not window or window[-1][1] - begin < 0.9 * seconds:
            break
        most = max(most, mean(window))
    return most


def within_after(parts, begin):
    """Seconds from the first moment over the budget until a quarter of a second is within it."""
    over = next((b for b, _, share in parts if b >= begin - STEP_S and share > BUDGET), None)
    if over is None:
        return 0
    for i, (b, _, _) in enumerate(parts):
        window = [p for p in parts[i:] if p[1] <= b + 0.25 + STEP_S]
        if b > over and window and mean(window) <= BUDGET:
            return b - over
    return SECONDS


def ungoverned(args, nginx, load, rate, counting_ns):
    """What sonde would take of the machine at that rate: (share, requests a second)."""
    with Sonde(args, nginx.pids, FREE) as sonde:
        load.do(rate, 500)
        with Sampler(sonde) as sampler:
            time.sleep(2 * STEP_S)
            done = load.do(rate, 1500)
    parts = costs(sampler.samples, counting_ns)
    middle = [p for p in parts if p[0] > parts[0][0] + 0.3 and p[1] < parts[-1][1] - 0.2]
    return mean(middle), done["requests"] / done["ns"] * 1e9


def counting(args, nginx, load):
    """What the kernel's counting of a hit says of a program that does nothing."""
    from arms import Empty

    with Empty(args.tier) as empty:
        load.do(5000, 500)
        hits, ns = empty.programs.read()
    return ns / max(hits, 1)


def overload(args):
    """2x overload with the default budget: the most over any 2 s, how soon it is within, whether it swings."""
    raw = {}
    with Nginx() as nginx, Load("paced", nginx.port, CONNECTIONS) as load, Statistics():
        raw["counting_ns"] = counting_ns = counting(args, nginx, load)
        rate, raw["free"] = 10000, []
        # What a request costs depends on how many there are: the rate is found in two steps.
        for _ in range(3):
            share, reached = ungoverned(args, nginx, load, rate, counting_ns)
            raw["free"].append({"rate": reached, "share": share})
            rate = reached * OVERLOAD * BUDGET / share
        rate = raw["free"][-1]["rate"] * OVERLOAD * BUDGET / raw["free"][-1]["share"]
        with Sonde(args, nginx.pids, ("--cpu-budget", str(100 * BUDGET))) as sonde:
            time.sleep(1)
            with Sampler(sonde) as sampler:
                time.sleep(1)
                began = time.monotonic()
                raw["load"] = load.do(round(rate), SECONDS * 1000)
                ended = time.monotonic()
        raw["log"] = [(round(when - began, 3), line.rstrip()) for when, line in sonde.said]
    raw["ledger"], raw["rate"] = sonde.ledger, rate
    parts = [p for p in costs(sampler.samples, counting_ns) if p[1] <= ended]
    raw["samples"] = [(round(b - began, 3), round(e - began, 3), share) for b, e, share in parts]
    reached = raw["load"]["requests"] / raw["load"]["ns"] * 1e9
    factor = raw["free"][-1]["share"] * reached / raw["free"][-1]["rate"] / BUDGET
    settled = [p for p in parts if p[0] > began + SETTLED_S]
    # Up, down, up: each a line of the log that says more or less after the other.
    words = [re.search(r"has (more|less) to shed", line) for when, line in raw["log"] if when > SETTLED_S]
    words = [w[1] for w in words if w]
    turns = sum(a != b for a, b in zip(words, words[1:]))
    note = f"{reached:,.0f} requests/s, {factor:.2f} times what fits 3 %"
    return [Row("overload: sonde ungoverned would take", [factor * BUDGET], "%", note=note),
            Row("overload: the most over any 2 s, governor at 3 %", [most_over(parts, WINDOW_S)], "%", 0.035),
            Row("overload: from over the budget to within it", [within_after(parts, began)], "s", 1.0),
            Row("overload: mean from the fifth second on", [mean(settled)], "%"),
            Row("overload: turns between more and less to shed from the fifth second on", [turns], "", 2),
            Row("overload: residuals", [residuals(sonde.ledger)], "", 0)], raw
