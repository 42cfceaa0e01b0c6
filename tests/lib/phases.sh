# SPDX-License-Identifier: Apache-2.0
# The phases of run.sh; sourced by it, from the root of the tree.

OUTPUT=${OUTPUT:-build}
PYTHON=${PYTHON:-/usr/bin/python3}
OUT=$OUTPUT/test
JOBS=$(nproc)
export OUTPUT PYTHON
export SONDE_CACHE=${SONDE_CACHE:-/var/cache/sonde}
BACKGROUND=()

counts() { # PHASE PASSED FAILED SKIPPED
	echo "$2 $3 $4" >"$OUT/$1.counts"
}

run_phase() { # PHASE: runs it, prints its time and counts
	local phase=$1 start=$SECONDS status p f s
	rm -f "$OUT/$phase.counts"
	echo "== $phase"
	# Not in a pipe's subshell: a phase waits for children of this shell.
	"phase_$phase" > >(exec tee "$OUT/$phase.log") 2>&1
	status=$?
	wait $!
	echo "$status" >"$OUT/$phase.status"
	if [ ! -f "$OUT/$phase.counts" ]; then
		if [ "$status" = 0 ]; then counts "$phase" 0 0 0; else counts "$phase" 0 1 0; fi
	fi
	read -r p f s <"$OUT/$phase.counts"
	if [ "$status" != 0 ] && [ "$f" = 0 ]; then
		f=1
		counts "$phase" "$p" 1 "$s"
	fi
	echo $((SECONDS - start)) >"$OUT/$phase.seconds"
	printf '== %s: %d passed, %d failed, %d skipped, %d s\n\n' "$phase" "$p" "$f" "$s" \
		$((SECONDS - start))
}

summary() { # SECONDS PHASE...
	local total=$1 phase p=0 f=0 s=0 a b c
	shift
	printf '%-10s %7s %7s %8s %7s\n' phase passed failed skipped seconds
	for phase in "$@"; do
		[ -f "$OUT/$phase.counts" ] || { echo 0 1 0 >"$OUT/$phase.counts"; echo 0 >"$OUT/$phase.seconds"; }
		read -r a b c <"$OUT/$phase.counts"
		printf '%-10s %7d %7d %8d %7d\n' "$phase" "$a" "$b" "$c" "$(cat "$OUT/$phase.seconds")"
		p=$((p + a)) f=$((f + b)) s=$((s + c))
	done
	printf '%-10s %7s %7s %8s %7d\n' all '' '' '' "$total"
	grep -hE '^(FAILED|\[  FAILED  \]|RESULT .* fail)' $(printf "$OUT/%s.log " "$@") 2>/dev/null | head -40
	echo "$p passed, $f failed, $s skipped"
	[ "$f" = 0 ]
}

# Long downloads and builds start at once, at low priority, beside the short phases.
prefetch() {
	local want=" $* "
	case $want in
	*" vm "* | *" btf "* | *" bench-check "*) background kernels tests/vm/kernels.sh ;;
	esac
	case $want in
	*" programs "* | *" backends "*) background venv tests/lib/venv.sh ;;
	esac
	case $want in
	*" programs "*)
		background npm tests/lib/npm.sh
		background sdks tests/lib/go_java.sh sdks
		background grpc tests/lib/go_java.sh grpc
		;;
	esac
	case $want in
	*" backends "*) background backends-build tests/backends/build.sh ;;
	esac
}
background() { # NAME COMMAND...
	local name=$1
	shift
	nice -n 10 "$@" >"$OUT/$name.log" 2>&1 &
	BACKGROUND+=("$!:$name")
}
await() { # NAME: waits for what prefetch began; runs nothing by itself
	local entry rc
	for entry in "${BACKGROUND[@]}"; do
		[ "${entry#*:}" = "$1" ] || continue
		wait "${entry%%:*}" && return 0
		rc=$?
		tail -15 "$OUT/$1.log"
		return $rc
	done
}
stop_background() {
	local entry
	for entry in "${BACKGROUND[@]}"; do kill "${entry%%:*}" 2>/dev/null; done
}

phase_build() {
	make -j"$JOBS" OUTPUT="$OUTPUT" all
}

