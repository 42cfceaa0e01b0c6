#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Unit and golden tests, then how many lines of user/core they reached, a file and in all.
# COVERAGE_MIN (default 90): the percentage below which this fails.
set -u
cd "$(dirname "$0")/../.." || exit 1
OUTPUT=${OUTPUT:-build}
min=${COVERAGE_MIN:-90}
failed=0
find "$OUTPUT/san" -name '*.gcda' -delete
for test in "$OUTPUT"/unit/*_test; do
	"$test" >"$OUTPUT/unit/last.log" 2>&1 || { echo "FAIL $test"; failed=1; }
done
tests/golden/run.sh || failed=1
find "$OUTPUT/san/user/core" -name '*.gcno' | sort | while read -r notes; do
	gcov -n -o "$notes" "$notes" 2>/dev/null |
		awk -v q="'" '/^File/ { f = $2; gsub(q, "", f) }
			/^Lines executed/ { split($2, a, /[:%]/); if (f ~ /^user\/core\/.*\.c$/) print f, a[2], $4; f = "" }'
done | awk -v min="$min" '
	{ printf "%6.2f %% of %4d  %s\n", $2, $3, $1; hit += $2 * $3 / 100; all += $3 }
	END {
		printf "%6.2f %% of %4d  lines of user/core by unit and golden tests\n", hit * 100 / all, all
		exit hit * 100 / all < min
	}'
[ $? = 0 ] && [ $failed = 0 ]
