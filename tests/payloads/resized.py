"""Runs a command in a terminal of its own, and gives the terminal another size when the command is ready.

    resized.py COMMAND [ARG...]

Passes on what the command prints. When a line has `ready pid`, the terminal gets another size, and the kernel tells the
processes in its foreground by SIGWINCH. Then the command gets signal 64, and when a line tells of that, SIGTERM. The exit
code is that of the command.
"""

import fcntl
import os
import pty
import signal
import struct
import sys
import termios

pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])

seen = b""
resized = ended = False
while True:
    try:
        piece = os.read(terminal, 4096)
    except OSError:  # the other side is closed
        break
    if not piece:
        break
    os.write(1, piece.replace(b"\r\n", b"\n"))
    seen += piece
    if not resized and b"ready pid" in seen:
        resized = True
        os.write(1, b"resized\n")
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 123, 0, 0))
        os.kill(pid, 64)
    if resized and not ended and b" 64 from" in seen:
        ended = True
        os.kill(pid, signal.SIGTERM)

_, status = os.waitpid(pid, 0)
sys.exit(os.waitstatus_to_exitcode(status))
