# SPDX-License-Identifier: Apache-2.0
"""Programs in Rust: built by Cargo from crates, into the cache, keyed by their text."""

import hashlib
import os
import pathlib
import subprocess

from harness import ROOT

CACHE = pathlib.Path(os.environ.get("SONDE_CACHE", "/var/cache/sonde"))


def rust_program(package, name):
    """The binary `name` of the package tests/programs/PACKAGE."""
    folder = ROOT / "tests/programs" / package
    sources = [folder / "Cargo.toml", *sorted(folder.glob("src/**/*.rs"))]
    key = hashlib.sha256(b"".join(s.read_bytes() for s in sources)).hexdigest()[:12]
    # Copied, as Cargo writes a lock file beside what it builds.
    build = CACHE / f"{package}-{key}"
    binary = build / "target/release" / name
    if not binary.exists():
        for source in sources:
            to = build / source.relative_to(folder)
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_bytes(source.read_bytes())
        subprocess.run(["cargo", "build", "--quiet", "--release", "--jobs", "2"], check=True, cwd=build)
    return binary
