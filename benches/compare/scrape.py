#!/usr/bin/env python3
"""Cost of the runtime's own page: time and CPU time of a scrape, by number of workers and of open connections.

BENCH_RUNTIME and BENCH_EXAMPLES select other builds than those of `make bench`.
"""

import http.client
import resource
import socket
import time

from common import *

ROUNDS = 30
PAUSE = 0.05

# Workers, connections, and the program. echo_server has a thread for each connection, which is expensive with many.
CASES = [
    (4, 0, [EXAMPLES / "echo_server"]),
    (64, 0, [EXAMPLES / "echo_server"]),
    (512, 0, [EXAMPLES / "echo_server"]),
    (512, 512, [EXAMPLES / "echo_server"]),
    (4, 1000, ["node", NODE_APP]),
    (4, 10000, ["node", NODE_APP]),
]


class Page:
    """The page, fetched over one connection that stays open."""

    def __init__(self):
        host, port = ADMIN.split(":")
        self.admin = http.client.HTTPConnection(host, int(port), timeout=30)

    def get(self):
        self.admin.request("GET", "/metrics/runtime")
        answer = self.admin.getresponse()
        body = answer.read()
        if answer.status != 200:
            sys.exit(f"bench: /metrics/runtime answered {answer.status}")
        return body


def values(page, family):
    lines = page.decode().splitlines()
    return [float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(family + "{")]


def clients(count):
    """Idle connections. One source address has not enough ports for all of them."""
    held = []
    for number in range(count):
        client = socket.socket()
        client.bind((f"127.0.5.{number // 5000 + 1}", 0))
        client.connect(("127.0.0.1", PORT))
        held.append(client)
    return held


def row(workers, connections, program):
    quiet()
    with started(runtime(*program, workers=workers, RPM_READY="listen")) as process:
        page = Page()
        until("all ready", lambda: get("/readyz", ADMIN), 60)
        until("all serve", lambda: sum(values(page.get(), "rpm_worker_up")) == workers, 60)
        held = clients(connections)
        until("all are accepted", lambda: sum(values(page.get(), "rpm_worker_connections")) == connections, 60)
        quiet()
        # The runtime has closed the idle connection in the meantime.
        page = Page()
        page.get()
        times, before = [], cpu(process.pid)
        for _ in range(ROUNDS):
            time.sleep(PAUSE)
            asked = time.monotonic()
            body = page.get()
            times.append((time.monotonic() - asked) * 1e3)
        spent = (cpu(process.pid) - before) * 1e3 / ROUNDS
        for client in held:
            client.close()
        rss, _ = memory(process.pid)
    series = sum(1 for line in body.splitlines() if not line.startswith(b"#"))
    return [workers, connections, median(times, 2), round(max(times), 2), round(spent, 2), series, len(body), rss]


def main():
    held = begin("Scrape of the runtime's own page")
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    head = ["workers", "connections", "scrape, ms", "most", "CPU ms a scrape", "series", "bytes", "RSS kB"]
    table(f"/metrics/runtime; medians of {ROUNDS}", head, (row(*case) for case in CASES))
    del held


if __name__ == "__main__":
    main()
