# SPDX-License-Identifier: Apache-2.0
"""Lines by name only, as they are long: is memory bounded, is no span another's?"""

import re
import subprocess
import sys
import tempfile
import time

from arms import ROOT, SONDE, Nginx, Sonde, wrk
from measure import Peak, residuals
from rows import Row

sys.path.insert(0, str(ROOT / "tests/vm"))

import matrix  # noqa: E402

LIMIT_S = 240


def tiny(args):
    """A million tiny requests: memory is bounded, every account balances."""
    begin, asked = time.monotonic(), 0
    with Nginx() as nginx, Sonde(args, nginx.pids) as sonde, Peak(sonde.memory) as peak:
        before = sonde.memory()
        while asked < args.count and time.monotonic() - begin < LIMIT_S:
            asked += wrk(nginx.port, 5)[0]
    e, r = sonde.ledger["exchanges"], sonde.ledger["records"]
    raw = {"requests": asked, "before": before, "most": peak.most, "ledger": sonde.ledger}
    return [Row("tiny requests", [asked], "", note=f"{e['spans']:,} spans, {sum(e['dropped'].values()):,} dropped and counted"),
            Row("  maps and roles before", [before], "MiB"), Row("  at the most", [peak.most], "MiB", 64 * 2**20),
            Row("  records lost, of all", [sum(r["lost"].values()) / max(r["attempted"], 1)], "%"),
            Row("  residuals", [residuals(sonde.ledger)], "", 0)], raw


def busy(args):
    """Eight processes whose payloads name themselves, each span checked: none torn, foreign or doubled."""
    matrix.build_guest()
    raw, begin, count = {"exchanges": 0, "bad": 0, "checked": 0, "rounds": []}, time.monotonic(), 25000
    with tempfile.TemporaryDirectory(prefix="sonde-bench-") as folder:
        spans, ledger = f"{folder}/out.jsonl", f"{folder}/ledger.json"
        while raw["exchanges"] < args.count and time.monotonic() - begin < LIMIT_S:
            # In turn one that wraps around all the time and may lose, and one that holds nearly everything.
            ring = ("256k", "16m")[len(raw["rounds"]) % 2]
            done = subprocess.run([SONDE, "trace", "-q", "--tier", args.tier, "--ring-size", ring, "-o", spans, "--ledger",
                                   ledger, "--", matrix.GUEST / "peer", "busy", "4", str(count)], text=True, capture_output=True)
            if done.returncode:
                raise RuntimeError(f"busy: exit {done.returncode}\n{done.stderr[-1000:]}")
            judged = [subprocess.run([matrix.GUEST / "spans", *words], text=True, capture_output=True)
                      for words in (("busy", "4", str(count), spans, ledger), ("balance", ledger))]
            raw["exchanges"] += 4 * count
            raw["checked"] += int(re.search(r"(\d+) of \d+ spans", judged[0].stdout)[1])
            raw["bad"] += any(j.returncode for j in judged)
            raw["rounds"].append(judged[0].stdout.strip() + (judged[1].stdout if judged[1].returncode else ""))
    return [Row("exchanges of eight busy processes", [raw["exchanges"]], "", note=f"the bytes of {raw['checked']:,} spans checked"),
            Row("  rounds with a torn, foreign or doubled span, or a residual", [raw["bad"]], "", 0)], raw
