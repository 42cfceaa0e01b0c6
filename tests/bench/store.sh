#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# store.sh SPANS - the store filled and asked, in a folder of its own beside the output; JSON in
# $OUTPUT/bench/store.json and on standard output.
set -eu
folder=$(mktemp -d "$OUTPUT/bench/store.XXXXXX")
trap 'rm -rf "$folder"' EXIT
"$OUTPUT/bench/store" "$folder" "$1" >"$OUTPUT/bench/store.json.tmp"
bytes=$(du -sb --exclude=lock "$folder" | cut -f1)
/usr/bin/python3 - "$OUTPUT/bench/store.json.tmp" "$bytes" <<'END'
import json, sys
result = json.load(open(sys.argv[1]))
result["bytes_per_span"] = round(int(sys.argv[2]) / result["spans"], 1)
print(json.dumps(result, indent=1))
END
mv "$OUTPUT/bench/store.json.tmp" "$OUTPUT/bench/store.json"
