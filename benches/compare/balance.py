#!/usr/bin/env python3
"""How evenly connections are spread: few that live long, and many short ones; what that means for requests on kept
connections; and how one worker that does not accept affects the clients of all."""

import collections
import subprocess
import sys
import time

from common import *

ROUNDS, CONNECTIONS = 5, 10_000
RATE, SECONDS = 300, 8
ECHO = EXAMPLES / "echo_server"
WORK = ROOT / "benches/compare/work.js"
KEPT_ROUNDS = int(os.environ.get("BENCH_ROUNDS", "10"))


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


def kept_counts(count, gap):
    """Opens `count` connections `gap` seconds apart, and returns how many each process has."""
    opened = []
    due = time.monotonic()
    for _ in range(count):
        opened.append(socket.create_connection(("127.0.0.1", PORT)))
        due += gap
        time.sleep(max(due - time.monotonic(), 0) if gap else 0)
    counts = collections.Counter()
    for one in opened:
        one.sendall(b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n")
        answer = b""
        while b"}" not in answer:
            part = one.recv(4096)
            if not part:
                sys.exit("bench: a kept connection was closed")
            answer += part
        counts[json.loads(answer[answer.index(b"{") :])["pid"]] += 1
    for one in opened:
        one.close()
    return counts


def few(only, workers, gap):
    """Largest number of kept connections of a worker over the mean."""
    for name, what in cases(workers, only):
        cells = []
        with serving(what, workers):
            for count in [8, 16, 32, 64]:
                values = []
                for _ in range(KEPT_ROUNDS):
                    # Those of the round before are closed, and that is known.
                    time.sleep(0.5)
                    values.append(max(kept_counts(count, gap).values()) * workers / count)
                cells.append(f"{statistics.mean(values):.2f} ({max(values):.2f})")
        yield [name, *cells]


def kept_cases(only, workers=4):
    found = [
        ("rpm-runtime adaptive, Node", ours(["node", WORK], workers, "adaptive")),
        ("rpm-runtime random, Node", ours(["node", WORK], workers, "random")),
        ("pm2-runtime cluster, Node", pm2(WORK, workers=workers)),
    ]
    return [case for case in found if not only or any(word in case[0] for word in only)]


def closed_loop(only, workers=4):
    for name, what in kept_cases(only):
        cells = []
        for clients in [8, 16]:
            rates, tails, spreads = [], [], []
            for _ in range(ROUNDS):
                with serving(what, workers):
                    words = ["--keep-alive", "--unchecked", "--clients", clients, "--seconds", 4]
                    with Clients(*words) as load:
                        report = load.report()
                rates.append(report["requests"] / 4)
                tails.append(report["latency_us"]["p99"] / 1e3)
                shares = report["by_pid"].values()
                spreads.append(max(shares) * workers / sum(shares))
            cells += [round(median(rates, 1)), median(tails, 1), median(spreads, 2)]
        yield [name, *cells]


def main():
    """Words select cases by name: `balance.py pm2 own`."""
    held = begin("Balance", [PM2, EXAMPLES / "load"])
    only = sys.argv[1:]
    for workers in [4, 8]:
        for gap, words in [(0, "at once"), (0.002, "2 ms apart"), (0.02, "20 ms apart")]:
            title = f"Kept connections, opened {words}, on {workers} workers: largest over mean; mean (most) of {KEPT_ROUNDS} rounds"
            table(title, ["what", *map(str, [8, 16, 32, 64])], few(only, workers, gap))
    title = f"Closed loop on kept connections, 4 workers, 2 ms a request; medians of {ROUNDS} runs of 4 s"
    head = ["what", *[f"{part}, {count} clients" for count in [8, 16] for part in ["requests/s", "p99 ms", "largest share over mean"]]]
    table(title, head, closed_loop(only))
    title = f"Unevenness (cv, %) of {CONNECTIONS} connections on 8 workers; medians (least-most) of {ROUNDS} runs; chance alone is 2.6"
    table(title, ["what", "2 clients", "16 clients"], spread(only))
    part = ["p50", "p99", "p99.9", "hung"]
    head = ["what", *[f"{word}, all well" for word in part], *[f"{word}, one stopped" for word in part]]
    title = f"ms at {RATE} connections a second for {SECONDS} s, 4 workers, one stopped (SIGSTOP) after a second; hung: no answer in 5 s"
    table(title, head, stall(only))
    del held


if __name__ == "__main__":
    main()
