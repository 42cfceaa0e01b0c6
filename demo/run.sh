#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# run.sh - starts the three services, sends requests through them, stops them by pid. It is an
# ordinary program: it runs just the same without sonde around it.
set -eu
cd "$(dirname "$0")"
DIR=${DIR:?a folder for files}
REQUESTS=${REQUESTS:-12}
PIDS=()

stop() {
	local pid
	for pid in "${PIDS[@]}"; do kill "$pid" 2>/dev/null || true; done
	for pid in "${PIDS[@]}"; do wait "$pid" 2>/dev/null || true; done
}
trap stop EXIT

free_ports() { # N
	/usr/bin/python3 -c '
import socket, sys
held = [socket.socket() for _ in range(int(sys.argv[1]))]
for s in held: s.bind(("127.0.0.1", 0))
print(*(s.getsockname()[1] for s in held))' "$1"
}

# Until something listens there; no request is spent on it.
await_port() { # PORT PID LOG
	local i
	for i in $(seq 200); do
		grep -qi ":$(printf '%04X' "$1") 00000000:0000 0A" /proc/net/tcp && return
		kill -0 "$2" 2>/dev/null || break
		sleep 0.05
	done
	echo "demo: nothing listens on port $1:" >&2
	cat "$3" >&2
	exit 1
}

read -r WEB SHOP STOCK < <(free_ports 3)

/usr/bin/python3 stock.py "$STOCK" >"$DIR/stock.log" 2>&1 &
PIDS+=($!)
await_port "$STOCK" $! "$DIR/stock.log"
node shop.js "$SHOP" "$STOCK" >"$DIR/shop.log" 2>&1 &
PIDS+=($!)
await_port "$SHOP" $! "$DIR/shop.log"
sed -e "s#@DIR@#$DIR#g; s#@WEB@#$WEB#g; s#@SHOP@#$SHOP#g" nginx.conf.in >"$DIR/nginx.conf"
PATH=$PATH:/usr/sbin nginx -p "$DIR" -e "$DIR/nginx-error.log" -c "$DIR/nginx.conf" >"$DIR/nginx.log" 2>&1 &
PIDS+=($!)
await_port "$WEB" $! "$DIR/nginx-error.log"

for i in $(seq "$REQUESTS"); do
	# Every fifth asks for what is not in stock.
	item=$((i % 5 ? i : 404))
	curl -s -S -o /dev/null --max-time 10 "http://127.0.0.1:$WEB/buy?item=$item"
done
echo "demo: $REQUESTS requests sent; nginx logged $(wc -l <"$DIR/access.log")" >&2
