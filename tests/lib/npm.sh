#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# npm.sh - the packages of tests/npm, in a folder of their own in the cache.
#
#   npm.sh           makes it where it is missing or package-lock.json changed
#   npm.sh --path    prints where its node_modules are
set -eu
cd "$(dirname "$0")/../npm"
CACHE=${SONDE_CACHE:-/var/cache/sonde}
dir=$CACHE/npm-$(sha256sum package-lock.json | cut -c1-12)
if [ "${1:-}" = --path ]; then
	echo "$dir/node_modules"
	exit
fi
mkdir -p "$CACHE"
exec 9>"$CACHE/npm.lock"
flock 9
[ -e "$dir/.done" ] && exit
rm -rf "$dir"
mkdir -p "$dir"
cp package.json package-lock.json "$dir"
(cd "$dir" && npm ci --silent --no-audit --no-fund --ignore-scripts --cache "$CACHE/npm-cache")
touch "$dir/.done"
