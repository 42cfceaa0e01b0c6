# SPDX-License-Identifier: Apache-2.0
# Under lockdown "confidentiality" kprobes and bpf_probe_read_kernel are forbidden: lockdown.sh TIERS
# doctor says so, and the tiers that need neither still give the same spans.
cd /tmp

result() { # TIER TEST STATUS DETAIL
	if [ "$3" = 0 ]; then echo "RESULT $1 $2 pass $4"; else echo "RESULT $1 $2 fail $4"; fi
}

sonde doctor >doctor.txt 2>&1
said=$(grep "tier kprobe" doctor.txt)
echo "$said" | grep -q "kernel lockdown (confidentiality) forbids kprobes"
bad=$?
for tier in $1; do
	grep "tier $tier" doctor.txt | grep -q "loads, attaches and fires" || bad=1
done
result - doctor $bad "$said"
[ $bad = 0 ] || sed 's/^/    | /' doctor.txt
# Asked for by name it is refused with the same words, as no program of it may be tried.
sonde trace --tier kprobe -- true >kprobe.txt 2>&1
status=$?
grep -q "tier kprobe: kernel lockdown (confidentiality) forbids kprobes: boot with lockdown=integrity" kprobe.txt &&
	[ $status = 125 ]
result kprobe refused $? "exit $status: $(head -n 1 kprobe.txt)"
for tier in $1; do
	rm -f l.*
	sonde trace --tier $tier -o l.out --ledger l.ledger -- sh -c 'peer script tcp >l.expected' >l.stdout 2>l.err
	status=$?
	# There is no kprobe to go over to where a tier misses hits: then it stays, and says what it missed.
	mode=expect
	grep -q '"missed":[1-9]' l.ledger && mode=missed
	detail=$(spans $mode l.expected l.out l.ledger 2>&1)
	bad=$?
	result $tier script $((status + bad)) "$mode: $detail"
	[ $((status + bad)) = 0 ] || tail -n 12 l.err | sed 's/^/    | /'
done
exit 0
