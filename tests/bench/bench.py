# SPDX-License-Identifier: Apache-2.0
"""What sonde costs, measured in one run on this machine and in a guest that counts instructions: a table of
measure, value with its spread, target, met or not. Arms of a comparison take turns, so that a noisy
neighbour meets all of them. Raw values go to a JSON file."""

import argparse
import json
import os
import pathlib
import platform
import subprocess
import sys
import time
import traceback

import lines_growth
import lines_guest
import lines_load
import lines_long
import lines_overload
import lines_page
import lines_quiet
import lines_store
import lines_tls
from arms import SONDE
from rows import markdown, print_row

# In this order; all but the last ones are in the default run, and take the seconds that are said.
LINES = {
    "full": (lines_load.full, 170),
    "hooks": (lines_load.hooks, 15),
    "pingpong": (lines_load.pingpong, 45),
    "ring": (lines_load.ring, 5),
    "replay": (lines_load.replay, 10),
    "memory": (lines_quiet.memory, 30),
    "idle": (lines_quiet.idle, 20),
    "start": (lines_quiet.start, 10),
    "latency": (lines_quiet.latency, 12),
    "overload": (lines_overload.overload, 25),
    "connections": (lines_growth.connections, 30),
    "processes": (lines_growth.processes, 35),
    "bodies": (lines_growth.bodies, 40),
    "page": (lines_page.page, 45),
    "store": (lines_store.store, 65),
    "tls": (lines_tls.tls, 150),
    "guest": (lines_guest.guest_lines, 270),
}
LONG = {"tiny": (lines_long.tiny, 60), "busy": (lines_long.busy, 180)}


def what(line):
    return (LINES | LONG)[line][0].__doc__.split("\n")[0]


def best_tier():
    """The one that sonde would take here by itself."""
    said = subprocess.run([SONDE, "doctor", "--json"], text=True, capture_output=True).stdout
    tier = json.loads(said).get("tier") if said else None
    return tier or sys.exit("bench: sonde cannot trace here: see `sonde doctor`")


def arguments():
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="lines:\n" + "\n".join(f"  {name:<12} {seconds:>4} s  {what(name)}" for name, (_, seconds) in (LINES | LONG).items()))
    p.add_argument("lines", nargs="*", help=f"of the table (default: all but {' and '.join(LONG)})")
    p.add_argument("--json", type=pathlib.Path, help="raw values; lines that are not measured now keep those that stand there")
    p.add_argument("--markdown", type=pathlib.Path, help="the table, for a page")
    p.add_argument("--tier", choices=("kprobe", "fentry", "socktp"), help="default: what sonde doctor would take")
    p.add_argument("--rounds", type=int, default=4)
    p.add_argument("--seconds", type=int, default=3, help="of a full load, each arm of each round")
    p.add_argument("--count", type=int, default=1000000, help="requests of tiny, exchanges of busy")
    args = p.parse_args()
    for line in args.lines:
        if line not in LINES | LONG:
            p.error(f"no line '{line}': {' '.join(LINES | LONG)}")
    if os.geteuid() != 0:
        raise SystemExit("bench: it attaches programs to the kernel: run it as root")
    args.tier = args.tier or best_tier()
    args.lines = args.lines or list(LINES)
    return args


def measure(line, args):
    """What is kept of a line, printed as it comes."""
    begin = time.monotonic()
    print(f"\n== {line}: {what(line)}", flush=True)
    try:
        rows, raw = (LINES | LONG)[line][0](args)
    except (RuntimeError, OSError, AssertionError, ValueError, KeyError, subprocess.SubprocessError) as e:
        traceback.print_exc()
        return {"failed": str(e), "rows": [], "seconds": time.monotonic() - begin}, []
    for row in rows:
        print_row(row)
    kept = {"rows": [row.as_dict() for row in rows], "raw": raw, "seconds": time.monotonic() - begin}
    print(f"   {kept['seconds']:.0f} s", flush=True)
    return kept, rows


def main():
    args = arguments()
    print(f"Linux {platform.release()}, {os.cpu_count()} processors, tier {args.tier}, load {os.getloadavg()[0]:.1f}; "
          f"median (least to most) of {args.rounds} rounds")
    result = {"lines": {}}
    if args.json and args.json.exists():
        result = json.loads(args.json.read_text())
    result.update(machine=platform.uname()._asdict(), processors=os.cpu_count(),
                  arguments={k: str(v) for k, v in vars(args).items()})
    begin, all_rows, failed = time.monotonic(), [], []
    for line in args.lines:
        result["lines"][line], rows = measure(line, args)
        all_rows += rows
        failed += [line] if not rows else []
        if args.json:
            args.json.parent.mkdir(parents=True, exist_ok=True)
            args.json.write_text(json.dumps(result, indent=1))
    if args.markdown:
        args.markdown.write_text(markdown(all_rows) + "\n")
    judged = [row for row in all_rows if row.met is not None]
    # What is not a matter of cost must hold on any machine.
    wrong = [row.measure for row in judged if not row.met and "residual" in row.measure]
    print(f"\n{sum(row.met for row in judged)} of {len(judged)} targets met, in {time.monotonic() - begin:.0f} s"
          + (f"; not measured: {' '.join(failed)}" if failed else ""))
    for name in wrong:
        print(f"bench: an account does not balance: {name.strip()}", file=sys.stderr)
    return 1 if wrong or failed else 0


if __name__ == "__main__":
    sys.exit(main())
