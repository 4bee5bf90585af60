#!/usr/bin/env python3
"""Requests a second on the shared port, over kept connections and over a new one for each request."""

import re
import subprocess
import time

from common import *

ROUNDS, SECONDS = 5, 2


def wrk(keep):
    words = ["wrk", "-t1", "-c32", f"-d{SECONDS}s", *([] if keep else ["-H", "Connection: close"])]
    said = subprocess.run([*words, f"http://127.0.0.1:{PORT}/"], capture_output=True, text=True).stdout
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])
    errors = re.search(r"Socket errors: (.*)", said)
    return rate, errors and errors[1]


def run(what, processes):
    """One round: (requests a second, CPU time of the supervisor in us for a request) for kept and for new connections."""
    quiet()
    with started(what) as process:
        until("all workers", lambda: len(descendants(process.pid)) >= processes)
        until("an answer", lambda: get())
        time.sleep(0.3)
        for keep in [True, False]:
            before = cpu(process.pid)
            rate, errors = wrk(keep)
            yield rate, (cpu(process.pid) - before) * 1e6 / (rate * SECONDS), errors


def compare(cases):
    """The cases take turns, so that a busy minute of the machine does not affect only one of them."""
    results = {name: [] for name, _, _ in cases}
    for _ in range(ROUNDS):
        for name, what, processes in cases:
            results[name].append(list(run(what, processes)))
    for name, rounds in results.items():
        cells = []
        for at in [0, 1]:
            rates = [one[at][0] for one in rounds]
            cells.append(f"{int(median(rates, 0))} ({int(min(rates))}-{int(max(rates))})")
        cells += [median([one[at][1] for one in rounds], 2) for at in [0, 1]]
        errors = {one[at][2] for one in rounds for at in [0, 1]} - {None}
        yield [name, *cells, "; ".join(errors) or "none"]


def alone(program, count):
    """`count` processes of a program on one port below a shell, each with a socket of its own (SO_REUSEPORT)."""
    return ["sh", "-c", 'for i in $(seq "$1"); do "$0" --reuse-port & done; wait', program, str(count)], {}


def main():
    held = begin("Requests", [PM2])
    head = ["what", "kept", "new each", "CPU us a request, kept", "new each", "errors"]
    cases = [("node alone (its own CPU)", (["node", NODE_APP], {}), 0)]
    for count in [2, 4]:
        cases.append((f"rpm-runtime, {count} workers", runtime("node", NODE_APP, workers=count), count))
        cases.append((f"pm2-runtime cluster, {count} workers", pm2(NODE_APP, workers=count), count))
    title = f"the supervisor's CPU; medians (least-most) of {ROUNDS} runs of {SECONDS} s, wrk with 32 connections"
    table(f"Node example, requests a second, and {title}", head, compare(cases))
    echo = EXAMPLES / "echo_server"
    cases = []
    for count in [2, 4]:
        cases.append((f"own SO_REUSEPORT, {count} processes", alone(echo, count), count))
        cases.append((f"rpm-runtime, {count} workers", runtime(echo, workers=count), count))
    table("Rust echo_server, a thread for each connection", head, compare(cases))
    del held


if __name__ == "__main__":
    main()
