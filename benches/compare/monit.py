#!/usr/bin/env python3
"""What the live screen costs while nothing happens: bytes to the terminal, CPU, memory, and what it costs the runtime."""

import pty
import select
import struct
import termios

from common import *

WORKERS, SECONDS = 4, 30
TOOL = Path(os.environ.get("BENCH_RPMCTL", ROOT / "target/static/rpmctl")).absolute()


def screen(home, columns, rows):
    """Starts monit on a terminal of that size, and gives its pid and our side of the terminal."""
    pid, terminal = pty.fork()
    if pid == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        os.execve(TOOL, [str(TOOL), "--home", home, "monit"], {"TERM": "xterm-256color"})
    return pid, terminal


def taken(terminal, seconds):
    """Bytes that come in that time, and in how many parts."""
    count, parts, limit = 0, 0, time.monotonic() + seconds
    while (left := limit - time.monotonic()) > 0:
        if select.select([terminal], [], [], left)[0]:
            try:
                count += len(os.read(terminal, 1 << 16))
            except OSError:  # It has ended.
                break
            parts += 1
    return count, parts


def row(workers, columns, rows):
    home = tempfile.mkdtemp(prefix="bench-monit-")
    variables = {"RPM_CONTROL": "on", "RPM_HOME": home, "RPM_MIN_READY": "0s"}
    with started(runtime(EXAMPLES / "echo_server", workers=workers, **variables)) as process:
        until("workers", lambda: len(children(process.pid)) >= workers)
        # So long that no uptime is told in seconds: they would change each time.
        time.sleep(65)
        pid, terminal = screen(home, columns, rows)
        first, _ = taken(terminal, 3)
        before, of_runtime = cpu(pid), cpu(process.pid)
        count, parts = taken(terminal, SECONDS)
        spent, of_runtime = cpu(pid) - before, cpu(process.pid) - of_runtime
        figures = [*memory(pid), len(os.listdir(f"/proc/{pid}/task"))]
        os.write(terminal, b"q")
        taken(terminal, 0.5)
        os.close(terminal)
        os.waitpid(pid, 0)
    shutil.rmtree(home, ignore_errors=True)
    name = f"{workers} workers, {columns}x{rows}"
    each = [round(count / SECONDS), first, round(spent * 1e3 / SECONDS, 2), round(of_runtime * 1e3 / SECONDS, 2)]
    return [name, *each, *figures]


def main():
    held = begin("The live screen")
    rows = [row(4, 80, 24), row(4, 200, 50), row(128, 200, 50)]
    head = ["what", "bytes/s at rest", "bytes of the first screens", "CPU ms/s", "CPU ms/s of the runtime", "RSS kB", "PSS kB", "threads"]
    table(f"In {SECONDS} s without traffic", head, rows)
    del held


if __name__ == "__main__":
    main()
