#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# run.sh - the driver behind `make check` and `make test`.
#
#   run.sh [PHASE...]       build unit golden page coverage includes format fuzz programs backends btf vm
#                           bench-check  (default: all of these)
#
# Every phase leaves "passed failed skipped" in $OUTPUT/test/PHASE.counts and its output in
# $OUTPUT/test/PHASE.log; a phase that leaves none counts as one failure. The last line printed
# is `N passed, N failed, N skipped`; exit status 1 where something failed.
set -u
cd "$(dirname "$0")/.." || exit 1
. tests/lib/phases.sh

[ $# -gt 0 ] || set -- build unit golden page coverage includes format fuzz programs backends btf bench-check vm
mkdir -p "$OUT"
# The kernels' boots are long and mostly wait for one processor: see phase_vm.
trap 'stop_background' EXIT

begin_all=$SECONDS
for phase in "$@"; do
	declare -F "phase_$phase" >/dev/null || { echo "run.sh: no such phase: $phase" >&2; exit 2; }
done
prefetch "$@"
for phase in "$@"; do
	run_phase "$phase"
	[ "$phase" = build ] && [ "$(cat "$OUT/build.status")" != 0 ] && break
done
summary $((SECONDS - begin_all)) "$@"
