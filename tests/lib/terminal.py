# SPDX-License-Identifier: Apache-2.0
"""A command on a pseudo-terminal of its own."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios

from harness import wait_for


class Terminal:
    """120 wide and 30 high; what the command writes is in `out`."""

    def __init__(self, *command, env=None):
        self.main, child = pty.openpty()
        fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 120, 0, 0))
        self.before = termios.tcgetattr(child)
        self.child = child
        self.out = b""
        self.process = subprocess.Popen([str(c) for c in command], stdin=child, stdout=child, stderr=child, env=env,
                                        start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))

    def read(self, seconds=0.1):
        while select.select([self.main], [], [], seconds)[0]:
            try:
                self.out += os.read(self.main, 65536)
            except OSError:
                return
            seconds = 0

    def type(self, text):
        os.write(self.main, text.encode())

    def said(self, what):
        """Waits until the command has written it."""
        def is_there():
            self.read()
            assert self.process.poll() is None or what in self.out, self.out
            return what in self.out

        wait_for(is_there, what, 60)

    def ended(self):
        """Its status; the terminal's modes are as they were."""
        def over():
            self.read()
            return self.process.poll() is not None

        wait_for(over, "it ends", 30)
        self.read()
        assert termios.tcgetattr(self.child)[:6] == self.before[:6]
        return self.process.returncode

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.main)
        os.close(self.child)
