# SPDX-License-Identifier: Apache-2.0
# The tests of one boot, run by busybox sh in the guest: suite.sh TIERS PAIRS COUNT [MORE]
# MORE: also what need not be seen with every preemption.
#
# One line a test, read by matrix.py:
#   RESULT tier test pass|fail|skip detail
TIERS=$1 PAIRS=$2 COUNT=$3 MORE=${4:-}
cd /tmp

# With the seconds since the last one.
result() { # TIER TEST STATUS DETAIL
	now=$(cut -d. -f1 /proc/uptime)
	if [ "$3" = 0 ]; then word=pass; else word=fail; fi
	echo "RESULT $1 $2 $word $4 [$((now - last)) s]"
	last=$now
}
last=0

# What the kernel holds for BPF: programs and maps, by count. It frees them a moment after the last
# user has gone, so a difference is looked at again for up to five seconds. Maps are looked at only when the
# programs have gone: who opens a map of programs (bpftool does, to list it) while the kernel still clears it makes it leak.
programs() {
	bpftool prog list 2>/dev/null | grep -c '^[0-9]*:'
}
maps() {
	bpftool map list 2>/dev/null | grep -c '^[0-9]*:'
}

# Lines of sonde's own words, for a failure's sake.
explain() {
	tail -n 12 "$1" | sed 's/^/    | /'
}

run() { # TIER NAME OPTIONS... -- CMD...: leaves NAME.out NAME.ledger NAME.err; sonde's exit status
	tier=$1 name=$2
	shift 2
	rm -f $name.out $name.ledger $name.err
	sonde trace --tier "$tier" -o $name.out --ledger $name.ledger "$@" >$name.stdout 2>$name.err
}

judge() { # TIER TEST NAME SPANS-ARGUMENTS...: spans' verdict on a run, and the balance of its account
	tier=$1 test=$2 name=$3 demoted=
	shift 3
	if [ "$status" != 0 ]; then
		result $tier $test 1 "sonde: exit $status"
		explain $name.err
		return
	fi
	# A tier that misses on this kernel is left, and said: then what it missed must be counted.
	if { [ "$1" = expect ] || [ "$1" = bypassed ]; } && grep -q "went over to tier" $name.err; then
		shift
		set -- missed "$@"
		demoted=" (demoted)"
	fi
	detail=$(spans "$@" 2>&1)
	bad=$?
	detail=$detail$demoted
	balance=$(spans balance $name.ledger 2>&1) || { bad=1; detail="$balance; $detail"; }
	result $tier $test $bad "$detail"
	[ $bad = 0 ] || explain $name.err
}

# Three programs in one run, as starting is what takes long under emulation: every family and every
# way of reading and writing; 40 threads asleep in read, of which one answers at a time, over TCP
# and over a Unix socket. Meanwhile the sealed role is looked at from outside.
test_programs() { # TIER
	rm -f *.expected sealed.txt
	run $1 programs -- sh /tmp/programs.sh
	status=$?
	cat script.expected tcp.expected unix.expected >all.expected 2>/dev/null
	judge $1 programs programs expect all.expected programs.out programs.ledger
	said=$(cat sealed.txt 2>/dev/null)
	case $said in
	"Uid:0 "*) bad=1 ;;
	"Uid:"*"CapEff:0000000000000000 "*"NoNewPrivs:1 Seccomp:2 ") bad=0 ;;
	*) bad=1 ;;
	esac
	result $1 sealed $bad "$said"
}
cat >/tmp/programs.sh <<'END'
peer script >script.expected || exit 1
peer stress 30 >>script.expected || exit 1
peer blocked 40 400 >tcp.expected || exit 1
for process in /proc/[0-9]*; do
	case $(tr '\0' ' ' <$process/cmdline 2>/dev/null) in
	"sonde --role=trace "*)
		awk '/^(Uid|CapEff|CapBnd|NoNewPrivs|Seccomp):/ { printf "%s%s ", $1, $2 }' $process/status >sealed.txt ;;
	esac
done
peer blocked 40 400 unix >unix.expected
bpftool prog list | grep -c '^[0-9]*:' >during.txt
END

test_busy() { # TIER: full speed, payloads that name themselves
	run $1 busy -- peer busy $PAIRS $COUNT
	status=$?
	judge $1 busy busy busy $PAIRS $COUNT busy.out busy.ledger
}

test_bypasses() { # TIER: what goes past the hooks is not seen, or right; and counted by its reason
	run $1 bypasses -- sh -c 'peer bypass >bypasses.expected'
	status=$?
	judge $1 bypasses bypasses bypassed bypasses.expected bypasses.out bypasses.ledger
	# what this kernel lacks, in its words
	grep "^peer: no " bypasses.err | sed 's/^/    | /'
}

test_small_ring() { # TIER: the ring is too small on purpose; what is lost is counted
	run $1 small --ring-size 65536 -- peer busy $PAIRS $COUNT
	status=$?
	judge $1 ring-64k small busy $PAIRS $COUNT small.out small.ledger
}