# cmocka's own lines: "[  PASSED  ] 12 test(s)." and "[  FAILED  ] 1 test(s), listed below:".
phase_unit() {
	local test p=0 f=0 s=0 out status
	make -j"$JOBS" OUTPUT="$OUTPUT" unit-build || return
	for test in tests/unit/*_test.c; do
		test=$(basename "$test" .c)
		out=$("$OUTPUT/unit/$test" 2>&1)
		status=$?
		p=$((p + $(sum '\[  PASSED  \] \([0-9]*\) test.*' "$out")))
		s=$((s + $(sum '\[  SKIPPED \] \([0-9]*\) test.*' "$out")))
		local failed
		failed=$(sum '\[  FAILED  \] \([0-9]*\) test.*' "$out")
		[ "$status" != 0 ] && [ "$failed" = 0 ] && failed=1
		f=$((f + failed))
		if [ "$status" = 0 ]; then
			echo "ok   $test $(printf '%s\n' "$out" | grep -c '^\[       OK')"
		else
			echo "FAIL $test"
			printf '%s\n' "$out" | tail -60
		fi
	done
	counts unit "$p" "$f" "$s"
	[ "$f" = 0 ]
}
sum() { # PATTERN TEXT: the numbers that match, added up
	printf '%s\n' "$2" | sed -n "s/^$1/\1/p" | awk '{ n += $1 } END { print n + 0 }'
}

# One script that says "ok NAME" or "FAIL NAME" a test; the same for the checker of the tree.
lines_phase() { # PHASE COMMAND...
	local phase=$1 log status p f
	shift
	log=$(mktemp "$OUT/lines.XXXXXX")
	"$@" 2>&1 | tee "$log"
	status=${PIPESTATUS[0]}
	p=$(grep -cE '^ok ' "$log") f=$(grep -cE '^FAIL ' "$log")
	[ "$status" != 0 ] && [ "$f" = 0 ] && f=1
	counts "$phase" "$p" "$f" "$(grep -cE '^skip ' "$log")"
	rm -f "$log"
	return "$status"
}

phase_golden() {
	[ -x tests/golden/run.sh ] || { echo "skip no golden tests"; return 0; }
	lines_phase golden tests/golden/run.sh
}

# The page's logic, without a browser; test_page.py of the programs drives a real one.
phase_page() {
	local out status
	command -v node >/dev/null || { echo "node is missing: make deps"; return 1; }
	out=$(node --test --test-reporter=tap tests/page/*_test.js 2>&1)
	status=$?
	printf '%s\n' "$out" | grep -E '^ *(not )?ok [0-9]' | sed -E 's/^ *//; s/^not ok [0-9]+ -/FAIL/; s/^ok [0-9]+ -/ok/' | grep -vE '_test\.js$'
	[ "$status" = 0 ] || printf '%s\n' "$out" | grep -vE '^ *(ok|# Subtest)' | tail -80
	counts page "$(sum '# pass \([0-9]*\)' "$out")" "$(sum '# fail \([0-9]*\)' "$out")" "$(sum '# skipped \([0-9]*\)' "$out")"
	return $status
}

# At least nine of ten lines of user/core are reached by unit and golden tests.
phase_coverage() {
	make -j"$JOBS" OUTPUT="$OUTPUT" unit-build >/dev/null || return
	if tests/unit/coverage.sh; then counts coverage 1 0 0; else counts coverage 0 1 0; return 1; fi
}

phase_includes() {
	lines_phase includes "$PYTHON" tests/lib/includes.py
}

# The version is pinned: another one lays out the same file in another way.
phase_format() {
	local out
	out=$(find bpf headers user tests demo -name '*.[ch]' | xargs clang-format-14 --dry-run -Werror 2>&1) && {
		counts format 1 0 0
		return
	}
	printf '%s\n' "$out" | head -20
	echo "format: clang-format-14 -i FILE lays out a file as .clang-format says"
	counts format 0 1 0
	return 1
}

phase_fuzz() {
	[ -x tests/fuzz/short.sh ] || { echo "skip no fuzz targets"; return 0; }
	lines_phase fuzz tests/fuzz/short.sh
}

pytest_phase() { # PHASE PATH...
	local phase=$1 status folder
	shift
	await venv || return
	folder=$(mktemp -d /tmp/sonde-tests.XXXXXX) || return
	PYTHONDONTWRITEBYTECODE=1 "$(tests/lib/venv.sh --path)/bin/python" -m pytest -q -p no:cacheprovider \
		--junitxml="$OUT/$phase.xml" -rfEs --tb=short --durations=8 -c tests/pytest.ini \
		--basetemp="$folder/$phase" "$@"
	status=$?
	# What was written is kept for whoever has to find out why.
	if [ $status = 0 ]; then rm -rf "$folder"; else echo "files of the tests: $folder/$phase"; fi
	"$PYTHON" tests/lib/junit.py "$OUT/$phase.xml" >"$OUT/$phase.counts" || rm -f "$OUT/$phase.counts"
	return $status
}

phase_programs() {
	await npm && await sdks && await grpc || return
	pytest_phase programs tests/programs
}

phase_backends() {
	await backends-build || return
	pytest_phase backends tests/backends
}

# kernel.h against every kernel's own types.
phase_btf() {
	await kernels || return
	lines_phase btf "$PYTHON" tests/btf/check.py
}

phase_vm() {
	await kernels || return
	"$PYTHON" tests/vm/matrix.py --counts "$OUT/vm.counts" ${KERNELS:+--kernels "$KERNELS"}
}

# Figures that depend neither on this machine nor on its load, against their budgets.
phase_bench-check() {
	make -j"$JOBS" OUTPUT="$OUTPUT" bench-build || return
	await kernels || return
	lines_phase bench-check "$PYTHON" tests/bench/check.py --json "$OUT/bench-check.json"
}
