# SPDX-License-Identifier: Apache-2.0
"""What is known not to hold yet: tests/known-failures.txt, `PATTERN  # why` a line (fnmatch).

A test named there is run and reported all the same; its failure counts as skipped, with the reason, and
not as a failure, so that whatever else breaks is seen. The list is a list of defects: it gets shorter.
"""
import fnmatch
import pathlib

LIST = pathlib.Path(__file__).resolve().parents[1] / "known-failures.txt"


def entries():
    for line in LIST.read_text().splitlines():
        pattern, _, why = line.partition("  # ")
        if pattern.strip() and not pattern.startswith("#"):
            yield pattern.strip(), why.strip()


def reason(name):
    """Why this test is known to fail, or None."""
    return next((why for pattern, why in entries() if fnmatch.fnmatchcase(name, pattern)), None)
