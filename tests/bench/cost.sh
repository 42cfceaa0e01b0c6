# SPDX-License-Identifier: Apache-2.0
# What a request costs, counted in instructions: run by busybox sh in a guest of boot.sh -i 0, where
# one nanosecond is one instruction and there is one processor. Read by vm_cost.py.
#
#   cost.sh TIERS
#
# An arm is one line: COST arm=NAME requests=N rate=PER_SECOND nginx=NS ROLE=NS... and where there are
# programs hits=N hits_ns=NS hits_requests=N, counted in a load of their own as counting costs.
# For each tier of sonde also: BPF as bpf_info says it, MEMORY, SINK, LEDGER; once RING.
TIERS=$1
STATS=/proc/sys/kernel/bpf_stats_enabled
cd /tmp

cat >nginx.conf <<'END'
worker_processes 1; daemon off; pid /tmp/nginx.pid; error_log /tmp/error.log;
events { worker_connections 256; }
http {
  access_log off; keepalive_requests 1000000000;
  client_body_temp_path /tmp/b; proxy_temp_path /tmp/p; fastcgi_temp_path /tmp/f;
  uwsgi_temp_path /tmp/u; scgi_temp_path /tmp/s;
  server { listen 127.0.0.1:8080; location / { return 200 "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456"; } }
}
END

fail() {
	echo "COST failed: $1"
	[ -f sonde.err ] && tail -n 20 sonde.err
	exit 1
}

wait_for() { # FILE WORDS PID
	tries=0
	while ! grep -q "$2" "$1"; do
		tries=$((tries + 1))
		[ $tries -lt 3000 ] && kill -0 "$3" 2>/dev/null || fail "no \"$2\" in $1"
		usleep 20000
	done
}

# Nanoseconds on the processor of all threads of a process.
ran() { # PID
	cat /proc/$1/task/*/schedstat 2>/dev/null | awk '{ n += $1 } END { printf "%.0f", n }'
}

# "PID role" of every process of sonde; the parent is the one without --role.
roles() {
	for process in /proc/[0-9]*; do
		words=$(tr '\0' ' ' <$process/cmdline 2>/dev/null)
		case $words in
		*"sonde --role="*) role=${words#*--role=}; echo "${process#/proc/} ${role%% *}" ;;
		"sonde agent "*) echo "${process#/proc/} probe" ;;
		esac
	done
}

# "run_cnt run_time_ns" of the programs that a process holds, added up.
programs() { # PID
	cat /proc/$1/fdinfo/* 2>/dev/null | awk '
		/^prog_id:/ { id = $2 } /^run_time_ns:/ { t[id] = $2 } /^run_cnt:/ { c[id] = $2 }
		END { for (id in c) { n += c[id]; ns += t[id] } printf "%.0f %.0f", n, ns }'
}

# Proportional memory of the processes named, in bytes; those that have ended by now have none.
memory() { # PID:ROLE...
	for entry in "$@"; do cat /proc/${entry%:*}/smaps_rollup 2>/dev/null; done |
		awk '/^Pss:/ { n += $2 } END { printf "%.0f", n * 1024 }'
}

load() { # SECONDS: sets requests, rate
	wrk -t1 -c32 -d"$1"s http://127.0.0.1:8080/ >wrk.txt || fail "wrk"
	requests=$(awk '/ requests in / { print $1 }' wrk.txt)
	rate=$(awk '/^Requests\/sec:/ { print $2 }' wrk.txt)
	grep -q "Non-2xx\|Socket errors" wrk.txt && fail "wrk: $(grep 'Non-2xx\|Socket errors' wrk.txt)"
}

# The first load counts the programs' hits, and what is in flight at the beginning of the second one is
# in flight at its end, too.
measure() { # ARM SECONDS PID [PID:NAME]...: the process that holds the programs (0: none), those to be told apart
	arm=$1 seconds=$2 holder=$3 counted=
	shift 3
	if [ "$holder" = 0 ]; then
		load 1
	else
		echo 1 >$STATS
		was=$(programs $holder)
		load 1
		now=$(programs $holder)
		echo 0 >$STATS
		counted=" hits=$((${now% *} - ${was% *})) hits_ns=$((${now#* } - ${was#* })) hits_requests=$requests"
	fi
	idle=$(awk '/^cpu / { print $5 }' /proc/stat)
	before=
	for entry in $WORKER:nginx "$@"; do before="$before $(ran ${entry%:*})"; done
	load "$seconds"
	line="arm=$arm requests=$requests rate=$rate"
	for entry in $WORKER:nginx "$@"; do
		before=${before# }
		line="$line ${entry#*:}=$(($(ran ${entry%:*}) - ${before%% *}))"
		before=${before#"${before%% *}"}
	done
	line="$line idle_ticks=$(($(awk '/^cpu / { print $5 }' /proc/stat) - idle))$counted"
}

nginx -c /tmp/nginx.conf -e /tmp/error.log &
NGINX=$!
tries=0
while [ ! -s nginx.pid ] && [ $tries -lt 500 ]; do usleep 20000; tries=$((tries + 1)); done
WORKER=$(cat /proc/$NGINX/task/$NGINX/children | awk '{ print $1 }')
[ -n "$WORKER" ] || { cat error.log; fail "nginx has no worker"; }

# The first load of a boot meets caches that fill and memory that is touched for the first time.
load 1
measure nothing 1 0
echo "COST $line"
for tier in $TIERS; do
	mkfifo empty.in
	empty $tier <empty.in >empty.out 2>&1 &
	EMPTY=$!
	exec 7>empty.in
	wait_for empty.out attached $EMPTY
	measure empty-$tier 1 $EMPTY
	echo "COST $line"
	exec 7>&-
	wait $EMPTY
	rm empty.in

	otlp_sink 4318 >sink.out &
	SINK=$!
	wait_for sink.out listening $SINK
	: >sonde.err
	sonde agent --cpu-budget 100 --memory-budget 1g --lock /tmp/sonde.lock --tier $tier -p $NGINX \
		--otlp http://127.0.0.1:4318 --ledger ledger.json >/dev/null 2>sonde.err &
	SONDE=$!
	wait_for sonde.err "hooks are attached" $SONDE
	entries=
	for entry in $(roles | tr ' ' ':'); do entries="$entries $entry"; done
	idle_bytes=$(memory $entries)
	bpf_info $SONDE | sed "s/^/BPF arm=sonde-$tier /"
	measure sonde-$tier 2 $SONDE $entries $SINK:sink
	echo "COST $line"
	echo "MEMORY arm=sonde-$tier idle=$idle_bytes load=$(memory $entries)"
	kill -TERM $SONDE
	wait $SONDE || fail "sonde: exit $?"
	kill -TERM $SINK
	wait $SINK
	echo "SINK arm=sonde-$tier $(tail -n 1 sink.out)"
	echo "LEDGER arm=sonde-$tier $(tr -d '\n' <ledger.json)"
done
# What lies in the ring for an exchange does not depend on the tier.
set -- $TIERS
sonde record -v -o run.sonde --tier $1 -p $NGINX 2>sonde.err &
SONDE=$!
wait_for sonde.err "hooks are attached" $SONDE
wrk -t1 -c1 -d1s http://127.0.0.1:8080/ >wrk.txt
kill -TERM $SONDE
wait $SONDE || fail "sonde record: exit $?"
echo "RING requests=$(awk '/ requests in / { print $1 }' wrk.txt) $(replay_cost run.sonde records)"
kill -QUIT $NGINX
wait $NGINX
exit 0
