# SPDX-License-Identifier: Apache-2.0
"""Manual pages from what the commands say of themselves: manual.py SONDE FOLDER.

The help of a command is paragraphs apart by empty lines: `usage:` first, then text; lines that are indented
are examples or options, a word with a colon before them a heading. Each becomes what man(7) has for it.
"""
import pathlib
import re
import subprocess
import sys

SECTIONS = {"Scope": "SCOPE", "Output": "OUTPUT", "Capture": "CAPTURE", "Exit status": "EXIT STATUS"}


def escape(text):
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga").replace("^", "\\(ha")
    text = text.replace("~", "\\(ti").replace('"', "\\(dq")
    return "\\&" + text if text.startswith(".") else text


def helped(sonde, *words):
    return subprocess.run([sonde, *words, "--help"], capture_output=True, text=True, check=True, timeout=30).stdout


def options(lines):
    """Entries of two columns: what stands before two blanks, and its text, which goes on below."""
    out = []
    for line in lines:
        left, _, right = line[2:].partition("  ")
        if line.startswith("    ") and out:
            out[-1][1].append(line.strip())
        elif line.startswith("  -"):
            out.append([left.strip(), [right.strip()] if right.strip() else []])
        elif out:
            out[-1][1].append(line.strip())
    text = []
    for left, right in out:
        text += [".TP", f".B {escape(left)}", escape(" ".join(right)) or "\\&"]
    return text


def body(paragraph):
    """One paragraph of a help text."""
    lines = paragraph.split("\n")
    if lines[0].startswith("usage: "):
        return [".SH SYNOPSIS", ".nf", *(escape(line.removeprefix("usage: ").strip()) for line in lines), ".fi", ".SH DESCRIPTION"]
    out, block = [], []

    def flush():
        if not block:
            return
        if any(line.startswith("  -") for line in block):
            out.extend(options(block))
        else:
            out.extend([".PP", ".nf", ".RS", *(escape(line[2:]) for line in block), ".RE", ".fi"])
        block.clear()

    for line in lines:
        if line.startswith("  "):
            block.append(line)
            continue
        flush()
        head, colon, rest = line.partition(":")
        if colon and head in SECTIONS:
            out.append(f".SH {SECTIONS[head]}")
            if rest.strip():
                out.append(escape(rest.strip()[0].upper() + rest.strip()[1:]))
        elif colon and not rest and re.fullmatch(r"[A-Z][a-z ]+", head):
            out.append(f".SH {head.upper()}")
        elif out and out[-1][0] != ".":
            out.append(escape(line))
        else:
            out += [] if out and out[-1].startswith(".SH") else [".PP"]
            out.append(escape(line))
    flush()
    return out


def page(name, summary, text, version, others):
    paragraphs = [p for p in text.strip("\n").split("\n\n") if p.strip()]
    out = [".\\\" Made from the help of the command; do not edit.", f'.TH {name.upper()} 1 "" "sonde {version}" "sonde"',
           ".SH NAME", f"{escape(name)} \\- {escape(summary)}"]
    first = next((i for i, p in enumerate(paragraphs) if p.startswith("usage: ")), None)
    ordered = paragraphs if first is None else [paragraphs[first]] + paragraphs[:first] + paragraphs[first + 1:]
    seen_options = False
    for paragraph in ordered:
        lines = body(paragraph)
        if ".TP" in lines and not seen_options and not lines[0].startswith(".SH"):
            out.append(".SH OPTIONS")
        seen_options |= ".TP" in lines
        out += lines
    out += [".SH SEE ALSO"]
    out += [f".BR {escape(other)} (1){',' if i + 1 < len(others) else ''}" for i, other in enumerate(others)]
    return "\n".join(out) + "\n"


def main():
    sonde, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    version = subprocess.run([sonde, "version"], capture_output=True, text=True, check=True, timeout=30).stdout.split()[1]
    text = helped(sonde)
    commands = re.findall(r"^  ([a-z]+) +(\S.*)$", text.split("Try it:")[0], re.M)
    names = [f"sonde-{c}" for c, _ in commands]
    about, _, rest = text.partition("\n\n")
    (folder / "sonde.1").write_text(page("sonde", about.removeprefix("sonde: ").strip(), rest, version, names))
    for command, summary in commands:
        others = ["sonde"] + [n for n in names if n != f"sonde-{command}"]
        (folder / f"sonde-{command}.1").write_text(page(f"sonde-{command}", summary, helped(sonde, command), version, others))


main()
