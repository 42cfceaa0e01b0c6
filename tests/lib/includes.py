# SPDX-License-Identifier: Apache-2.0
"""Keeps the direction of the includes, and a few rules of the tree; one line `ok` or `FAIL` a rule.

headers/ stands alone; user/ never looks into bpf/; user/base includes no other folder; user/core
none but base (and no header that means a system call, libbpf or logging); bpf/ none of user/.
"""

import pathlib
import re
import subprocess
import sys

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)
IMPURE = re.compile(
    r"^(bpf/|sys/(socket|mman|epoll|ioctl|syscall|prctl|wait|un)\.h|unistd\.h|fcntl\.h|poll\.h|curl/|seccomp\.h"
    r"|linux/bpf\.h|pthread\.h)"
)


def sources():
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard", "*.c", "*.h"], capture_output=True, text=True
        ).stdout.split()
    except FileNotFoundError:
        listed = []
    if not listed:  # no git here, or a source tarball: every file counts
        listed = [str(p) for p in pathlib.Path(".").rglob("*.[ch]") if "build" not in p.parts]
    return [pathlib.Path(p) for p in listed if pathlib.Path(p).is_file()]


def folder_of(path, name):
    """The folder that an include of `name` in `path` means: "user/core", "headers", "bpf", or ""."""
    for base in (path.parent, pathlib.Path("user")):
        target = (base / name).resolve()
        if target.exists():
            try:
                parts = target.relative_to(pathlib.Path.cwd()).parts
            except ValueError:
                return ""
            return "/".join(parts[:2]) if parts[0] == "user" else parts[0]
    return ""


def broken(path, kind, name):
    """Why this include is against the rules, or None."""
    place = path.parts[0] if path.parts[0] != "user" else "/".join(path.parts[:2])
    folder = folder_of(path, name) if kind == '"' else ""
    if place == "headers":
        if kind == "<" and name != "linux/types.h" or kind == '"' and folder != "headers":
            return "headers/ includes nothing but <linux/types.h>"
    if place == "bpf" and folder.startswith("user"):
        return "bpf/ includes nothing of user/"
    if place.startswith("user") and folder == "bpf":
        return "user/ never includes bpf/"
    if place == "user/base" and folder not in ("", "user/base", "headers"):
        return "user/base includes no other folder"
    if place == "user/core":
        if folder not in ("", "user/base", "user/core", "headers"):
            return "user/core includes nothing but base"
        if name == "base/log.h" or kind == "<" and IMPURE.match(name):
            return "user/core is pure: no system calls, no libbpf, no logging"
    return None


def main():
    files = [p for p in sources() if p.parts[0] in ("headers", "bpf", "user", "tests")]
    rules = {"direction of includes": [], "SPDX line in each file": [], "no unit includes a .c file": []}
    for path in files:
        text = path.read_text(errors="replace")
        if "SPDX-License-Identifier:" not in text[:400]:
            rules["SPDX line in each file"].append(str(path))
        for kind, name in INCLUDE.findall(text):
            why = broken(path, kind, name)
            if why:
                rules["direction of includes"].append(f'{path}: "{name}": {why}')
            if name.endswith(".c") and path.parts[0] != "tests":
                rules["no unit includes a .c file"].append(f"{path}: {name}")
    for rule, found in rules.items():
        print("FAIL" if found else "ok", rule)
        for line in found:
            print("    " + line)
    return 1 if any(rules.values()) else 0


sys.exit(main())
