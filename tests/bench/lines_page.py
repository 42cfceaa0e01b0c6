# SPDX-License-Identifier: Apache-2.0
"""What whoever looks at the page waits for: the page's own test of its largest trace, in a real browser."""

import json
import os
import subprocess

from arms import OUTPUT, ROOT
from rows import Row

FIGURES = OUTPUT / "test/page/hundred-thousand.json"


def page(args):
    """A trace of 100,000 spans, opened and folded in the page."""
    venv = ROOT / "tests/lib/venv.sh"
    subprocess.run([venv], check=True, capture_output=True)
    python = subprocess.run([venv, "--path"], check=True, capture_output=True, text=True).stdout.strip() + "/bin/python"
    raw = []
    for _ in range(args.rounds):
        FIGURES.unlink(missing_ok=True)
        done = subprocess.run([python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", ROOT / "tests/pytest.ini",
                               ROOT / "tests/programs/test_page.py", "-k", "hundred_thousand"],
                              env={**os.environ, "OUTPUT": str(OUTPUT)}, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"the page's test failed: {done.stdout[-1500:]}")
        raw.append(json.loads(FIGURES.read_text()))
    return [Row("page, 100,000 spans: from the click to the first paint", [1e-3 * r["shown_ms"] for r in raw], "s", 1),
            Row("  of it from the answer's arrival", [1e-3 * r["paint_ms"] for r in raw], "s"),
            Row("page, 100,000 spans: all folded", [1e-3 * min(r["fold_ms"]) for r in raw], "s", 0.1)], raw
