#!/usr/bin/env python3
"""Requests on kept connections that meet the end of a worker: clients that never give up a connection and never send a
request twice, through two reloads of Node workers without a handler, with and without RPM_NODE_DRAIN=close."""

import time

import reload
from common import *

RELOADS = int(os.environ.get("BENCH_RELOADS", "2"))
PAUSES = [20, 5, 1, 0]


def row(drain, pause):
    quiet()
    what = runtime("node", NODE_APP, workers=reload.WORKERS, RPM_NODE_DRAIN=drain, RPM_DRAIN_TIMEOUT="2s")
    words = ["--clients", reload.CLIENTS, "--keep-alive", "--strict", *(["--think", pause] if pause else [])]
    times = []
    with reload.Managed(what, reload.by_hup_and_metrics) as case:
        until("an answer", lambda: get())
        with Clients(*words) as clients:
            time.sleep(1)
            for _ in range(RELOADS):
                begin = time.monotonic()
                case.reload()
                times.append(time.monotonic() - begin)
            time.sleep(1)
            report = clients.report()
    ends = RELOADS * reload.WORKERS
    return [drain, f"{pause} ms" if pause else "none", report["requests"], ends, sum(report["lost"].values()), median(times, 1)]


def main():
    held = begin("Kept connections", [EXAMPLES / "load"])
    head = ["RPM_NODE_DRAIN", "pause of each client", "requests", "worker ends", "lost without a retry", "s a reload"]
    title = f"{reload.CLIENTS} clients on {reload.WORKERS} workers, RPM_DRAIN_TIMEOUT=2s"
    table(title, head, (row(drain, pause) for drain in ["off", "close"] for pause in PAUSES))
    del held


if __name__ == "__main__":
    main()
