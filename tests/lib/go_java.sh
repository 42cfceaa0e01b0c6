#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# go_java.sh - the programs in go/ and java/ of a folder of tests/programs, built once into the cache; it may have one of them only.
#
#   go_java.sh FOLDER                 builds what is missing
#   go_java.sh FOLDER --path NAME     prints where NAME is: the binary of go; the class path of java
#
# The name carries a hash of what it is built from.
set -eu
folder=$1
shift
lib=$(cd "$(dirname "$0")" && pwd)
cd "$lib/../programs/$folder"
CACHE=${SONDE_CACHE:-/var/cache/sonde}

path() { # NAME
	echo "$CACHE/bin/$folder-$1-$(cat "$1"/* | sha256sum | cut -c1-12)"
}

build_go() { # TO
	(cd go && "$lib/go.sh" build -trimpath -o "$1.tmp" .)
}

build_java() { # TO
	rm -rf "$1.tmp"
	mvn -q -B -f java/pom.xml -Dmaven.repo.local="$CACHE/maven" \
		org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies -DoutputDirectory="$1.tmp" >&2
	javac -encoding UTF-8 -cp "$1.tmp/*" -d "$1.tmp" java/*.java
}

if [ "${1:-}" = --path ]; then
	path "$2"
	exit
fi
mkdir -p "$CACHE/bin"
exec 9>"$CACHE/$folder.lock"
flock 9
for name in go java; do
	[ -d "$name" ] || continue
	to=$(path "$name")
	[ -e "$to" ] && continue
	echo "building what tests/programs/$folder has in $name"
	"build_$name" "$to"
	mv "$to.tmp" "$to"
done
