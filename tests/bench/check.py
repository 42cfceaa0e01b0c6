# SPDX-License-Identifier: Apache-2.0
"""What sonde costs, in numbers that do not depend on this machine or its load, against budget.json.

  check.py [--accept] [--json FILE] [--only replay|vm]

Replay: a record file through the user side under callgrind: instructions and allocations.
VM: nginx and wrk on the one processor of a guest that counts instructions (boot.sh -i 0): what a
request costs in all, with nothing, with empty programs and with sonde, which exports to a sink in C;
and what the programs and maps are. Prints a row a measure: value, budget, the target it shall reach.
A value past its budget fails. --accept makes today's values, and 3 percent, the budgets;
the targets are written by hand."""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = ROOT / "tests/bench"
OUTPUT = pathlib.Path(os.environ.get("OUTPUT", "build"))
BUDGET = HERE / "budget.json"
EXCHANGES = 16000  # of the record file: what is held back for a moment must fit its half
KERNEL = "k612"
TIERS = "kprobe fentry"
# Three minutes of a processor of its own.
LIMIT_S = 1500
SLACK = 0.03


def run(*command, **more):
    done = subprocess.run([str(c) for c in command], text=True, capture_output=True, errors="replace", **more)
    if done.returncode:
        raise SystemExit(f"bench-check: {command[0]} exit {done.returncode}\n{done.stdout[-1500:]}\n{done.stderr[-1500:]}")
    return done


def numbers(text):
    """"exchanges 5 allocations 0" -> {"exchanges": 5, ...}"""
    words = text.split()
    return {k: int(v) for k, v in zip(words[::2], words[1::2])}


def replay():
    """Instructions, allocations and bytes of the user side, for one exchange."""
    out = {}
    with tempfile.TemporaryDirectory(prefix="sonde-bench-") as folder:
        record = f"{folder}/nginx.sonde"
        run(OUTPUT / "tools/nginx_record", EXCHANGES, record)
        for part, word in (("trace", "exchange"), ("ship", "span")):
            done = run("valgrind", "--tool=callgrind", "--collect-atstart=no", "--toggle-collect=steady",
                       f"--callgrind-out-file={folder}/out", OUTPUT / "tools/replay_cost", record, part)
            found = numbers(done.stdout)
            n = found["exchanges"]
            instructions = int(re.search(r"Collected : (\d+)", done.stderr)[1])
            out[f"{part}: instructions a{'n' if part == 'trace' else ''} {word}"] = instructions / n
            out[f"{part}: allocations a thousand {word}s"] = 1000 * found["allocations"] / n
            out[f"{part}: bytes out a{'n' if part == 'trace' else ''} {word}"] = found["bytes"] / n
    return out


def fields(line):
    return {k: v for k, v in (word.split("=", 1) for word in line.split() if "=" in word)}


def boot():
    """The guest's words."""
    put = {"sonde": "sonde", "bench/empty": "empty", "tools/otlp_sink": "otlp_sink", "tools/bpf_info": "bpf_info",
           "tools/replay_cost": "replay_cost"}
    files = [a for path, name in put.items() for a in ("-f", f"{OUTPUT}/{path}:/usr/bin/{name}")]
    log = OUTPUT / "bench/vm.console"
    log.parent.mkdir(parents=True, exist_ok=True)
    return run(ROOT / "tests/vm/boot.sh", "-k", KERNEL, "-i", "0", "-t", LIMIT_S, "-l", log, "-b", "nginx", "-b", "wrk",
               *files, HERE / "cost.sh", TIERS).stdout


def tier_costs(tier, arms, ledgers):
    plain, empty, sonde = arms["nothing"], arms[f"empty-{tier}"], arms[f"sonde-{tier}"]
    requests = sonde["requests"]
    cost = {name: 1e9 / arm["rate"] for name, arm in (("plain", plain), ("empty", empty), ("sonde", sonde))}
    # What counting a hit costs is in an empty program's figure, too.
    counting = empty["hits_ns"] / empty["hits"]
    programs = (sonde["hits_ns"] - counting * sonde["hits"]) / sonde["hits_requests"]
    roles = {r: sonde.get(r, 0) / requests for r in ("trace", "ship", "probe", "sink")}
    out = {
        "instructions added a request": cost["sonde"] - cost["plain"],
        "  of them programs": programs,
        "  of them trace": roles["trace"],
        "  of them ship": roles["ship"],
        "  of them probe and sink": roles["probe"] + roles["sink"],
        "  of them the rest (hooks, switches, wake-ups)":
            cost["sonde"] - cost["plain"] - programs - sum(roles.values()),
        "  an empty program's, for comparison": cost["empty"] - cost["plain"],
        "throughput ratio": sonde["rate"] / plain["rate"],
        "hook hits a request": sonde["hits"] / sonde["hits_requests"],
        "records an exchange": ledgers["records"]["attempted"] / max(ledgers["exchanges"]["spans"], 1),
    }
    return {f"{tier}: {k}": v for k, v in out.items()}


