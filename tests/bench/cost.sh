# SPDX-License-Identifier: Apache-2.0
# What a request costs, counted in instructions: run by busybox sh in a guest of boot.sh -i 0, where
# one nanosecond is one instruction and there is one processor. Read by guest.py.
#
#   cost.sh TIERS
#
# An arm is one line: COST arm=NAME requests=N rate=PER_SECOND nginx=NS ROLE=NS... and where there are
# programs hits=N hits_ns=NS hits_requests=N, counted in a load of their own as counting costs.
# For each tier of sonde also: BPF as bpf_info says it, MEMORY, SINK, LEDGER; once RING.
TIERS=$1
. /usr/lib/sonde/guest.sh

begin_nginx
# The first load of a boot meets caches that fill and memory that is touched for the first time.
load 1
measure nothing 1 0
echo "COST $line"
for tier in $TIERS; do
	begin_empty $tier
	measure empty-$tier 1 $EMPTY
	echo "COST $line"
	end_empty

	begin_sonde $tier $NGINX $FREE
	entries=
	for entry in $(roles | tr ' ' ':'); do entries="$entries $entry"; done
	idle_bytes=$(memory $entries)
	idle_maps=$(bpf_info $SONDE | awk '/^MAPS/ { print $3 }')
	measure sonde-$tier 2 $SONDE $entries $SINK:sink
	echo "COST $line"
	bpf_info $SONDE | sed "s/^/BPF arm=sonde-$tier /"
	echo "MEMORY arm=sonde-$tier idle=$idle_bytes load=$(memory $entries) idle_maps=$idle_maps"
	end_sonde
	echo "SINK arm=sonde-$tier $(tail -n 1 sink.out)"
	echo "LEDGER arm=sonde-$tier $(tr -d '\n' <ledger.json)"
done
# What lies in the ring for an exchange does not depend on the tier.
measure_ring() {
	sonde record -v -o run.sonde --tier ${TIERS%% *} -p $NGINX >/dev/null 2>sonde.err &
	SONDE=$!
	wait_for sonde.err "hooks are attached" $SONDE
	wrk -t1 -c1 -d1s http://127.0.0.1:8080/ >wrk.txt
	kill -TERM $SONDE
	wait $SONDE || fail "sonde record: exit $?"
	echo "RING requests=$(awk '/ requests in / { print $1 }' wrk.txt) $(replay_cost run.sonde records)"
}
if [ -z "${MORE:-}" ]; then measure_ring; else . /usr/lib/sonde/ratios.sh; fi
kill -QUIT $NGINX
wait $NGINX
exit 0
