# SPDX-License-Identifier: Apache-2.0
"""The guest that counts instructions: kprobe and fentry, each against nothing and against empty programs. Where a
nanosecond is said it is an instruction: what a processor of a thousand million instructions a second takes."""

from guest import TIERS, Guest, boot
from rows import Row

# Of issue and table: all that a request adds, everything included.
ADDED = {"kprobe": 7500, "fentry": 6500}
PROGRAMS = 2800


def pair(guest, arm, kind):
    return guest.pairs[arm, kind]


def more_than_empty(guest, tier, kind, count):
    sonde, empty = pair(guest, f"sonde-{tier}", kind), pair(guest, f"empty-{tier}", kind)
    return (sonde["hits_ns"] / sonde["rounds"] - empty["hits_ns"] / empty["rounds"]) / count(empty)


def ping(guest, arm):
    found = pair(guest, arm, "pingpong")
    return found["ns"] / found["rounds"]


def tier_rows(guest, tier):
    cost, governed = guest.costs(tier), guest.governed[tier]
    shed, begun = governed["ledger"]["shed"], governed["ledger"]["exchanges"]["begun"]
    ledger, plain = guest.ledgers[tier], guest.arms["nothing"]["rate"]
    nothing = ping(guest, "nothing")
    idle = guest.idle[tier]
    rows = [
        Row("instructions added a request, everything included", [cost["added"]], "", ADDED[tier],
            note=f"trace {cost['trace']:,.0f}, ship {cost['ship']:,.0f}, sink {cost['sink']:,.0f}, rest {cost['rest']:,.0f}"),
        Row("  programs alone", [cost["programs"]], "", PROGRAMS),
        Row("  empty programs (the floor)", [cost["empty"]], ""),
        Row("throughput ratio, one processor shared by all", [cost["ratio"]], "ratio", 0.90, at_least=True),
        Row("  with empty programs (the floor)", [cost["empty ratio"]], "ratio"),
        Row("  with the default governor", [governed["rate"] / plain], "ratio", 0.95, at_least=True,
            note=f"not sampled {shed['sampling'] / max(begun + shed['exchanges'], 1):.0%}, "
                 f"not looked at {shed['exchanges'] / max(begun + shed['exchanges'], 1):.0%}"),
        Row("  while sonde looks at others only",
            [guest.outside[f"sonde-{tier}"] / guest.outside["nothing"]], "ratio", 0.99, at_least=True),
        Row("ping-pong of no protocol, ratio", [nothing / ping(guest, f"sonde-{tier}")], "ratio", 0.98, at_least=True),
        Row("  with empty programs (the floor)", [nothing / ping(guest, f"empty-{tier}")], "ratio"),
        Row("hook, a head recorded: more than empty programs",
            [more_than_empty(guest, tier, "http", lambda e: 4)], "ns", 250),
        Row("hook, body bytes counted: more than empty programs",
            [more_than_empty(guest, tier, "stream", lambda e: e["hits"] / e["rounds"])], "ns", 60),
        Row("records a keep-alive exchange",
            [ledger["records"]["attempted"] / max(ledger["exchanges"]["spans"], 1)], "", 3, note="aim 2"),
        Row("maps and roles, idle", [guest.memory[tier]["idle_maps"] + guest.memory[tier]["idle"]], "MiB", 25 * 2**20),
        Row("maps and roles, full load", [guest.maps[tier] + guest.memory[tier]["load"]], "MiB", 48 * 2**20,
            note=f"at {guest.arms[f'sonde-{tier}']['rate']:,.0f}/s"),
        Row("idle, wake-ups in 10 s", [idle["switches"]], "", 0),
        Row("start to the hooks attached", [guest.start[tier] / 1e9], "s", 0.5),
        Row("residuals", [sum(abs(ledger[p]["residual"]) for p in ("records", "bytes", "exchanges"))], "", 0),
    ]
    for row in rows:
        row.measure = f"{tier}: {row.measure}"
    return rows


def guest_lines(args):
    """kprobe and fentry under Debian's 6.12 in QEMU: instructions and ratios."""
    text = boot(more=True)
    guest = Guest(text)
    rows = [Row("nginx in the guest, nothing attached: instructions a request", [guest.costs(TIERS.split()[0])["plain"]], "")]
    for tier in TIERS.split():
        rows += tier_rows(guest, tier)
    return rows, {k: v for k, v in vars(guest).items() if k != "pairs"} | {
        "pairs": {f"{arm} {kind}": v for (arm, kind), v in guest.pairs.items()}}
