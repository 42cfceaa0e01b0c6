# SPDX-License-Identifier: Apache-2.0
# Eight busy processes whose payloads name themselves, round after round: run by busybox sh in the
# guest. Rounds, because the spans of all together would not fit the guest's memory.
#
#   busy.sh TIER ROUNDS COUNT     four pairs a round, COUNT exchanges each
#
# A line a round: BUSY TIER ROUND pass|fail DETAIL
TIER=$1 ROUNDS=$2 COUNT=$3
cd /tmp
round=0
while [ $round -lt $ROUNDS ]; do
	round=$((round + 1))
	ring=256k
	[ $((round % 2)) = 0 ] && ring=16m
	word=pass
	sonde trace -q --tier $TIER --ring-size $ring -o out.jsonl --ledger ledger.json -- peer busy 4 $COUNT >said.txt 2>&1 || {
		word=fail
		tail -n 5 said.txt
	}
	detail=$(spans busy 4 $COUNT out.jsonl ledger.json 2>&1) || word=fail
	balance=$(spans balance ledger.json 2>&1) || word=fail detail="$detail; $balance"
	# Where it goes over to another tier the round says little of this one.
	grep -q "went over to tier" said.txt && detail="$detail (demoted)"
	echo "BUSY $TIER $round $word $detail"
	rm -f out.jsonl ledger.json
done
exit 0
