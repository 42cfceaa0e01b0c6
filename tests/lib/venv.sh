#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# venv.sh - the Python packages of the tests, in a folder of their own in the cache.
#
#   venv.sh           makes it where it is missing or tests/requirements.txt changed
#   venv.sh --path    prints where it is
set -eu
cd "$(dirname "$0")/../.."
PYTHON=${PYTHON:-/usr/bin/python3}
CACHE=${SONDE_CACHE:-/var/cache/sonde}
key=$({ cat tests/requirements.txt; "$PYTHON" -V; } | sha256sum | cut -c1-12)
dir=$CACHE/venv-$key
if [ "${1:-}" = --path ]; then
	echo "$dir"
	exit
fi
mkdir -p "$CACHE"
exec 9>"$CACHE/venv.lock"
flock 9
[ -e "$dir/.done" ] && exit
rm -rf "$dir"
"$PYTHON" -m venv "$dir"
"$dir/bin/pip" install -q --disable-pip-version-check -r tests/requirements.txt
touch "$dir/.done"
