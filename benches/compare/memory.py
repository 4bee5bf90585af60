#!/usr/bin/env python3
"""Memory of the process that supervises four idle workers, and the size of the binary."""

import subprocess
import time

from common import *

WORKERS = 4


def settled(pid, count):
    until(f"{count} children", lambda: len(children(pid)) >= count)
    time.sleep(2)


def row(name, what, count, then=lambda: None):
    with started(what) as process:
        settled(process.pid, count)
        then()
        rss, pss = memory(process.pid)
        threads = len(os.listdir(f"/proc/{process.pid}/task"))
        return [name, rss, pss, threads]


def scrapes():
    for _ in range(20):
        get("/metrics", ADMIN)
        get("/status", ADMIN)


def main():
    held = begin("Memory", [PM2])
    idle, echo, flood = (EXAMPLES / name for name in ["slow_start", "echo_server", "flood"])
    rows = [
        row("rpm-runtime, 4 workers that share nothing", runtime(idle, "0", workers=WORKERS, RPM_PORTS="off"), WORKERS),
        row("rpm-runtime, 4 workers on one port", runtime(echo, workers=WORKERS), WORKERS),
        row("the same after 20 scrapes", runtime(echo, workers=WORKERS), WORKERS, scrapes),
        row("after 4 x 1 M lines", runtime(flood, "1000000", "100", workers=WORKERS, RPM_PORTS="off"), WORKERS),
        row("tini, 1 worker", tini(idle, "0"), 1),
        row("pm2-runtime, 4 workers on one port", pm2(NODE_APP, workers=WORKERS), WORKERS),
    ]
    table("Idle memory of the supervising process, kB", ["what", "RSS", "PSS", "threads"], rows)
    size = subprocess.run(["size", RUNTIME], capture_output=True, text=True).stdout.splitlines()
    print(f"\nBinary: {RUNTIME.stat().st_size} bytes, stripped and static; text {size[1].split()[0] if size else '?'}.")
    del held


if __name__ == "__main__":
    main()
