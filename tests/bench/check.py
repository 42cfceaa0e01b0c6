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
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import guest
from guest import KERNEL, OUTPUT, numbers

BUDGET = pathlib.Path(__file__).with_name("budget.json")
EXCHANGES = 24000  # of the record file: what is held back in its first moment must fit its half
# A budget is today's value and so much; what lies this far below its budget asks for a tighter one.
SLACK = 0.03
# A batch more or less in the seconds that are counted.
SLACKS = {"of them ship": 0.08}
LOOSE = 0.10


def run(*command, **more):
    done = subprocess.run([str(c) for c in command], text=True, capture_output=True, errors="replace", **more)
    if done.returncode:
        raise SystemExit(f"bench-check: {command[0]} exit {done.returncode}\n{done.stdout[-1500:]}\n{done.stderr[-1500:]}")
    return done


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


def tier_costs(guest, tier):
    cost, ledger, maps = guest.costs(tier), guest.ledgers[tier], guest.maps[tier] / 2**20
    memory = {k: v / 2**20 for k, v in guest.memory[tier].items()}
    out = {
        "instructions added a request": cost["added"],
        "  of them programs": cost["programs"],
        "  of them trace": cost["trace"],
        "  of them ship": cost["ship"],
        "  of them probe and sink": cost["probe"] + cost["sink"],
        "  of them the rest (hooks, switches, wake-ups)": cost["rest"],
        "  an empty program's, for comparison": cost["empty"],
        "throughput ratio": cost["ratio"],
        "hook hits a request": cost["hits"],
        "records an exchange": ledger["records"]["attempted"] / max(ledger["exchanges"]["spans"], 1),
        "MiB of maps": maps,
        "MiB of maps and roles, idle": memory["idle_maps"] + memory["idle"],
        "MiB of maps and roles, under load": maps + memory["load"],
        **{f"residual of {part}": abs(ledger[part]["residual"]) for part in ("records", "bytes", "exchanges")},
    }
    # Executed by one hit, of the programs that a request runs: what counting adds is taken off.
    for name, (*_, hits, ns) in sorted(guest.programs.items()):
        which, program = name.split(" ")
        if which == tier and hits >= guest.arms[f"sonde-{tier}"]["hits_requests"] / 2:
            out[f"instructions a hit, {program}"] = ns / hits - cost["counting"]
    return {f"{tier}: {k}": v for k, v in out.items()}


def vm():
    """Values by name, and the programs' own: {"kprobe on_sendmsg": [verified, instructions, machine code]}."""
    try:
        found, out = guest.Guest(guest.boot()), {}
    except RuntimeError as e:
        raise SystemExit(f"bench-check: {e}") from None
    for tier in guest.TIERS.split():
        out.update(tier_costs(found, tier))
    out["ring: records an exchange"] = found.ring["records"]
    out["ring: bytes an exchange"] = found.ring["bytes"]
    out["nothing attached: instructions a request"] = found.costs(tier)["plain"]
    return out, {name: sizes[:3] for name, sizes in found.programs.items()}


def shown(value):
    return "-" if value is None else f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3f}"


# Not against a budget: they explain another one, or are not ours.
INFORMATION = re.compile(r"for comparison|nothing attached|the rest|probe and sink")


def verdict(name, value, known):
    """(word, what else to say)"""
    limit, at_least = known.get("budget"), known.get("at_least", False)
    if INFORMATION.search(name):
        return "    ", ""
    if limit is None:
        return "FAIL", " no budget: make bench-accept"
    if value < limit if at_least else value > limit:
        return "FAIL", f" {abs(value / limit - 1) if limit else value:.1%} past its budget"
    if limit and abs(value / limit - 1) > LOOSE:
        return "ok  ", f" {abs(value / limit - 1):.0%} better than its budget: make bench-accept tightens it"
    return "ok  ", ""


def judge(values, budgets, whole):
    bad = 0
    print(f"\n     {'measure':<58}{'value':>12}{'budget':>12}{'target':>12}")
    for name in sorted(values, key=lambda n: list(budgets).index(n) if n in budgets else len(budgets)):
        value, known = values[name], budgets.get(name, {})
        word, more = verdict(name, value, known)
        bad += word == "FAIL"
        print(f"{word} {name:<58}{shown(value):>12}{shown(known.get('budget')):>12}{shown(known.get('target')):>12}"
              + (" (at least)" if known.get("at_least") else "") + more)
    for name in budgets if whole else ():
        if name not in values and not INFORMATION.search(name):
            bad += 1
            print(f"FAIL {name:<58} has a budget, and nothing measures it")
    return bad


def judge_programs(programs, budgets):
    bad = 0
    print(f"\n     {'program, on ' + KERNEL:<30}{'verified':>10}{'budget':>10}{'length':>9}{'budget':>9}{'code':>9}{'budget':>9}")
    for name, sizes in sorted(programs.items()):
        limits = budgets.get(name)
        fine = limits and all(s <= limit for s, limit in zip(sizes, limits))
        loose = fine and any(s < limit * (1 - LOOSE) - 1 for s, limit in zip(sizes, limits))
        bad += not fine
        row = "".join(f"{size:>{width}}{'-' if not limits else limits[i]:>{width}}"
                      for i, (size, width) in enumerate(zip(sizes, (10, 9, 9))))
        print(f"{'ok  ' if fine else 'FAIL'} {name:<30}{row}" + ("" if limits else " no budget: make bench-accept")
              + (" well below: make bench-accept tightens it" if loose else ""))
    return bad


def accept(values, programs, old):
    measures = {}
    for name, value in values.items():
        known = dict(old.get("measures", {}).get(name, {}))
        if not INFORMATION.search(name):
            slack = next((s for words, s in SLACKS.items() if words in name), SLACK)
            known["budget"] = 0 if not value else float(f"{value * (1 - slack if known.get('at_least') else 1 + slack):.5g}")
        measures[name] = known
    # What only another part measures stays; what nothing measures any more goes.
    whole = bool(programs) and any(n.startswith("trace:") for n in values)
    kept = {n: measures.get(n, m) for n, m in old.get("measures", {}).items() if n in measures or not whole}
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
    bad = judge(values, old.get("measures", {}), not args.only) + (judge_programs(programs, old.get("programs", {})) if programs else 0)
    print(f"\nbench-check: {bad} past the budget, {time.monotonic() - begin:.0f} s")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
