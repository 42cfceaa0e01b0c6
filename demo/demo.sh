#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# demo.sh - one command shows traces: nginx (C) -> Node (JavaScript) -> Python, under a bounded
# loop of requests, traced from outside. Nothing leaves loopback; files are under $OUTPUT/demo.
# On a terminal the page (at $UI) goes on being served until Ctrl-C.
set -eu
cd "$(dirname "$0")/.."
OUTPUT=${OUTPUT:-build}
UI=${UI:-127.0.0.1:4380}
DIR=$OUTPUT/demo

if [ "$(id -u)" != 0 ]; then
	echo "demo: loading BPF programs needs root: sudo make demo" >&2
	exit 1
fi
rm -rf "$DIR"
mkdir -p "$DIR"
DIR=$(cd "$DIR" && pwd)
export DIR
# Ctrl-C ends the page, and not what is still to be said.
trap : INT
echo "demo: nginx -> Node -> Python on 127.0.0.1; requests by curl; none of them knows of sonde" >&2
"$OUTPUT/sonde" trace --tree --ui "$UI" --ledger "$DIR/ledger.json" -o "$DIR/spans.jsonl" -- demo/run.sh
echo "demo: the same spans as OTLP JSON lines: ${DIR#"$PWD"/}/spans.jsonl; the account: ${DIR#"$PWD"/}/ledger.json" >&2
