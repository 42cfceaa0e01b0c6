# SPDX-License-Identifier: Apache-2.0
"""kernel x tier x result: boots each kernel of the matrix and runs guest/suite.sh in it.

  matrix.py [--kernels "k510 knew"] [--count N] [--jobs N] [--counts FILE] [--logs DIR]

Every test of every cell is one line `RESULT tier test pass|fail|skip detail` from the guest; a boot
that does not come to its end is one failure more. Prints a table and writes "passed failed skipped".
"""

import argparse
import collections
import concurrent.futures
import dataclasses
import os
import pathlib
import re
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
OUTPUT = ROOT / os.environ.get("OUTPUT", "build")
GUEST = OUTPUT / "test/vm"
CACHE = pathlib.Path(os.environ.get("SONDE_CACHE", "/var/cache/sonde"))
CFLAGS = "-std=gnu17 -Wall -Wextra -Werror -Wshadow -Wmissing-prototypes -Wstrict-prototypes -O2 -g -D_GNU_SOURCE"


@dataclasses.dataclass(frozen=True)
class Boot:
    kernel: str
    name: str  # of the variant
    words: str  # of the kernel's command line
    tiers: str
    script: str = "suite.sh"


# socktp needs the tracepoints of 6.3; preempt=full needs a kernel built to switch (5.10 is not).
BOOTS = [
    Boot("k510", "default", "", "kprobe fentry"),
    Boot("k61", "default", "", "kprobe fentry"),
    Boot("k61", "preempt=full", "preempt=full", "kprobe fentry"),
    Boot("k612", "default", "", "kprobe fentry socktp"),
    Boot("k612", "preempt=full", "preempt=full", "kprobe fentry socktp"),
    Boot("knew", "default", "", "kprobe fentry socktp"),
    Boot("knew", "preempt=full", "preempt=full", "kprobe fentry socktp"),
    # kprobes and reading kernel memory by helper are forbidden there.
    Boot("k61", "lockdown", "lockdown=confidentiality", "fentry", "lockdown.sh"),
    Boot("knew", "lockdown", "lockdown=confidentiality", "fentry socktp", "lockdown.sh"),
]
# What kernel TLS needs where it is built as modules, in the order in which they are loaded: each kernel
# takes those that it has.
MODULES = ["gf128mul", "ghash-generic", "crypto_null", "ctr", "gcm", "tls"]
# A quiet machine needs a third of it.
LIMIT_S = 900
# A boot that would begin after this is left out and said to be: the whole run has a limit, too.
BUDGET_S = 2400
RESULT = re.compile(r"^RESULT (\S+) (\S+) (pass|fail|skip) ?(.*)$")


def build_guest():
    """The programs that run inside, from guest/*.c."""
    GUEST.mkdir(parents=True, exist_ok=True)
    for name, sources, libraries in (
        ("peer", "peer.c calls.c script.c busy.c short.c bypass.c check.c", "-lpthread"),
        ("spans", "spans.c check.c", "-ljansson"),
    ):
        subprocess.run(
            ["gcc", *CFLAGS.split(), "-o", GUEST / name, *(HERE / "guest" / s for s in sources.split()),
             *libraries.split()],
            check=True,
        )


def make_certificate():
    """For nginx in the guest: its own authority."""
    folder = GUEST / "tls"
    folder.mkdir(exist_ok=True)
    if not (folder / "cert.pem").exists():
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-days",
             "3650", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
            check=True, capture_output=True, cwd=folder,
        )


def kernel_version(name):
    """The version behind a name of the matrix, from its package's; "-" where it is not there."""
    mark = CACHE / "kernels" / name / ".package"
    found = re.search(r"-(\d+\.\d+\.\d+)", mark.read_text()) if mark.exists() else None
    return found.group(1) if found else "-"


def modules(boot):
    """Options of boot.sh for the modules of a boot's kernel."""
    if boot.name != "default":
        return []
    there = [m for m in MODULES if next((CACHE / "kernels" / boot.kernel).rglob(f"{m}.ko*"), None)]
    return [word for m in there for word in ("-M", m)] if "tls" in there else []


