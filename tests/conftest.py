# SPDX-License-Identifier: Apache-2.0
"""What all tests that run from outside share: the path to tests/lib, and what they need to run."""

import os
import pathlib
import signal
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))

import harness  # noqa: E402


def pytest_configure(config):
    """A run in the background, or under nohup, ignores these, and so would all that it starts."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config, items):
    if os.geteuid() != 0:
        for item in items:
            item.add_marker(pytest.mark.skip(reason="loading BPF programs needs root"))


@pytest.fixture(scope="session", autouse=True)
def binary():
    assert harness.SONDE.exists(), f"{harness.SONDE} is missing: run make first"
    return harness.SONDE
