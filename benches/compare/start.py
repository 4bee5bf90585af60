#!/usr/bin/env python3
"""Time from the exec of the supervisor to the exec of the first worker, and to the first answer of a Node program."""

import os
import subprocess
import sys
import time

from common import *

ROUNDS = 15
RUNS = 200


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


def whole(words, variables):
    """Microseconds from just before the start to the end of the run, with as little as possible around it."""
    null = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)]
    env = {"PATH": os.environ["PATH"], **{name: str(value) for name, value in variables.items()}}
    words = [str(word) for word in words]
    before = time.perf_counter_ns()
    pid = os.posix_spawn(words[0], words, env, file_actions=null)
    os.waitpid(pid, 0)
    return (time.perf_counter_ns() - before) / 1e3


def whole_rows(cases):
    """They take turns, so that each run has a neighbour under the same load. The last one is what they are compared with."""
    quiet()
    for _, what in cases:
        whole(*what)
    runs = [[whole(*what) for _, what in cases] for _ in range(RUNS)]
    for at, (name, _) in enumerate(cases):
        own, ratios = [run[at] for run in runs], [run[at] / run[-1] for run in runs]
        least = min(own) / min(run[-1] for run in runs)
        yield [name, median(own, 0), round(min(own)), median(ratios, 2), round(least, 2)]


def whole_run():
    lonely = {"RPM_RESTART": "never"}
    cases = [
        ("/bin/true alone", (["/bin/true"], {})),
        ("rpm-runtime --version", ([RUNTIME, "--version"], {})),
        ("rpm-runtime", ([RUNTIME, "/bin/true"], lonely)),
        ("rpm-runtime, RPM_ADMIN_ADDR=off", ([RUNTIME, "/bin/true"], {**lonely, "RPM_ADMIN_ADDR": "off"})),
        ("tini", ([tini()[0][0], "-s", "/bin/true"], {})),
    ]
    head = ["what", "median", "least", "median of the ratios", "ratio of the least"]
    title = f"/bin/true in tini's role, from start to end, us, {RUNS} runs of each in turn, beside tini"
    table(title, head, whole_rows(cases))


def rows(measure, cases, rounds):
    for name, what in cases:
        quiet()
        # The first start has cold caches.
        measure(what)
        values = [measure(what) for _ in range(rounds)]
        yield [name, median(values, 2), round(min(values), 2), round(max(values), 2)]


def main():
    if "whole" in sys.argv:
        return whole_run()
    held = begin("Start", [PM2])
    whole_run()
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
