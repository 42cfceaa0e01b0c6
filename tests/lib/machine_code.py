# SPDX-License-Identifier: Apache-2.0
"""Machine code of x86-64 as binutils show it, walked by itself: whether breakpoints in the place of a function's returns are
met by every way through it, and say what it returns."""
import functools
import re
import struct
import subprocess

# What the kernel executes by itself where a breakpoint is on it: arch/x86/kernel/uprobes.c.
EMULATED = re.compile(r"(jmp|call|j[a-z]+) +[0-9a-f]+( |$)|push +%r\w+$|nop$")
JUMP = re.compile(r"(?:bnd |notrack )*(j\w+) +([0-9a-f]+)")
RETURN = re.compile(r"(bnd |repz? |notrack )*ret")
CONDITIONS = "o no b ae e ne be a s ns p np l ge le g".split()
REGISTERS = "ax cx dx bx sp bp si di".split()
NOTHING, ONE = 16, 17


def register(number):
    return f"r{REGISTERS[number]}" if number < 8 else f"r{number}"


def whole(name):
    """rbp of %ebp; None: of fewer than 32 bits, or no general register."""
    if m := re.match(r"%(?:e|r)([a-d]x|[sb]p|[sd]i)$", name):
        return "r" + m[1]
    m = re.match(r"%(r\d+)d?$", name)
    return m and m[1]


def moves(text):
    """By how much an instruction moves the stack pointer."""
    if m := re.match(r"(sub|add) +\$(0x\w+),%rsp$", text):
        return int(m[2], 16) * (1 if m[1] == "add" else -1)
    return -8 if text.startswith("push ") else 8 if text.startswith("pop ") else 0


class File:
    def __init__(self, path):
        self.path = path
        out = subprocess.run(["readelf", "-lW", path], capture_output=True, text=True, check=True).stdout
        self.segments = [tuple(int(x, 16) for x in (m[1], m[2], m[3]))
                         for m in re.finditer(r"^ +LOAD +(0x\w+) (0x\w+) 0x\w+ (0x\w+)", out, re.M)]

    def offset_of(self, address):
        return next(address - a + o for o, a, n in self.segments if a <= address < a + n)

    def address_of(self, offset):
        return next(offset - o + a for o, a, n in self.segments if o <= offset < o + n)

    @functools.cached_property
    def bounds(self):
        """[(begin, end)] of functions and parts of such, as the unwind tables say."""
        out = subprocess.run(["readelf", "--debug-dump=frames", self.path], capture_output=True, text=True).stdout
        return sorted((int(m[1], 16), int(m[2], 16)) for m in re.finditer(r"pc=(\w+)\.\.(\w+)", out))

    def part_of(self, address):
        return next((a, b) for a, b in self.bounds if a <= address < b)

    def code(self, begin, end):
        """{address: text}"""
        out = subprocess.run(["objdump", "-d", "--no-show-raw-insn", f"--start-address={begin}", f"--stop-address={end}", self.path],
                             capture_output=True, text=True, check=True).stdout
        return {int(m[1], 16): m[2].strip() for m in re.finditer(r"^ *(\w+):\t(.*)$", out, re.M)}

    def cases(self, code, at):
        """Where a jump by a table goes: what the numbers say that an address shortly before it is of. One by a pointer, to which
        nothing was added, leaves the function."""
        before = [text for place, text in sorted(code.items()) if at - 64 < place < at]
        if not any(re.match(r"add +%\w+,%\w+$", text) for text in before[-2:]):
            return []
        table = next(int(m[1], 16) for text in reversed(before) if (m := re.search(r"lea .*# (\w+)", text)))
        with open(self.path, "rb") as file:
            file.seek(self.offset_of(table))
            numbers = struct.unpack("512i", file.read(2048))
        found = []
        for number in numbers:
            if table + number not in code:
                return found
            found.append(table + number)
        raise AssertionError("a table without an end")


class Function:
    """The parts of a function, by addresses: code, and where each instruction goes on: [(next, how)], how is "", "taken" or
    "not taken"."""

    def __init__(self, file, parts):
        self.code = {}
        for begin, end in parts:
            self.code |= file.code(begin, end)
        self.begins = [begin for begin, _ in parts]
        places = sorted(self.code)
        behind = dict(zip(places, places[1:]))
        self.ways = {at: self.ways_of(file, at, behind.get(at)) for at in places}

    def ways_of(self, file, at, behind):
        text = self.code[at]
        if RETURN.match(text) or text.startswith("ud2"):
            return []
        if m := JUMP.match(text):
            to = [(int(m[2], 16), "" if m[1] == "jmp" else "taken")]
            return [w for w in to + ([] if m[1] == "jmp" else [(behind, "not taken")]) if w[0] in self.code]
        if re.match(r"(notrack |bnd )*jmp ", text):
            return [(to, "") for to in file.cases(self.code, at)]
        return [(behind, "")] if behind in self.code else []

    def reached(self, without=()):
        """Instructions that are come to from the beginnings, but for these (from, to)."""
        seen, left = set(), list(self.begins)
        while left:
            at = left.pop()
            if at in seen:
                continue
            seen.add(at)
            left += [to for to, _ in self.ways[at] if (at, to) not in without]
        return seen

    def ways_by(self, at, condition):
        """Where it goes on from a jump where this condition holds: as the kernel's program is told it."""
        ways = self.ways[at]
        if not condition:
            return {to for to, _ in ways}
        name = JUMP.match(self.code[at])[1][1:]
        name = {"c": "b", "nc": "ae", "z": "e", "nz": "ne"}.get(name, name)
        how = {CONDITIONS.index(name): "taken", CONDITIONS.index(name) ^ 1: "not taken"}[condition - 1]
        return {to for to, way in ways if way == how}

    def returned(self, at, result):
        """From there on to a return: (what is in rax then, by how much the stack pointer has risen, where). Nothing between
        them may write memory or go two ways."""
        known = {register(result): "result"} if result < NOTHING else {}
        risen = 0
        while not RETURN.match(self.code[at]):
            text, ways = self.code[at], self.ways[at]
            assert len(ways) == 1, f"{at:#x} {text}"
            name, _, operands = text.partition(" ")
            operands = operands.strip().split(",") if operands else []
            to = whole(operands[-1]) if operands and not name.startswith(("j", "nop", "test", "cmp")) else None
            assert name != "call" and not (operands and operands[-1].endswith(")") and not name.startswith("nop")), text
            risen += moves(text)
            if name == "cltq":
                to = None
            elif name in ("mov", "movslq") and to:
                source = operands[0]
                known[to] = int(source[1:], 16) if source.startswith("$") else known.get(whole(source))
            elif name == "xor" and to and operands[0] == operands[1]:
                known[to] = 0
            elif to:
                known.pop(to, None)
            at = ways[0][0]
        return known.get("rax"), risen, at


def check_exits(function, returns, exits):
    """exits: {address: (below, result, condition)}, in the place of these returns, which no way leads to past them."""
    cut = set()
    for at, (below, result, condition) in exits.items():
        assert EMULATED.match(function.code[at]), function.code[at]
        for to in function.ways_by(at, condition):
            cut.add((at, to))
            value, risen, end = function.returned(to, result)
            assert end in returns and risen == below, f"{at:#x} {risen} {below}"
            if result < NOTHING:
                assert value == "result", f"{at:#x} {value}"
            else:
                low = value & 0xffffffff
                signed = low - (1 << 32) if low >> 31 else low
                assert signed == 1 if result == ONE else signed <= 0, f"{at:#x} {value}"
    assert returns <= function.reached()
    assert not returns & function.reached(cut)
