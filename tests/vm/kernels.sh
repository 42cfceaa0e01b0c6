#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# kernels.sh - fetch and unpack the Debian cloud kernels that the tests boot.
#
#   kernels.sh [--refresh] [NAME...]     names: k510 k61 k612 knew (default: all)
#
# They land in $SONDE_CACHE/kernels/NAME (default /var/cache/sonde). The newest version of each
# branch is looked up, as a pinned one disappears from the archive; what is there is looked at
# again after a week. apt runs on a folder of its own: the machine's sources are read (for the
# mirror that this machine uses), never changed. Where a look-up fails, a kernel that is already
# there is kept, and said.
set -eu
CACHE=${SONDE_CACHE:-/var/cache/sonde}
REFRESH_DAYS=7
# A private apt on the side needs these alone; sid's key may be newer than this machine's keyring.
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

say() { echo "kernels: $*" >&2; }

# The base address from which this machine takes the suites matching $1 (an extended regexp).
mirror() {
	apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(CREATED_BY)' 2>/dev/null |
		awk -v re="^($1)\$" '$3 == "Packages" && $2 ~ re { print $1; exit }'
}

# suite_of NAME -> "suite[,suite] metapackage"
suite_of() {
	case $1 in
	k510) echo "bullseye-security linux-image-cloud-amd64" ;;
	k61) echo "bookworm,bookworm-security linux-image-cloud-amd64" ;;
	k612) echo "bookworm-security linux-image-6.12-cloud-amd64" ;;
	knew) echo "sid linux-image-cloud-amd64" ;;
	*) say "no such kernel: $1 (k510, k61, k612, knew)"; return 2 ;;
	esac
}

private_apt() { # DIR COMMAND...: an apt whose lists, cache and sources are in DIR
	local dir=$1 tool=$2
	shift 2
	"$tool" -q -o Dir::Etc::sourcelist="$dir/sources.list" -o Dir::Etc::sourceparts=/dev/null \
		-o Dir::State="$dir/state" -o Dir::State::status="$dir/status" \
		-o Dir::State::lists="$dir/lists" -o Dir::Cache="$dir/cache" \
		-o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null \
		-o APT::Architecture=amd64 -o APT::Architectures=amd64 -o Acquire::Languages=none \
		-o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false \
		-o APT::Sandbox::User=root -o Acquire::Retries=3 "$@"
}

# The package that holds the image: meta -> image, and where the image is a shell -> binary.
image_of() { # DIR META
	local dir=$1 pkg=$2 next i
	for i in 1 2 3; do
		next=$(private_apt "$dir" apt-cache show --no-all-versions "$pkg" 2>/dev/null |
			sed -n 's/^\(Pre-\)\?Depends: //p' | tr ',|' '\n\n' |
			sed 's/^ *//; s/ .*//' | grep -E '^linux-(image|binary)-[0-9].*cloud-amd64$' |
			head -1) || true
		[ -n "$next" ] || break
		pkg=$next
	done
	case $pkg in *[0-9].[0-9]*) echo "$pkg" ;; *) return 1 ;; esac
}

write_sources() { # SUITE[,SUITE]: on standard output
	local base security suite
	base=$(mirror 'bookworm|stable')
	[ -n "$base" ] || base=$(mirror '.*')
	[ -n "$base" ] || { say "no package source configured under /etc/apt"; return 1; }
	security=$(mirror '.*-security')
	for suite in ${1//,/ }; do
		case $suite in
		*-security) echo "deb [arch=amd64 signed-by=$KEYRING] ${security:-${base%/}-security} $suite main" ;;
		*) echo "deb [arch=amd64 signed-by=$KEYRING] $base $suite main" ;;
		esac
	done
}

fetch() { # NAME
	local name=$1 suite meta dir pkg new old
	read -r suite meta <<<"$(suite_of "$name")"
	dir=$CACHE/apt/$name
	mkdir -p "$dir"/{state,lists/partial,cache/archives/partial}
	: >"$dir/status"
	write_sources "$suite" >"$dir/sources.list" || return 1
	private_apt "$dir" apt-get update >"$dir/log" 2>&1 ||
		{ say "$name: the package list of $suite could not be fetched ($dir/log)"; return 1; }
	pkg=$(image_of "$dir" "$meta") || { say "$name: no image behind $meta in $suite"; return 1; }
	new=$(private_apt "$dir" apt-cache show --no-all-versions "$pkg" | sed -n 's/^Version: //p' | head -1)
	old=$(cat "$CACHE/kernels/$name/.package" 2>/dev/null || true)
	if [ "$old" = "$pkg $new" ]; then
		touch "$CACHE/kernels/$name/.package"
		return 0
	fi
	say "$name: fetching $pkg $new"
	(cd "$dir" && rm -f ./*.deb && private_apt "$dir" apt-get download "$pkg" >>log 2>&1) ||
		{ say "$name: $pkg could not be downloaded ($dir/log)"; return 1; }
	mkdir -p "$CACHE/kernels"
	rm -rf "$CACHE/kernels/.$name"
	dpkg-deb -x "$dir"/*.deb "$CACHE/kernels/.$name"
	echo "$pkg $new" >"$CACHE/kernels/.$name/.package"
	rm -rf "$CACHE/kernels/$name" "$dir"/*.deb "$dir/lists" "$dir/cache"
	mv "$CACHE/kernels/.$name" "$CACHE/kernels/$name"
}

refresh=0
[ "${1:-}" = --refresh ] && { refresh=1; shift; }
[ $# -gt 0 ] || set -- k510 k61 k612 knew
mkdir -p "$CACHE"
exec 9>"$CACHE/kernels.lock"
flock 9
rc=0
for name in "$@"; do
	suite_of "$name" >/dev/null || exit 2
	mark=$CACHE/kernels/$name/.package
	if [ $refresh = 0 ] && [ -n "$(find "$mark" -mtime -$REFRESH_DAYS 2>/dev/null)" ]; then
		continue
	fi
	if ! fetch "$name"; then
		if [ -f "$mark" ]; then say "$name: going on with $(cat "$mark")"; else rc=1; fi
	fi
done
for name in "$@"; do
	[ -f "$CACHE/kernels/$name/.package" ] && echo "$name $(cat "$CACHE/kernels/$name/.package")"
done
exit $rc
