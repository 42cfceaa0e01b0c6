# SPDX-License-Identifier: Apache-2.0
# What cost.sh and ratios.sh share: nginx with one worker, loads, and what the kernel says of processes.
# Run by busybox sh in a guest of boot.sh -i 0, where one nanosecond is one instruction and there is
# one processor.
STATS=/proc/sys/kernel/bpf_stats_enabled
cd /tmp

# A small page, as a file: nginx as it is when nothing is configured but that it writes no log.
# (A request of it costs 70,000 instructions; one answered from memory by "return 200" 39,800.)
mkdir page
awk 'BEGIN { for (i = 0; i < 127; i++) printf "%d", i % 10; print "" }' >page/index.html
cat >nginx.conf <<'END'
user root; worker_processes 1; daemon off; pid /tmp/nginx.pid; error_log /tmp/error.log;
events { worker_connections 256; }
http {
  access_log off; keepalive_requests 1000000000; root /tmp/page;
  client_body_temp_path /tmp/b; proxy_temp_path /tmp/p; fastcgi_temp_path /tmp/f;
  uwsgi_temp_path /tmp/u; scgi_temp_path /tmp/s;
  server { listen 127.0.0.1:8080; }
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

begin_nginx() { # sets NGINX, WORKER
	nginx -c /tmp/nginx.conf -e /tmp/error.log &
	NGINX=$!
	tries=0
	while [ ! -s nginx.pid ] && [ $tries -lt 500 ]; do usleep 20000; tries=$((tries + 1)); done
	WORKER=$(cat /proc/$NGINX/task/$NGINX/children | awk '{ print $1 }')
	[ -n "$WORKER" ] || { cat error.log; fail "nginx has no worker"; }
}

begin_empty() { # TIER: sets EMPTY
	mkfifo empty.in
	empty $1 <empty.in >empty.out 2>&1 &
	EMPTY=$!
	exec 7>empty.in
	wait_for empty.out attached $EMPTY
}

end_empty() {
	exec 7>&-
	wait $EMPTY
	rm empty.in
}

FREE="--cpu-budget 100 --memory-budget 1g"
begin_sonde() { # TIER PIDS OPTIONS...: an agent that exports to a sink; sets SONDE, SINK
	tier=$1 pids=$2
	shift 2
	otlp_sink 4318 >sink.out &
	SINK=$!
	wait_for sink.out listening $SINK
	: >sonde.err
	sonde agent "$@" --lock /tmp/sonde.lock --tier $tier -p $pids --otlp http://127.0.0.1:4318 \
		--ledger ledger.json >/dev/null 2>sonde.err &
	SONDE=$!
	wait_for sonde.err "hooks are attached" $SONDE
	settle
}

# Libraries of the traced programs are looked at, and hooked, when requests are traced already: that comes
# once, and is in no request's cost. What this loop itself maps is told to probe: a little it always runs.
settle() {
	was=0 now=$(ran $SONDE) tries=0
	while [ $((now - was)) -gt 20000000 ] && [ $tries -lt 40 ]; do
		was=$now tries=$((tries + 1))
		usleep 300000
		now=$(ran $SONDE)
	done
}

end_sonde() { # leaves sink.out and ledger.json
	kill -TERM $SONDE
	wait $SONDE || fail "sonde: exit $?"
	kill -TERM $SINK
	wait $SINK
}
