# SPDX-License-Identifier: Apache-2.0
"""The guest that counts instructions: boots it, runs cost.sh (and ratios.sh) in it, reads what they say."""

import json
import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = ROOT / "tests/bench"
OUTPUT = ROOT / os.environ.get("OUTPUT", "build")
KERNEL = "k612"
TIERS = "kprobe fentry"
# Three minutes of a processor of its own.
LIMIT_S = 1500


def fields(line):
    return {k: v for k, v in (word.split("=", 1) for word in line.split() if "=" in word)}


def numbers(text):
    """"exchanges 5 allocations 0" -> {"exchanges": 5, ...}"""
    words = text.split()
    return {k: int(v) for k, v in zip(words[::2], words[1::2])}


def boot(more=False):
    """The guest's words."""
    put = {OUTPUT / "sonde": "/usr/bin/sonde", OUTPUT / "bench/empty": "/usr/bin/empty", OUTPUT / "bench/load": "/usr/bin/bench_load",
           HERE / "guest.sh": "/usr/lib/sonde/guest.sh", HERE / "ratios.sh": "/usr/lib/sonde/ratios.sh"}
    put.update({OUTPUT / "tools" / name: f"/usr/bin/{name}" for name in ("otlp_sink", "bpf_info", "replay_cost")})
    files = [a for path, name in put.items() for a in ("-f", f"{path}:{name}")]
    log = OUTPUT / "bench/vm.console"
    log.parent.mkdir(parents=True, exist_ok=True)
    done = subprocess.run([str(c) for c in (
        ROOT / "tests/vm/boot.sh", "-k", KERNEL, "-i", "0", "-t", LIMIT_S, "-l", log, "-b", "nginx", "-b", "wrk", *files,
        *(("-e", "MORE=1") if more else ()), HERE / "cost.sh", TIERS)], text=True, capture_output=True, errors="replace")
    if done.returncode:
        raise RuntimeError(f"the guest: exit {done.returncode}\n{done.stdout[-1500:]}\n{done.stderr[-1500:]}")
    return done.stdout


class Guest:
    """What a boot said. arms: {"nothing": {"rate": …}, "sonde-kprobe": …}; the other dicts by tier."""

    def __init__(self, text):
        self.arms, self.ledgers, self.programs, self.ring = {}, {}, {}, {}
        self.maps, self.memory = {}, {}
        self.pairs, self.outside, self.idle, self.start, self.governed = {}, {}, {}, {}, {}
        for line in text.splitlines():
            kind, _, rest = line.partition(" ")
            if kind.isupper() and hasattr(self, f"on_{kind.lower()}"):
                getattr(self, f"on_{kind.lower()}")(rest, fields(rest.partition("{")[0]))
        for tier in TIERS.split():
            if f"sonde-{tier}" not in self.arms or tier not in self.ledgers:
                raise RuntimeError(f"the guest said nothing of {tier}:\n{text[-2000:]}")

    @staticmethod
    def tier(found):
        return found["arm"].removeprefix("sonde-")

    @staticmethod
    def as_numbers(found):
        return {k: float(v) for k, v in found.items() if k not in ("arm", "kind")}

    def on_cost(self, rest, found):
        self.arms[found["arm"]] = self.as_numbers(found)

    def on_ledger(self, rest, found):
        self.ledgers[self.tier(found)] = json.loads(rest[rest.index("{"):])

    def on_bpf(self, rest, found):
        _, kind, *words = rest.split()
        if kind == "PROG":
            self.programs[f"{self.tier(found)} {words[0]}"] = [int(s) for s in words[1:]]
        else:
            self.maps[self.tier(found)] = int(words[-1])

    def on_memory(self, rest, found):
        self.memory[self.tier(found)] = self.as_numbers(found)

    def on_ring(self, rest, found):
        said = numbers(rest.split(" ", 1)[1])
        self.ring = {k: v / int(found["requests"]) for k, v in said.items()}

    def on_pair(self, rest, found):
        self.pairs[found["arm"], found["kind"]] = self.as_numbers(found)

    def on_outside(self, rest, found):
        self.outside[found["arm"]] = float(found["rate"])

    def on_idle(self, rest, found):
        self.idle[self.tier(found)] = self.as_numbers(found)

    def on_start(self, rest, found):
        self.start[self.tier(found)] = float(found["ns"])

    def on_governed(self, rest, found):
        self.governed[self.tier(found)] = {"rate": float(found["rate"]), "ledger": json.loads(rest[rest.index("{"):])}

    def costs(self, tier):
        """Instructions of a request, by whom."""
        plain, empty, sonde = self.arms["nothing"], self.arms[f"empty-{tier}"], self.arms[f"sonde-{tier}"]
        cost = {name: 1e9 / arm["rate"] for name, arm in (("plain", plain), ("empty", empty), ("sonde", sonde))}
        # What counting a hit costs is in an empty program's figure, too.
        counting = empty["hits_ns"] / empty["hits"]
        out = {
            "plain": cost["plain"],
            "added": cost["sonde"] - cost["plain"],
            "empty": cost["empty"] - cost["plain"],
            "counting": counting,
            "programs": (sonde["hits_ns"] - counting * sonde["hits"]) / sonde["hits_requests"],
            "hits": sonde["hits"] / sonde["hits_requests"],
            "ratio": sonde["rate"] / plain["rate"],
            "empty ratio": empty["rate"] / plain["rate"],
        }
        out.update({role: sonde.get(role, 0) / sonde["requests"] for role in ("trace", "ship", "probe", "sink")})
        out["rest"] = out["added"] - out["programs"] - sum(out[role] for role in ("trace", "ship", "probe", "sink"))
        return out