test_drain() { # TIER: probe drains the ring, as where its pages must not be handed out
	SONDE_RING=drain run $1 drain -- sh -c 'peer script tcp >drain.expected'
	status=$?
	judge $1 drain drain expect drain.expected drain.out drain.ledger
}

# Nothing scoped: the whole (small) machine. Only the agent does this, and only here.
test_unscoped() { # TIER
	rm -f agent.*
	sonde agent --cpu-budget 100 --memory-budget 1g --tier "$1" -o agent.out --ledger agent.ledger >agent.stdout 2>agent.err &
	agent=$!
	tries=0
	# Loading is slow under emulation; it says when it is done. Then a request shows that it sees.
	while ! grep -q "hooks are attached" agent.err && [ $tries -lt 600 ] && kill -0 $agent 2>/dev/null; do
		usleep 200000
		tries=$((tries + 1))
	done
	tries=0
	while [ ! -s agent.out ] && [ $tries -lt 100 ] && kill -0 $agent 2>/dev/null; do
		peer blocked 1 1 >/dev/null
		usleep 200000
		tries=$((tries + 1))
	done
	peer script tcp >agent.expected
	usleep 1500000
	kill -TERM $agent
	wait $agent
	status=$?
	grep -v blocked agent.out >/dev/null
	# The requests that asked whether it is there are extra: they join the expectation.
	n=$(grep -o '/blocked/tcp4/0' agent.out | wc -l)
	if [ $status = 0 ] && [ "$n" -gt 0 ]; then
		detail=$(spans includes agent.expected agent.out agent.ledger 2>&1)
		bad=$?
		balance=$(spans balance agent.ledger 2>&1) || { bad=1; detail="$balance; $detail"; }
		result $1 unscoped $bad "$detail"
		[ $bad = 0 ] || explain agent.err
	else
		result $1 unscoped 1 "agent: exit $status, saw $n"
		explain agent.err
	fi
}

# nginx and three curls at a time over TLS, which the programs in the library are preempted by: both ends of
# every request, in one trace.
TLS_COUNT=40
test_tls() { # TIER
	mkdir -p /var/log/nginx /var/lib/nginx
	run $1 tls -- sh /tmp/tls.sh
	status=$?
	requests=$(wc -l </tmp/tls.log)
	clients=$(grep -o '"url.full"' tls.out | wc -l)
	servers=$(grep -o '"url.path"' tls.out | wc -l)
	linked=$(grep -o '"stringValue":"edge"' tls.out | wc -l)
	balance=$(spans balance tls.ledger 2>&1) || status=1
	[ $requests -ge $((3 * TLS_COUNT)) ] && [ $clients = $requests ] && [ $servers = $requests ] && [ $linked = $requests ] || status=1
	result $1 tls $status "$requests requests, $clients client spans, $servers server spans, $linked linked; $balance"
	[ $status = 0 ] || explain tls.err
}
cat >/tmp/nginx.conf <<'END'
daemon off; pid /tmp/nginx.pid; error_log /tmp/nginx.err; worker_processes 2; user root;
events {}
http {
	log_format one "$request_uri"; access_log /tmp/tls.log one;
	server {
		listen 127.0.0.1:8443 ssl;
		ssl_certificate /etc/tls/cert.pem; ssl_certificate_key /etc/tls/key.pem;
		location / { return 200 "hello\n"; }
	}
}
END
cat >/tmp/tls.sh <<END
rm -f /tmp/tls.log
nginx -c /tmp/nginx.conf &
nginx=\$!
tries=0
until netstat -ltn | grep -q :8443 || [ \$tries -gt 300 ]; do
	usleep 100000
	tries=\$((tries + 1))
done
urls= i=0
while [ \$i -lt $TLS_COUNT ]; do
	urls="\$urls https://localhost:8443/\$i"
	i=\$((i + 1))
done
for n in 1 2 3; do
	curl -s --cacert /etc/tls/cert.pem \$urls >/dev/null &
	eval client\$n=\$!
done
wait \$client1 \$client2 \$client3
kill -QUIT \$nginx
wait \$nginx
END

before=$(programs)
maps_before=$(maps)
sonde doctor >doctor.txt 2>&1
result - doctor $? "$(grep -i tier doctor.txt | head -n 1)"
for tier in $TIERS; do
	test_programs $tier
	test_busy $tier
	[ -z "$MORE" ] || test_bypasses $tier
	test_tls $tier
done
set -- $TIERS
if [ -n "$MORE" ]; then
	test_small_ring $1
	test_drain $1
	test_unscoped $1
fi
tries=0
while after=$(programs) maps_after=-; [ "$after" != "$before" ] || { maps_after=$(maps); [ "$maps_after" != "$maps_before" ]; } && [ $tries -lt 50 ]; do
	usleep 100000
	tries=$((tries + 1))
done
[ "$after" = "$before" ] && [ "$maps_after" = "$maps_before" ] && [ "$(cat during.txt)" -gt 0 ]
result - nothing-left $? "programs and maps before: $before $maps_before, programs while tracing: $(cat during.txt), after: $after $maps_after"
exit 0
