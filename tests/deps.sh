#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# deps.sh - install what a bare Debian 12 lacks, by package name; says first what and how much.
#
#   deps.sh SET...      sets: build unit fuzz demo test
#
# Where everything is there it is quiet and takes some milliseconds. Servers that come in as
# packages (nginx, Apache) are neither started nor enabled: the tests run their own copies, on
# loopback ports of their own.
set -eu
export LC_ALL=C

# An entry is PACKAGE or PACKAGE:COMMAND; a command that is there already will do.
declare -A SETS=(
	[build]="gcc:gcc libc6-dev make:make clang:clang bpftool libbpf-dev libelf-dev
		libcurl4-openssl-dev libjansson-dev libfyaml-dev libseccomp-dev libcap-dev libzstd-dev libsqlite3-dev libmicrohttpd-dev libnghttp2-dev libcapstone-dev
		zlib1g-dev linux-libc-dev python3:/usr/bin/python3"
	[unit]="libcmocka-dev clang-format-14"
	[fuzz]="libclang-rt-14-dev"
	[demo]="nginx:nginx nodejs:node python3:/usr/bin/python3 curl:curl iproute2:ip"
	[test]="nginx:nginx apache2:apache2 nodejs:node python3:/usr/bin/python3 python3-venv python3-yaml curl:curl wrk:wrk
		golang-go:go default-jdk-headless:javac maven:mvn npm:npm strace:strace iproute2:ip procps:ps
		openssl:openssl nghttp2-client:h2load nghttp2-server:nghttpd ca-certificates util-linux:unshare valgrind:valgrind
		qemu-system-x86:qemu-system-x86_64 busybox-static cpio:cpio xz-utils:xz
		zstd:zstd lz4:lz4 chromium:chromium groff-base:groff zsh:zsh fish:fish
		binutils:objdump binutils-aarch64-linux-gnu:aarch64-linux-gnu-objdump cargo-web:cargo rustc-web:rustc
		libssl-dev libgnutls28-dev wget:wget"
)
# Of these, the services that Debian would start and enable.
SERVICES="nginx apache2"

say() { printf 'deps: %s\n' "$*" >&2; }

missing() { # SET...: fills WANT with the names of packages that are not there
	local set entry package command status
	local -A have=() asked=()
	while read -r package status; do
		[ "$status" = installed ] && have[$package]=1
	done < <(dpkg-query -W -f='${Package} ${db:Status-Status}\n' 2>/dev/null)
	WANT=()
	for set in "$@"; do
		[ -n "${SETS[$set]+x}" ] || { say "no such set: $set (${!SETS[*]})"; exit 2; }
		for entry in ${SETS[$set]}; do
			package=${entry%%:*} command=${entry#*:}
			[ "$command" = "$entry" ] && command=
			if [ -n "$command" ] && PATH=$PATH:/usr/sbin:/sbin command -v "$command" >/dev/null; then
				continue
			fi
			[ -n "${have[$package]+x}${asked[$package]+x}" ] && continue
			asked[$package]=1
			WANT+=("$package")
		done
	done
}

# What is asked for and what it draws in, with sizes, before anything is changed.
announce() {
	local out
	say "to be installed from this machine's Debian sources:"
	echo "$@" | fmt -w 90 | sed 's,^,  ,' >&2
	out=$(apt-get install -s --no-install-recommends "$@" 2>&1) ||
		{ printf '%s\n' "$out" >&2; say "apt-get cannot install these"; return 1; }
	say "$(printf '%s\n' "$out" | grep -c '^Inst ') packages with what they need;" \
		"$(apt-get install --assume-no --no-install-recommends "$@" 2>/dev/null |
			sed -n 's/^Need to get \(.*\) of archives\./\1 to download/p; s/^After this operation, \(.*\) of additional.*/\1 on disk/p' |
			paste -sd, | sed 's/,/, /')"
}

# Debian starts and enables what it installs; a policy of ours, for this moment, says no.
POLICY=/usr/sbin/policy-rc.d
policy_set() {
	[ -e $POLICY ] && return
	printf '#!/bin/sh\n# while a build tool installs packages\nexit 101\n' >$POLICY
	chmod 755 $POLICY
	trap 'rm -f $POLICY' EXIT
}

install_packages() {
	local service new=
	for service in $SERVICES; do
		case " $* " in *" $service "*) new="$new $service" ;; esac
	done
	policy_set
	DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l apt-get install -y -q \
		--no-install-recommends -o Dpkg::Use-Pty=0 "$@" >"$LOG" 2>&1 </dev/null 9>&- ||
		{ tail -20 "$LOG" >&2; say "apt-get failed; the whole log is $LOG"; return 1; }
	for service in $new; do
		update-rc.d "$service" disable >>"$LOG" 2>&1 || true
		say "$service: installed, not started, not enabled at boot"
	done
}

[ $# -gt 0 ] || set -- build unit fuzz demo test
command -v dpkg-query >/dev/null || { say "no dpkg here: what is needed must be there already"; exit 0; }
missing "$@"
[ ${#WANT[@]} -gt 0 ] || exit 0
if [ "$(id -u)" != 0 ]; then
	say "missing: ${WANT[*]}"
	say "run once as root: make deps   (or: apt-get install ${WANT[*]})"
	exit 1
fi
# Two targets of one `make -j` must not install at once; what the other one brought is there then.
exec 9>/tmp/sonde-deps.lock
flock 9
missing "$@"
[ ${#WANT[@]} -gt 0 ] || exit 0
LOG=$(mktemp /tmp/sonde-deps.XXXXXX.log)
# A list that is older than the archive gives 404s; a fresh machine may have none at all.
if [ -z "$(find /var/lib/apt/lists -maxdepth 1 -name '*Packages*' -mtime -1 2>/dev/null)" ]; then
	say "fetching the lists of packages"
	apt-get update -q >"$LOG" 2>&1 || { tail -5 "$LOG" >&2; say "apt-get update failed"; exit 1; }
fi
announce "${WANT[@]}"
start=$SECONDS
install_packages "${WANT[@]}"
say "done in $((SECONDS - start)) s"
rm -f "$LOG"
