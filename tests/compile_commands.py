# SPDX-License-Identifier: Apache-2.0
"""compile_commands.py COMMAND FILE... : the compile database on standard output."""
import json
import os
import sys

command, files = sys.argv[1], sys.argv[2:]
print(json.dumps([{"directory": os.getcwd(), "file": f, "command": f"{command} -c {f}"}
                  for f in files], indent=1))
