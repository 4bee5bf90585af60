#!/usr/bin/env python3
"""Time from the exec of the supervisor to the exec of the first worker, and to the first answer of a Node program."""

import subprocess
import sys
import time

from common import *

ROUNDS = 15


def first_words(what):
    """Milliseconds from just before the start to the clock value that the payload prints."""
    before = time.monotonic_ns()
    with started(what, stdout=subprocess.PIPE) as process:
        for line in process.stdout:
            words = line.split()
            if words and words[0] == b"clock":
                return (int(words[1]) - before) / 1e6
    return sys.exit("bench: the worker never said anything")


def first_answer(what):
    before = time.monotonic()
    with started(what):
        until("an answer", lambda: get())
        return (time.monotonic() - before) * 1e3


def rows(measure, cases, rounds):
    for name, what in cases:
        quiet()
        # The first start has cold caches.
        measure(what)
        values = [measure(what) for _ in range(rounds)]
        yield [name, median(values, 2), round(min(values), 2), round(max(values), 2)]


def main():
    held = begin("Start", [PM2])
    clock = EXAMPLES / "clock"
    cases = [
        ("the worker alone", ([clock], {})),
        ("tini", tini(clock)),
        ("rpm-runtime, no shared port", runtime(clock, RPM_PORTS="off")),
        ("rpm-runtime, 1 worker", runtime(clock)),
        ("rpm-runtime, 4 workers", runtime(clock, workers=4)),
    ]
    head = ["what", "median", "least", "most"]
    table(f"Start to the first worker's first act, ms, {ROUNDS} rounds", head, rows(first_words, cases, ROUNDS))
    table("The same with pm2-runtime, 5 rounds", head, rows(first_words, [("pm2-runtime, fork", pm2(clock))], 5))
    node = ["node", NODE_APP]
    cases = [
        ("node alone", (node, {})),
        ("tini", tini(*node)),
        ("rpm-runtime, 1 worker", runtime(*node)),
        ("rpm-runtime, 2 workers", runtime(*node, workers=2)),
        ("pm2-runtime, 2 workers (cluster)", pm2(NODE_APP, workers=2)),
    ]
    table("Start to the first answer of the Node example, ms, 7 rounds", head, rows(first_answer, cases, 7))
    del held


if __name__ == "__main__":
    main()
