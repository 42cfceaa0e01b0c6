# SPDX-License-Identifier: Apache-2.0
"""No torn or foreign payload from eight busy processes under the newest kernel, in as many exchanges
as are asked for, half of them under each tier; tests/vm/matrix.py does the same with ten thousand a
cell. Emulated: a million takes from half an hour to hours, a line of progress a boot.

  busy_vm.py [--exchanges N] [--kernel knew] [--tiers "kprobe fentry"] [--seconds N] [--json FILE]"""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/vm"))

import matrix  # noqa: E402

COUNT = 12500  # of a pair in a round, whose spans fit the memory of the guest; a boot has ROUNDS of them
ROUNDS = 4
BOOT_S = 3600


def boot(args, tier, rounds):
    """The rounds of one boot: [passed, spans checked, words]."""
    log = matrix.OUTPUT / f"bench/busy-{tier}.console"
    log.parent.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [ROOT / "tests/vm/boot.sh", "-k", args.kernel, "-m", "3072", "-t", str(BOOT_S), "-l", log,
         "-f", f"{matrix.OUTPUT}/sonde:/usr/bin/sonde", "-f", f"{matrix.GUEST}/peer:/usr/bin/peer",
         "-f", f"{matrix.GUEST}/spans:/usr/bin/spans", ROOT / "tests/bench/busy.sh", tier, str(rounds), str(COUNT)],
        text=True, capture_output=True, errors="replace")
    found = re.findall(r"^BUSY \S+ \d+ (pass|fail) (.*)$", done.stdout, re.M)
    if done.returncode or len(found) != rounds:
        print(done.stdout[-1500:] + done.stderr[-1500:])
        found += [("fail", f"exit {done.returncode}: {len(found)} of {rounds} rounds")]
    return [{"pass": word == "pass", "checked": int((re.search(r"(\d+) of \d+ spans", said) or [0, 0])[1]), "said": said}
            for word, said in found]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--exchanges", type=int, default=1000000)
    p.add_argument("--kernel", default="knew")
    p.add_argument("--tiers", default="kprobe fentry")
    p.add_argument("--seconds", type=int, default=4 * 3600, help="no boot begins after so many")
    p.add_argument("--json", type=pathlib.Path)
    args = p.parse_args()
    matrix.build_guest()
    begin, result = time.monotonic(), {tier: [] for tier in args.tiers.split()}
    each = 4 * COUNT
    for tier, rounds in result.items():
        wanted = -(-args.exchanges // (len(result) * each))
        while len(rounds) < wanted and time.monotonic() - begin < args.seconds:
            rounds += boot(args, tier, min(ROUNDS, wanted - len(rounds)))
            print(f"busy {tier}: {len(rounds) * each:,} exchanges, {time.monotonic() - begin:.0f} s: {rounds[-1]['said']}",
                  flush=True)
    if args.json:
        args.json.write_text(json.dumps(result, indent=1))
    bad = 0
    for tier, rounds in result.items():
        wrong = [r for r in rounds if not r["pass"]]
        bad += len(wrong)
        print(f"{'FAIL' if wrong else 'ok  '} {args.kernel} {tier}: {len(rounds) * each:,} exchanges of 8 busy processes, "
              f"{sum(r['checked'] for r in rounds):,} spans checked"
              + (f"; {wrong[0]['said']}" if wrong else ", none torn, foreign or doubled"))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