def run(boot, arguments, logs):
    """One boot; its results as (tier, test, status, detail), the last one about the boot itself, and what to print."""
    log = logs / f"{boot.kernel}-{boot.name.replace('=', '-')}.console"
    start = time.monotonic()
    done = subprocess.run(
        [HERE / "boot.sh", "-k", boot.kernel, *(["-a", boot.words] if boot.words else []), "-t", str(LIMIT_S),
         "-l", log, *modules(boot), "-f", f"{OUTPUT}/sonde:/usr/bin/sonde", "-f", f"{GUEST}/peer:/usr/bin/peer",
         "-f", f"{GUEST}/spans:/usr/bin/spans", "-f", "/usr/sbin/bpftool:/usr/sbin/bpftool", "-b", "/usr/sbin/nginx", "-b", "curl",
         "-f", f"{GUEST}/tls/cert.pem:/etc/tls/cert.pem", "-f", f"{GUEST}/tls/key.pem:/etc/tls/key.pem",
         HERE / "guest" / boot.script, boot.tiers, str(arguments.pairs), str(arguments.count),
         *(["more"] if boot.name == "default" else [])],
        capture_output=True, text=True, errors="replace",
    )
    seconds = time.monotonic() - start
    log.with_suffix(".out").write_text(done.stdout + done.stderr)
    results, said = [], []
    for line in done.stdout.splitlines():
        found = RESULT.match(line)
        if found:
            tier, test, status, detail = found.groups()
            results.append((tier, test, status, detail))
            said.append(f"RESULT {boot.kernel} {boot.name} {tier} {test} {status} {detail}")
        elif line.startswith("    | "):
            said.append(line)
    ended = done.returncode in (0, 1) and bool(results)
    results.append(("-", "boot", "pass" if ended else "fail", f"{seconds:.0f} s"))
    if not ended:
        said.append(f"RESULT {boot.kernel} {boot.name} - boot fail exit {done.returncode}, see {log}")
        said += ["    | " + line for line in (done.stdout + done.stderr).splitlines()[-15:]]
    said.append(f"-- {kernel_version(boot.kernel)} {boot.name}: {seconds:.0f} s")
    return results, "\n".join(said)


def run_all(boots, arguments):
    """Some at a time: a boot mostly waits for one processor. Results by boot; prints each when it has ended."""
    begin = time.monotonic()

    def one(boot):
        if time.monotonic() - begin > arguments.budget:
            return [("-", "boot", "skip", "")], (
                f"RESULT {boot.kernel} {boot.name} - boot skip {arguments.budget} s were over before it"
            )
        return run(boot, arguments, arguments.logs)

    cells = dict.fromkeys(boots)
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        # the newest kernels take longest: not at the end, where one would wait for the other
        order = sorted(boots, key=lambda boot: (boot.script == "lockdown.sh", -BOOTS.index(boot)))
        running = {pool.submit(one, boot): boot for boot in order}
        for done in concurrent.futures.as_completed(running):
            cells[running[done]], said = done.result()
            print(said, flush=True)
    return cells


def table(cells):
    """kernel x variant x tier, one row each, one column a test."""
    tests = list(dict.fromkeys(test for results in cells.values() for _, test, _, _ in results))
    width = max(len(t) for t in tests)
    print(f"\n{'kernel':<22}{'tier':<9}" + " ".join(f"{t:<{min(width, len(t))}}" for t in tests))
    for boot, results in cells.items():
        rows = collections.defaultdict(dict)
        for tier, test, status, _ in results:
            rows[tier][test] = {"pass": "ok", "fail": "FAIL", "skip": "skip"}[status]
        for tier in sorted(rows, key=lambda t: (t == "-", t)):
            label = f"{kernel_version(boot.kernel)} {boot.name}"
            print(f"{label:<22}{tier:<9}" + " ".join(f"{rows[tier].get(t, ''):<{len(t)}}" for t in tests))
    print()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kernels", default="k510 k61 k612 knew")
    parser.add_argument("--variants", default="", help="default preempt=full lockdown; all if empty")
    parser.add_argument("--pairs", type=int, default=4, help="busy clients, with as many servers")
    parser.add_argument("--count", type=int, default=2500, help="exchanges of each pair")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count()), help="boots at a time, of two processors each")
    parser.add_argument("--budget", type=int, default=BUDGET_S, help="seconds after which no boot begins")
    parser.add_argument("--counts", type=pathlib.Path)
    parser.add_argument("--logs", type=pathlib.Path, default=OUTPUT / "test/vm")
    arguments = parser.parse_args()
    build_guest()
    make_certificate()
    arguments.logs.mkdir(parents=True, exist_ok=True)
    boots = [
        boot
        for boot in BOOTS
        if boot.kernel in arguments.kernels.split()
        and (not arguments.variants or boot.name in arguments.variants.split())
    ]
    cells = run_all(boots, arguments)
    table(cells)
    counted = collections.Counter(status for results in cells.values() for _, _, status, _ in results)
    if arguments.counts:
        arguments.counts.write_text(f"{counted['pass']} {counted['fail']} {counted['skip']}\n")
    return 1 if counted["fail"] or not cells else 0


if __name__ == "__main__":
    sys.exit(main())
