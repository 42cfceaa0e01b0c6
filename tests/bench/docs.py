# SPDX-License-Identifier: Apache-2.0
"""Puts what a run of the bench has measured into the pages, between <!-- bench: NAME --> and <!-- /bench -->.

  docs.py RESULT.json PAGE..."""

import json
import pathlib
import re
import sys

from rows import Row, markdown
from scale import SECTIONS, Costs

# The README's rows: the lines that a reader asks for first, with the floor beside.
SHORT = [("full", "loses"),
         ("hooks", "recorded|counted"), ("pingpong", "loses"), ("ring", "."), ("replay", "replay to frames"),
         ("memory", "maps"), ("idle", "."), ("start", "."), ("latency", "."), ("overload", "any 2 s|to within"),
         ("connections", "growth"), ("processes", "growth"), ("bodies", "growth"),
         ("store", "."), ("page", "."), ("tls", "."),
         ("guest", "added|programs alone|floor|throughput ratio|governor")]


def rows_of(result, line, pattern="."):
    names = set(Row.__dataclass_fields__)
    found = result["lines"].get(line, {}).get("rows", [])
    return [Row(**{k: v for k, v in row.items() if k in names}) for row in found if re.search(pattern, row["measure"])]


def short(result):
    return markdown([row for line, pattern in SHORT for row in rows_of(result, line, pattern)])


def whole(result):
    return markdown([row for line in result["lines"] for row in rows_of(result, line)])


def machine(result):
    m = result["machine"]
    return f"Linux {m['release']}, {result['processors']} processors, tier {result['arguments']['tier']}, {result['arguments']['rounds']} rounds."


def main():
    if len(sys.argv) < 3:
        sys.exit("usage: docs.py RESULT.json PAGE...")
    result = json.loads(pathlib.Path(sys.argv[1]).read_text())
    makers = {"table": short, "whole": whole, "machine": machine}
    makers.update({name: lambda r, section=section: section(Costs(r)) for name, section in SECTIONS.items()})
    for page in map(pathlib.Path, sys.argv[2:]):
        text = page.read_text()
        new = re.sub(r"(<!-- bench: (\w+) -->\n).*?(<!-- /bench -->)",
                     lambda m: f"{m[1]}{makers[m[2]](result)}\n{m[3]}", text, flags=re.S)
        if new != text:
            page.write_text(new)
            print(f"{page}: as measured")


if __name__ == "__main__":
    main()
