#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# go.sh - a Go that is new enough for the back ends: this machine's, or, where that is older (Debian
# 12 has 1.19), the one that the module proxy carries. Runs `go` with the arguments given. SONDE_GO=1.N.N: that one.
set -eu
TOOLCHAIN=${SONDE_GO:-1.26.8}
CACHE=${SONDE_CACHE:-/var/cache/sonde}
export GOTOOLCHAIN=local GOFLAGS=-buildvcs=false GOPATH=${GOPATH:-$CACHE/go}
# Where a module cache is already, it is used.
[ -d "${HOME:-/root}/go/pkg/mod" ] && GOPATH=${HOME:-/root}/go
export HOME=${HOME:-/root} GOCACHE=${GOCACHE:-$CACHE/go-build}

have=$(go env GOVERSION 2>/dev/null | sed 's/^go//')
[ -n "$have" ] || have=$(go version | sed 's/.*go version go\([0-9.]*\).*/\1/')
if [ -z "${SONDE_GO:-}" ] && [ "$(printf '%s\n' "$have" "${TOOLCHAIN%.*}" | sort -V | head -1)" = "${TOOLCHAIN%.*}" ]; then
	exec go "$@"
fi
case $(uname -m) in x86_64) arch=amd64 ;; aarch64) arch=arm64 ;; *) echo "go.sh: no toolchain for $(uname -m)" >&2; exit 1 ;; esac
root=$GOPATH/pkg/mod/golang.org/toolchain@v0.0.1-go$TOOLCHAIN.linux-$arch
if [ ! -x "$root/bin/go" ]; then
	(cd / && go mod download "golang.org/toolchain@v0.0.1-go$TOOLCHAIN.linux-$arch")
	chmod -R u+w "$root"
	# The module cache keeps no executable bits.
	chmod +x "$root"/bin/* "$root"/pkg/tool/*/*
fi
GOROOT=$root exec "$root/bin/go" "$@"