def vm():
    """Values by name, and the programs' own: {"kprobe on_sendmsg": [verified, instructions, machine code]}."""
    arms, ledgers, programs, out = {}, {}, {}, {}
    text = boot()
    for line in text.splitlines():
        kind, _, rest = line.partition(" ")
        f = fields(rest) if kind in ("COST", "BPF", "MEMORY", "RING", "LEDGER") else {}
        tier = f.get("arm", "").removeprefix("sonde-")
        if kind == "COST":
            arms[f["arm"]] = {k: float(v) for k, v in f.items() if k != "arm"}
        elif kind == "LEDGER":
            ledgers[tier] = json.loads(rest[rest.index("{"):])
        elif kind == "BPF" and " PROG " in rest:
            name, *sizes = rest.split(" PROG ")[1].split()
            programs[f"{tier} {name}"] = [int(s) for s in sizes]
        elif kind == "BPF":
            out[f"{tier}: MiB of maps"] = int(rest.split()[-1]) / 2**20
        elif kind == "MEMORY":
            maps = out[f"{tier}: MiB of maps"]
            out[f"{tier}: MiB of maps and roles, idle"] = maps + int(f["idle"]) / 2**20
            out[f"{tier}: MiB of maps and roles, under load"] = maps + int(f["load"]) / 2**20
        elif kind == "RING":
            found = numbers(rest.split(" ", 1)[1])
            out["ring: records an exchange"] = found["records"] / int(f["requests"])
            out["ring: bytes an exchange"] = found["bytes"] / int(f["requests"])
    for tier in TIERS.split():
        if f"sonde-{tier}" not in arms or tier not in ledgers:
            raise SystemExit(f"bench-check: the guest said nothing of {tier}:\n{text[-2000:]}")
        out.update(tier_costs(tier, arms, ledgers[tier]))
        for part in ("records", "bytes", "exchanges"):
            out[f"{tier}: residual of {part}"] = abs(ledgers[tier][part]["residual"])
    out["nothing attached: instructions a request"] = 1e9 / arms["nothing"]["rate"]
    return out, programs


def shown(value):
    return "-" if value is None else f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3f}"


# Not against a budget: they explain another one, or are not ours.
INFORMATION = re.compile(r"for comparison|nothing attached|the rest|probe and sink")


def judge(values, budgets):
    bad = 0
    print(f"\n     {'measure':<58}{'value':>12}{'budget':>12}{'target':>12}")
    for name in sorted(values, key=lambda n: list(budgets).index(n) if n in budgets else len(budgets)):
        value, known = values[name], budgets.get(name, {})
        at_least = known.get("at_least", False)
        limit = known.get("budget")
        if INFORMATION.search(name):
            word = "    "
        elif limit is None:
            word = "FAIL"
        else:
            word = "ok  " if (value >= limit if at_least else value <= limit) else "FAIL"
        bad += word == "FAIL"
        print(f"{word} {name:<58}{shown(value):>12}{shown(limit):>12}{shown(known.get('target')):>12}"
              + (" (at least)" if at_least else "") + (" no budget: make bench-accept" if word == "FAIL" and limit is None else ""))
    return bad


def judge_programs(programs, budgets):
    bad = 0
    print(f"\n     {'program, on ' + KERNEL:<30}{'verified':>10}{'budget':>10}{'length':>9}{'budget':>9}{'code':>9}{'budget':>9}")
    for name, sizes in sorted(programs.items()):
        limits = budgets.get(name)
        fine = limits and all(s <= limit for s, limit in zip(sizes, limits))
        bad += not fine
        row = "".join(f"{size:>{width}}{'-' if not limits else limits[i]:>{width}}"
                      for i, (size, width) in enumerate(zip(sizes, (10, 9, 9))))
        print(f"{'ok  ' if fine else 'FAIL'} {name:<30}{row}" + ("" if limits else " no budget: make bench-accept"))
    return bad


def accept(values, programs, old):
    measures = {}
    for name, value in values.items():
        known = dict(old.get("measures", {}).get(name, {}))
        if not INFORMATION.search(name):
            known["budget"] = 0 if not value else float(f"{value * (1 - SLACK if known.get('at_least') else 1 + SLACK):.5g}")
        measures[name] = known
    order = list(old.get("measures", {}))
    kept = {n: measures.get(n, old["measures"][n]) for n in order}
    kept.update({n: m for n, m in measures.items() if n not in kept})
    sizes = {n: [int(s * (1 + SLACK)) + 1 for s in v] for n, v in sorted(programs.items())} or old.get("programs", {})
    text = json.dumps({"measures": kept, "programs": sizes}, indent=1)
    # A line an entry.
    text = re.sub(r"([\[{])\s+((?:[^\[\]{}])*?)\s+([\]}])", lambda m: m[1] + re.sub(r"\s+", " ", m[2]) + m[3], text)
    BUDGET.write_text(text + "\n")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--accept", action="store_true", help="today's values become the budgets")
    p.add_argument("--json", help="raw values")
    p.add_argument("--only", choices=("replay", "vm"))
    args = p.parse_args()
    old = json.loads(BUDGET.read_text()) if BUDGET.exists() else {}
    begin, values, programs = time.monotonic(), {}, {}
    if args.only != "vm":
        values.update(replay())
    if args.only != "replay":
        found, programs = vm()
        values.update(found)
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps({"measures": values, "programs": programs}, indent=1))
    if args.accept:
        accept(values, programs, old)
        old = json.loads(BUDGET.read_text())
    bad = judge(values, old.get("measures", {})) + (judge_programs(programs, old.get("programs", {})) if programs else 0)
    print(f"\nbench-check: {bad} past the budget, {time.monotonic() - begin:.0f} s")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
