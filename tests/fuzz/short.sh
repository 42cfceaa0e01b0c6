#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The fuzz phase of tests/run.sh: every target for FUZZ_SECONDS (default: 20).
cd "$(dirname "$0")/../.." || exit 1
exec make --no-print-directory OUTPUT="${OUTPUT:-build}" fuzz-short
