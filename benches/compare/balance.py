#!/usr/bin/env python3
"""How evenly connections are spread, and how one worker that does not accept affects the clients of all."""

import subprocess
import sys
import time

from common import *

ROUNDS, CONNECTIONS = 5, 10_000
RATE, SECONDS = 300, 8
ECHO = EXAMPLES / "echo_server"


def ours(program, workers, balance):
    return runtime(*program, workers=workers, RPM_READY="listen", RPM_BALANCE=balance)


def alone(count):
    """`count` processes on one port, each with a socket of its own: the kernel distributes by hash."""
    return ["sh", "-c", 'for i in $(seq "$1"); do "$0" --reuse-port & done; wait', ECHO, count], {}


def cases(workers, only):
    found = [
        ("rpm-runtime adaptive, Rust", ours([ECHO], workers, "adaptive")),
        ("rpm-runtime random, Rust", ours([ECHO], workers, "random")),
        ("own SO_REUSEPORT (kernel hash), Rust", alone(workers)),
        ("rpm-runtime adaptive, Node", ours(["node", NODE_APP], workers, "adaptive")),
        ("pm2-runtime cluster, Node", pm2(NODE_APP, workers=workers)),
    ]
    return [case for case in found if not only or any(word in case[0] for word in only)]


@contextlib.contextmanager
def serving(what, workers):
    """All workers answer; yields the process and the counts of the workers."""
    quiet()
    with started(what) as process:
        seen = set()

        def all_answer():
            seen.update([json.loads(answer)["pid"] for answer in [get()] if answer])
            return len(seen) == workers

        until("all workers answer", all_answer)
        yield process, sorted(seen)


def variation(counts, workers):
    """Coefficient of variation of the workers' shares, in percent."""
    shares = list(counts) + [0] * (workers - len(counts))
    return 100 * statistics.pstdev(shares) / statistics.mean(shares)


def spread(only, workers=8):
    for name, what in cases(workers, only):
        cells = []
        for clients in [2, 16]:
            values = []
            for _ in range(ROUNDS):
                with serving(what, workers), Clients("--requests", CONNECTIONS, "--clients", clients) as load:
                    report = load.report()
                if sum(report["lost"].values()):
                    sys.exit(f"bench: {name}: {report}")
                values.append(variation(report["by_pid"].values(), workers))
            cells.append(f"{median(values, 2)} ({min(values):.2f}-{max(values):.2f})")
        yield [name, *cells]


def at_a_rate(stalled, what, workers):
    with serving(what, workers) as (_, pids):
        # More clients than can be stuck at once if a quarter of all requests hang.
        words = ["--rate", RATE, "--clients", 600, "--seconds", SECONDS]
        with Clients(*words) as load:
            if stalled:
                time.sleep(1)
                os.kill(pids[1], signal.SIGSTOP)
            report = load.report()
            if stalled:
                os.kill(pids[1], signal.SIGCONT)
    return report


def stall(only, workers=4):
    for name, what in cases(workers, only):
        cells = []
        for stalled in [False, True]:
            report = at_a_rate(stalled, what, workers)
            lost = report["lost"]
            cells += [round(report["latency_us"][part] / 1e3, 1) for part in ["p50", "p99", "p99.9"]]
            cells.append(f"{lost['timeout']} of {report['requests']}")
            if rest := sum(lost.values()) - lost["timeout"]:
                cells[-1] += f" (+{rest} lost)"
        yield [name, *cells]


def main():
    """Words select cases by name: `balance.py pm2 own`."""
    held = begin("Balance", [PM2, EXAMPLES / "load"])
    only = sys.argv[1:]
    title = f"Unevenness (cv, %) of {CONNECTIONS} connections on 8 workers; medians (least-most) of {ROUNDS} runs; chance alone is 2.6"
    table(title, ["what", "2 clients", "16 clients"], spread(only))
    part = ["p50", "p99", "p99.9", "hung"]
    head = ["what", *[f"{word}, all well" for word in part], *[f"{word}, one stopped" for word in part]]
    title = f"ms at {RATE} connections a second for {SECONDS} s, 4 workers, one stopped (SIGSTOP) after a second; hung: no answer in 5 s"
    table(title, head, stall(only))
    del held


if __name__ == "__main__":
    main()
