# SPDX-License-Identifier: Apache-2.0
"""A row of the bench's table: what was measured, how it spreads, which target it has, whether that is met."""

import dataclasses
import statistics

SHOWN = {
    "%": lambda v: f"{100 * v:.2f} %",
    "ratio": lambda v: f"{v:.3f}",
    "ns": lambda v: f"{v:,.0f} ns",
    "us": lambda v: f"{v / 1000:.2f} us",
    "MiB": lambda v: f"{v / 2**20:.1f} MiB",
    "ms": lambda v: f"{v:.1f} ms",
    "s": lambda v: f"{v:.2f} s",
    "bytes": lambda v: f"{v:,.0f} bytes",
    "/s": lambda v: f"{v:,.0f}/s",
    "": lambda v: f"{v:,.0f}" if v == int(v) or abs(v) >= 100 else f"{v:.3f}",
}


@dataclasses.dataclass
class Row:
    measure: str
    values: list  # raw, one a repetition
    unit: str = ""
    target: float = None  # in the unit of the values; None: for information
    at_least: bool = False
    judge: str = "median"  # or "most": no single value may be past it
    note: str = ""

    @property
    def value(self):
        return max(self.values) if self.judge == "most" else statistics.median(self.values)

    @property
    def met(self):
        """None where there is no target."""
        if self.target is None:
            return None
        return self.value >= self.target if self.at_least else self.value <= self.target

    def shown(self):
        say = SHOWN[self.unit]
        text = say(self.value)
        if len(self.values) > 1:
            text += f" ({say(min(self.values))} to {say(max(self.values))})"
        return text

    def shown_target(self):
        if self.target is None:
            return ""
        return ("≥ " if self.at_least else "≤ ") + SHOWN[self.unit](self.target)

    def as_dict(self):
        return {**dataclasses.asdict(self), "value": self.value, "met": self.met}


def print_row(row):
    met = {None: "    ", True: "met ", False: "MISS"}[row.met]
    print(f"{met} {row.measure:<66} {row.shown():<44} {row.shown_target():<14}"
          + (f" {row.note}" if row.note else ""), flush=True)


def markdown(rows):
    """The same for a page."""
    out = ["| measure | target | measured | met |", "|---|---|---|---|"]
    for row in rows:
        word = {None: "", True: "yes", False: "**no**"}[row.met]
        out.append(f"| {row.measure.strip()} | {row.shown_target()} | {row.shown()}"
                   + (f"; {row.note}" if row.note else "") + f" | {word} |")
    return "\n".join(out)
