#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
#   run.sh          every script: the same output as in its .expect file, twice. "ok NAME", "FAIL NAME".
#   run.sh accept   writes the .expect files anew
set -u
cd "$(dirname "$0")/../.." || exit 1
OUTPUT=${OUTPUT:-build}
make --no-print-directory OUTPUT="$OUTPUT" "$OUTPUT/golden/golden" || exit 1
status=0
for script in tests/golden/*.txt; do
	name=$(basename "$script" .txt)
	expect=tests/golden/$name.expect got=$OUTPUT/golden/$name.got again=$OUTPUT/golden/$name.again
	if ! "$OUTPUT/golden/golden" "$script" >"$got" 2>"$got.err" ||
		! "$OUTPUT/golden/golden" "$script" >"$again" 2>>"$got.err"; then
		echo "FAIL $name"
		tail -20 "$got.err"
		status=1
	elif ! cmp -s "$got" "$again"; then
		echo "FAIL $name: two runs differ"
		diff "$got" "$again" | head -20
		status=1
	elif [ "${1:-}" = accept ]; then
		cp "$got" "$expect"
		echo "ok   $name: accepted"
	elif ! diff -u "$expect" "$got" >"$got.diff" 2>&1; then
		echo "FAIL $name"
		cut -c1-400 "$got.diff" | head -40
		status=1
	else
		echo "ok   $name"
	fi
done
exit $status
