# SPDX-License-Identifier: Apache-2.0
# What else is measured against nothing and against empty programs; sourced by cost.sh, after it, in the
# same guest, for each of TIERS.
#
# PAIR arm=NAME kind=KIND rounds=N ns=N [hits=N hits_ns=N]    two processes on one connection: load.c
# OUTSIDE arm=NAME rate=PER_SECOND        nginx, while sonde looks at others
# IDLE arm=NAME switches=N ns=N           of all roles in ten seconds
# START arm=NAME ns=N                     until the hooks are attached
# GOVERNED arm=NAME rate=PER_SECOND LEDGER
PING_ROUNDS=20000
HTTP_ROUNDS=1500
STREAM_ROUNDS=10000

begin_pairs() { # sets PAIRS: their pids, by commas
	PAIRS=
	for kind in pingpong http stream; do
		mkfifo $kind.in
		bench_load pair $kind <$kind.in >$kind.out 2>&1 &
		eval "PAIR_$kind=$!"
		case $kind in
		pingpong) exec 4>$kind.in ;;
		http) exec 5>$kind.in ;;
		stream) exec 6>$kind.in ;;
		esac
		wait_for $kind.out ready $!
		PAIRS=$PAIRS,$(awk '/^ready/ { print $2 "," $3 }' $kind.out)
	done
	PAIRS=${PAIRS#,}
}

# One command to a pair: sets said to its answer.
ask_pair() { # KIND ROUNDS
	lines=$(wc -l <$1.out)
	case $1 in
	pingpong) echo $2 >&4 ;;
	http) echo $2 >&5 ;;
	stream) echo $2 >&6 ;;
	esac
	tries=0
	while [ "$(wc -l <$1.out)" = "$lines" ]; do
		tries=$((tries + 1))
		[ $tries -lt 6000 ] || fail "the pair of $1 says nothing"
		usleep 20000
	done
	said=$(tail -n 1 $1.out | awk '{ print "rounds=" $2 " ns=" $4 }')
}

pairs() { # ARM PID: of the programs' holder, 0: none
	ask_pair pingpong 500
	ask_pair pingpong $PING_ROUNDS
	echo "PAIR arm=$1 kind=pingpong $said"
	[ "$2" = 0 ] && return
	echo 1 >$STATS
	ask_pair http 100
	was=$(programs $2)
	ask_pair http $HTTP_ROUNDS
	now=$(programs $2)
	echo "PAIR arm=$1 kind=http $said hits=$((${now% *} - ${was% *})) hits_ns=$((${now#* } - ${was#* }))"
	ask_pair stream 100
	was=$(programs $2)
	ask_pair stream $STREAM_ROUNDS
	now=$(programs $2)
	echo "PAIR arm=$1 kind=stream $said hits=$((${now% *} - ${was% *})) hits_ns=$((${now#* } - ${was#* }))"
	echo 0 >$STATS
}

switches() { # PID:ROLE...
	for entry in "$@"; do cat /proc/${entry%:*}/task/*/status 2>/dev/null; done |
		awk '/ctxt_switches:/ { n += $2 } END { printf "%.0f", n }'
}
ran_all() {
	for entry in "$@"; do cat /proc/${entry%:*}/task/*/schedstat 2>/dev/null; done |
		awk '{ n += $1 } END { printf "%.0f", n }'
}
instructions_now() {
	awk '/^now at/ { print $3 }' /proc/timer_list
}

begin_pairs
pairs nothing 0
load 1
echo "OUTSIDE arm=nothing rate=$rate"
for tier in $TIERS; do
	begin_empty $tier
	pairs empty-$tier $EMPTY
	end_empty

	began=$(instructions_now)
	begin_sonde $tier $PAIRS $FREE
	echo "START arm=sonde-$tier ns=$(($(instructions_now) - began))"
	sleep 3
	entries=
	for entry in $(roles | tr ' ' ':'); do entries="$entries $entry"; done
	was=$(switches $entries) before=$(ran_all $entries)
	sleep 10
	echo "IDLE arm=sonde-$tier switches=$(($(switches $entries) - was)) ns=$(($(ran_all $entries) - before))"
	pairs sonde-$tier $SONDE
	load 1
	echo "OUTSIDE arm=sonde-$tier rate=$rate"
	end_sonde

	begin_sonde $tier $NGINX
	load 2
	load 2
	end_sonde
	echo "GOVERNED arm=sonde-$tier rate=$rate $(tr -d '\n' <ledger.json)"
done
exec 4>&- 5>&- 6>&-
wait $PAIR_pingpong $PAIR_http $PAIR_stream
rm -f pingpong.in http.in stream.in
