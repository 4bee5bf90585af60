#!/usr/bin/env python3
"""The largest number of workers: start, scrape, memory, stop."""

import time

from common import *

ROUNDS = 15


def row(slots):
    what = runtime(EXAMPLES / "echo_server", workers=slots)
    quiet()
    begin = time.monotonic()
    with started(what) as process:
        until("all ready", lambda: get("/readyz", ADMIN), 60)
        ready = time.monotonic() - begin
        until("all workers", lambda: len(children(process.pid)) == slots)
        until("all listen", lambda: (get("/metrics", ADMIN) or b"").count(b"rpm_worker_up{") == slots)
        quiet()
        times, before = [], cpu(process.pid)
        for _ in range(ROUNDS):
            asked = time.monotonic()
            page = get("/metrics", ADMIN)
            times.append((time.monotonic() - asked) * 1e3)
        spent = (cpu(process.pid) - before) * 1e3 / ROUNDS
        asked = time.monotonic()
        status = get("/status", ADMIN)
        status_time = (time.monotonic() - asked) * 1e3
        rss, _ = memory(process.pid)
        begin = time.monotonic()
        end(process)
        stop = time.monotonic() - begin
    scrape = [median(times, 2), round(max(times), 2), round(spent, 2)]
    return [slots, round(ready * 1e3), *scrape, len(page), round(status_time, 2), len(status), rss, round(stop * 1e3)]


def main():
    held = begin("Slots")
    head = ["slots", "start to ready, ms", "scrape ms", "most", "CPU ms a scrape", "bytes", "/status ms", "bytes", "RSS kB", "stop ms"]
    table(f"echo_server on one port; medians of {ROUNDS}", head, map(row, [1, 4, 64, 512]))
    del held


if __name__ == "__main__":
    main()
