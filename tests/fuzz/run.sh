#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
#   run.sh runs N NAME...      N executions of each target
#   run.sh seconds N NAME...   N seconds of each
#
# Says "ok NAME executions" or "FAIL NAME" and the end of its output. Built by `make fuzz-build`.
set -u
cd "$(dirname "$0")/../.." || exit 1
OUTPUT=${OUTPUT:-build}
what=$1 n=$2
shift 2
case $what in
runs) limit=-runs=$n ;;
seconds) limit=-max_total_time=$n ;;
*) echo "usage: run.sh runs|seconds N NAME..." >&2; exit 2 ;;
esac

one() { # NAME
	local name=$1 seed=tests/fuzz/corpus/$1 log=$OUTPUT/fuzz/$1.log
	local corpus=$OUTPUT/fuzz/corpus/$name found=$OUTPUT/fuzz/found/$name dict=
	mkdir -p "$corpus" "$found" "$seed"
	[ -f "tests/fuzz/$name.dict" ] && dict=-dict=tests/fuzz/$name.dict
	# By the clock, not by processor time: on a busy machine an input of 10 ms has taken 16 s.
	if nice "$OUTPUT/fuzz/$name" "$limit" $dict -max_len=8192 -timeout=60 -rss_limit_mb=1024 \
		-artifact_prefix="$found/" "$corpus" "$seed" >"$log" 2>&1; then
		echo "ok   $name $(sed -n 's/^Done \([0-9]*\) runs.*/\1 executions/p' "$log")"
	else
		echo "FAIL $name, input kept in $found"
		tail -25 "$log" | cut -c1-200
		return 1
	fi
}

# One a processor; what a target says is printed when it has ended.
export OUTPUT limit
export -f one
printf '%s\n' "$@" | xargs -P "$(nproc)" -I{} bash -c 'said=$(one {}); status=$?; printf "%s\n" "$said"; exit $status' || exit 1
