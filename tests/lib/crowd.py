# SPDX-License-Identifier: Apache-2.0
"""Many clients that connect, send the beginning of something, or nothing, and stay: each crowd is a process of its own, as
a process may not have so many descriptors.

  crowd.py PORT COUNT [TEXT...]     says how many have come after each thousand; goes when its stdin is closed
"""

import os
import resource
import socket
import subprocess
import sys


class Crowd:
    """COUNT connections to a port, which are there from the end of come() until the block is left."""

    def __init__(self, port, count, *texts):
        self.process = subprocess.Popen([sys.executable, __file__, str(port), str(count), *texts], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def come(self):
        """The number of those that have come, again and again, until all have."""
        yield from map(int, self.process.stdout)

    def __exit__(self, *_):
        self.process.communicate(timeout=60)
        assert self.process.returncode == 0, self.process.returncode


def main():
    port, count, texts = int(sys.argv[1]), int(sys.argv[2]), [t.encode() for t in sys.argv[3:]] or [b""]
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    there, refused = [], 0
    for n in range(count):
        client = socket.socket()
        there.append(client)
        client.settimeout(20)
        try:
            client.connect(("127.0.0.1", port))
            client.sendall(texts[n % len(texts)])
        except ConnectionError:
            refused += 1  # it made room for another
        if n % 1000 == 999:
            print(n + 1, flush=True)
    print(f"{refused} of {count} were refused at once", file=sys.stderr)
    os.close(sys.stdout.fileno())
    sys.stdin.read()


if __name__ == "__main__":
    main()
