#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# build.sh - the real OpenTelemetry Collector, Jaeger and Tempo, built once into the cache.
#
#   build.sh [NAME...]       builds what is missing
#   build.sh --path NAME     prints where NAME's binary is (collector, jaeger, tempo)
#
# The name of a binary carries a hash of what it is built from.
set -eu
cd "$(dirname "$0")"
CACHE=${SONDE_CACHE:-/var/cache/sonde}

path() { # NAME
	echo "$CACHE/bin/$1-$(cat "$1"/go.mod "$1"/go.sum "$1"/*.go 2>/dev/null | sha256sum | cut -c1-12)"
}

build() { # NAME PACKAGE [FLAGS OF THE LINKER]
	local name=$1 package=$2 to
	to=$(path "$name")
	[ -x "$to" ] && return
	echo "building $name"
	(cd "$name" && ../../lib/go.sh build -trimpath -ldflags "-s -w ${3:-}" -o "$to.tmp" "$package")
	mv "$to.tmp" "$to"
}

if [ "${1:-}" = --path ]; then
	path "$2"
	exit
fi
mkdir -p "$CACHE/bin"
exec 9>"$CACHE/bin.lock"
flock 9
for name in ${*:-collector jaeger tempo}; do
	case $name in
	collector) build collector . ;;
	jaeger) build jaeger github.com/jaegertracing/jaeger/cmd/jaeger ;;
	# A library of its time reaches into Go's own, which Go's linker refuses since.
	tempo) build tempo . -checklinkname=0 ;;
	*) echo "build.sh: no such back end: $name" >&2; exit 2 ;;
	esac
done
