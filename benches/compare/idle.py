#!/usr/bin/env python3
"""Activity of an idle supervisor: context switches of all its threads, and its system calls."""

import subprocess
import time

from common import *

WORKERS, SECONDS = 4, 10


def switches(pid):
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        lines = (task / "status").read_text().splitlines()
        total += sum(int(line.split()[1]) for line in lines if "ctxt_switches" in line)
    return total


def calls(pid):
    """The system calls that all threads complete in that time. Calls that were already waiting, or still wait, do not
    count.
    """
    strace = subprocess.Popen(["strace", "-f", "-qq", "-p", str(pid), "-o", "/dev/stdout"], stdout=subprocess.PIPE, text=True)
    time.sleep(SECONDS)
    strace.send_signal(signal.SIGINT)
    lines = strace.communicate()[0].splitlines()
    return sum(1 for line in lines if "= " in line and "detached" not in line and "restart_syscall" not in line)


def row(name, what):
    with started(what) as process:
        until("workers", lambda: len(children(process.pid)) >= 1)
        until("an answer", lambda: get())
        time.sleep(3)
        before, cpu_before = switches(process.pid), cpu(process.pid)
        time.sleep(SECONDS)
        woke, spent = switches(process.pid) - before, cpu(process.pid) - cpu_before
        return [name, woke, round(spent * 1e3, 2), calls(process.pid)]


def main():
    held = begin("Idle", [PM2])
    rows = [
        row("rpm-runtime, 4 workers", runtime(EXAMPLES / "echo_server", workers=WORKERS)),
        # Follows the CPU limit: a look every 5 s.
        row("rpm-runtime, RPM_INSTANCES=max", runtime(EXAMPLES / "echo_server", workers="max")),
        row("tini, 1 worker", tini(EXAMPLES / "echo_server")),
        row("pm2-runtime, 4 workers", pm2(NODE_APP, workers=WORKERS)),
    ]
    table(f"In {SECONDS} s without traffic", ["what", "context switches", "CPU ms", "system calls"], rows)
    del held


if __name__ == "__main__":
    main()
