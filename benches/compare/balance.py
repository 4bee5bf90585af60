#!/usr/bin/env python3
"""How evenly connections come to the workers, and what it is worth and costs. Parts:

few          kept connections of each worker, opened at once and apart
closed-loop  requests on kept connections
short        many short connections, and requests a second beside `random`
stopped      clients while one worker does not accept
reload       clients that reconnect, after a reload
cost         CPU of the balancing thread
memory       memory of the runtime

Words choose parts, and cases by name: `balance.py few short adaptive pm2`. BENCH_ROUNDS is the number of rounds of each.
"""

import collections
import random
import select
import sys
import threading
import time

from common import *
from reload import Bare, Managed, by_hup_and_metrics, by_pm2

ECHO = EXAMPLES / "echo_server"
WORK = ROOT / "benches/compare/work.js"
REQUEST = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"
OURS = ["adaptive", "least", "random"]
HASH = "own SO_REUSEPORT (kernel hash), Rust"
RANDOM = "rpm-runtime random, Rust"
FEW = [8, 16, 32, 64]


def rounds(usual):
    return int(os.environ.get("BENCH_ROUNDS", usual))


def ours(balance, *program, workers, **variables):
    return runtime(*program, workers=workers, RPM_READY="listen", RPM_BALANCE=balance, **variables)


def alone(count):
    """`count` processes on one port, each with a socket of its own: the kernel distributes by hash."""
    return ["sh", "-c", 'for i in $(seq "$1"); do "$0" --reuse-port & done; wait', ECHO, count], {}


def cases(workers):
    yield from ((f"rpm-runtime {balance}, Rust", ours(balance, ECHO, workers=workers)) for balance in OURS)
    yield HASH, alone(workers)
    for balance in ["adaptive", "least"]:
        yield f"rpm-runtime {balance}, Node", ours(balance, "node", NODE_APP, workers=workers)
    yield "pm2-runtime cluster, Node", pm2(NODE_APP, workers=workers)


def chosen(found):
    """Those that a word of the command line names; all, if none is named."""
    words = [word for word in sys.argv[1:] if word not in PARTS]
    return [case for case in found if not words or any(word in case[0] for word in words)]


def show(title, head, rows):
    table(title, ["what", *map(str, head)], rows)
    print(f"\nLoad average at the end: {os.getloadavg()[0]:.1f}.", flush=True)


@contextlib.contextmanager
def serving(what, workers):
    """All workers answer; yields the process and their PIDs."""
    with started(what) as process:
        seen = set()

        def all_answer():
            seen.update([json.loads(answer)["pid"] for answer in [get()] if answer])
            return len(seen) == workers

        until(f"all {workers} workers answer", all_answer)
        yield process, sorted(seen)


def load(name, *words):
    """Runs clients to their end and returns their results. None of them may be lost."""
    with Clients(*words) as clients:
        report = clients.report()
    if sum(report["lost"].values()) or not report["by_pid"]:
        sys.exit(f"bench: {name}: requests were lost: {report}")
    return report


def largest(counts, workers):
    """The largest of the counts over their mean. A worker without any may be missing."""
    return max(counts) * workers / sum(counts)


def mean_and_worst(values):
    return f"{statistics.mean(values):.2f} ({max(values):.2f})"


# Few connections.


def ask(connection):
    """PID of the process that answers on a connection."""
    connection.sendall(REQUEST)
    answer = b""
    while not answer.endswith(b"}") and not answer.endswith(b"}\n"):
        part = connection.recv(4096)
        if not part:
            raise ConnectionError("closed")
        answer += part
    return json.loads(answer[answer.index(b"{") :])["pid"]


def opened(count, gap):
    """Opens `count` connections, one each `gap` seconds. Returns them, and the seconds from the first to the last."""
    made = [socket.socket() for _ in range(count)]
    for one in made:
        # The call only sends the first packet: a client that waited for each answer would not open them at once.
        one.setblocking(False)
    begin = time.monotonic()
    for number, one in enumerate(made):
        if gap:
            time.sleep(max(begin + number * gap - time.monotonic(), 0))
        one.connect_ex(("127.0.0.1", PORT))
    took = time.monotonic() - begin
    for one in made:
        one.settimeout(5)
    return made, took


def few():
    head = [*FEW, "us from one to the next, median"]
    for workers in [4, 8]:
        for gap, words in [(0, "at once"), (0.002, "2 ms apart"), (0.02, "20 ms apart")]:
            title = f"Kept connections, opened {words}, on {workers} workers: largest over mean; mean (most) of {rounds(10)} rounds"
            show(title, head, few_rows(workers, gap))


def few_rows(workers, gap):
    for name, what in chosen(cases(workers)):
        quiet()
        cells, gaps = [], []
        with serving(what, workers):
            for count in FEW:
                values = []
                for _ in range(rounds(10)):
                    # The connections of the round before are closed, and who counts them knows it.
                    time.sleep(0.4)
                    made, took = opened(count, gap)
                    gaps.append(took / (count - 1) * 1e6)
                    try:
                        counts = collections.Counter(map(ask, made))
                    except OSError as error:
                        sys.exit(f"bench: {name}: a kept connection: {error}")
                    values.append(largest(counts.values(), workers))
                    for one in made:
                        one.close()
                cells.append(mean_and_worst(values))
        yield [name, *cells, round(statistics.median(gaps))]



# Requests on kept connections.


def closed_loop(workers=4, seconds=4):
    found = [(f"rpm-runtime {balance}, Node", ours(balance, "node", WORK, workers=workers)) for balance in OURS]
    found = chosen([*found, ("pm2-runtime cluster, Node", pm2(WORK, workers=workers))])
    results = collections.defaultdict(list)
    for _ in range(rounds(5)):
        quiet()
        for clients in [8, 16]:
            for name, what in found:
                with serving(what, workers):
                    report = load(name, "--keep-alive", "--unchecked", "--clients", clients, "--seconds", seconds)
                shares = report["by_pid"].values()
                result = report["requests"] / seconds, report["latency_us"]["p99"] / 1e3, largest(shares, workers)
                results[name, clients].append(result)
    rows = []
    for name, _ in found:
        columns = [column for clients in [8, 16] for column in zip(*results[name, clients])]
        rows.append([name, *(f"{statistics.median(column):.{digits}f}" for column, digits in zip(columns, [0, 1, 2] * 2))])
    title = f"Closed loop on kept connections, {workers} workers, 2 ms of work a request; medians of {rounds(5)} runs of {seconds} s"
    head = [f"{part}, {count} clients" for count in [8, 16] for part in ["requests/s", "p99 ms", "largest share over mean"]]
    show(title, head, rows)


# Many short connections.


def variation(counts, workers):
    """Coefficient of variation of the workers' shares, in percent."""
    shares = list(counts) + [0] * (workers - len(counts))
    return 100 * statistics.pstdev(shares) / statistics.mean(shares)


def short(workers=8, connections=10_000):
    found = chosen(cases(workers))
    results = collections.defaultdict(list)
    # In turns, so that the ratios are of runs that are near each other.
    for _ in range(rounds(5)):
        quiet()
        for clients in [2, 16]:
            for name, what in found:
                with serving(what, workers):
                    report = load(name, "--requests", connections, "--clients", clients)
                result = variation(report["by_pid"].values(), workers), report["requests"] / report["seconds"]
                results[name, clients].append(result)
    rows = []
    for name, _ in found:
        cells = []
        for clients in [2, 16]:
            uneven, rates = zip(*results[name, clients])
            ratios = [rate / other for rate, (_, other) in zip(rates, results[RANDOM, clients])] if "Rust" in name else []
            cells += [f"{median(uneven, 2)} ({min(uneven):.2f}-{max(uneven):.2f})", round(median(rates))]
            cells.append(median(ratios, 3) if ratios else "-")
        rows.append([name, *cells])
    title = f"{connections} connections on {workers} workers; medians (least-most) of {rounds(5)} runs; by chance the cv is 2.6 %"
    head = [f"{part}, {count} clients" for count in [2, 16] for part in ["cv %", "requests/s", "ratio to random"]]
    show(title, head, rows)


# One worker does not accept.


def at_a_rate(is_stopped, what, workers, rate, seconds):
    with serving(what, workers) as (_, pids):
        # More clients than can be stuck at once if a quarter of all requests hang.
        with Clients("--rate", rate, "--clients", 600, "--seconds", seconds) as clients:
            if is_stopped:
                time.sleep(1)
                os.kill(pids[1], signal.SIGSTOP)
            try:
                return clients.report()
            finally:
                if is_stopped:
                    os.kill(pids[1], signal.SIGCONT)


def stopped(workers=4, rate=300, seconds=8):
    rows = []
    for name, what in chosen(cases(workers)):
        cells = []
        for is_stopped in [False, True]:
            quiet()
            report = at_a_rate(is_stopped, what, workers, rate, seconds)
            lost = report["lost"]
            cells += [round(report["latency_us"][part] / 1e3, 1) for part in ["p50", "p99", "p99.9"]]
            cells.append(f"{lost['timeout']} of {report['requests']}")
            if rest := sum(lost.values()) - lost["timeout"]:
                cells[-1] += f" (+{rest} lost)"
        rows.append([name, *cells])
    title = f"ms at {rate} connections a second for {seconds} s, {workers} workers, one stopped (SIGSTOP) after a second; hung: no answer in 5 s"
    head = [f"{part}, {state}" for state in ["all well", "one stopped"] for part in ["p50", "p99", "p99.9", "hung"]]
    show(title, head, rows)


# After a reload.


class Faithful:
    """Clients that keep their connection, send a request now and then, and come back soon when it is closed."""

    def __init__(self, count):
        self.over = threading.Event()
        # PID of the process that answered each last.
        self.served_by = [None] * count
        self.threads = [threading.Thread(target=self.live, args=[number], daemon=True) for number in range(count)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()

    def live(self, number):
        while not self.over.wait(random.uniform(0, 0.2)):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", PORT), 5) as connection:
                closed = []
                while not closed and not self.over.is_set():
                    self.served_by[number] = ask(connection)
                    closed, _, _ = select.select([connection], [], [], random.uniform(1, 3))
            self.served_by[number] = None


def after_reload(clients=64, workers=4, after=10):
    # The runtime looks for a moment without a request. Of clients on the same machine it can seldom be sure, so this ends soon.
    waits = {"RPM_DRAIN_TIMEOUT": "500ms", "RPM_STOP_TIMEOUT": "1s"}
    programs = [("Rust", [ECHO]), ("Node", ["node", NODE_APP])]
    found = [
        (f"rpm-runtime {balance}, {language}", lambda what=ours(balance, *words, workers=workers, **waits): Managed(what, by_hup_and_metrics))
        for language, words in programs
        for balance in OURS
    ]
    found += [(HASH, Bare), ("pm2-runtime cluster, Node", lambda: Managed(pm2(NODE_APP, workers=workers), by_pm2))]
    rows = []
    for name, case in chosen(found):
        quiet()
        spreads = []
        with case() as managed, Faithful(clients) as faithful:
            for _ in range(rounds(3)):
                until("all clients have a worker", lambda: all(faithful.served_by))
                managed.reload()
                time.sleep(after)
                counts = collections.Counter(pid for pid in faithful.served_by if pid)
                spreads.append(largest(counts.values(), workers))
                last = "-".join(str(count) for count in sorted(counts.values(), reverse=True))
        rows.append([name, mean_and_worst(spreads), last])
    title = f"{clients} kept connections on {workers} workers, {after} s after a reload; mean (most) of {rounds(3)} reloads"
    show(title, ["largest over mean", "connections of each worker, last reload"], rows)


# What it costs.


def thread_cpu(pid, name):
    """CPU time of the thread of this name, seconds; 0 if there is none."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        if (task / "comm").read_text().strip() == name:
            return int((task / "schedstat").read_text().split()[0]) / 1e9
    return 0


@contextlib.contextmanager
def ready(what, workers):
    """As `serving`, for many workers. None of them is asked."""
    with started(what) as process:
        until("all ready", lambda: get("/readyz", ADMIN), 120)
        until("all listen", lambda: (get("/metrics", ADMIN) or b"").count(b"rpm_worker_up{") == workers, 120)
        time.sleep(2)
        yield process


def cost_of(pid, words, seconds):
    """Share of a CPU that the balancing thread used, in percent; the same of the whole runtime; connections a second."""
    with Clients("--seconds", seconds + 3, *words) if words else contextlib.nullcontext() as clients:
        # What was saved in the quiet time before is used up first.
        time.sleep(2)
        begin, before = time.monotonic(), (thread_cpu(pid, "balance"), cpu(pid))
        time.sleep(seconds)
        took, after = time.monotonic() - begin, (thread_cpu(pid, "balance"), cpu(pid))
        rate = clients.report()["requests"] / (seconds + 3) if words else 0
    thread, whole = (100 * (now - then) / took for now, then in zip(after, before))
    return f"{thread:.2f} ({whole:.2f}) at {rate:.0f}/s"


def cost(seconds=8):
    arrivals = [
        ("none", []),
        ("20 ms apart", ["--rate", 50, "--clients", 8]),
        ("2 ms apart", ["--rate", 500, "--clients", 8]),
        ("as fast as they come", ["--clients", 16]),
    ]
    rows = []
    for workers in [4, 8, 512]:
        for name, balance in chosen([(f"rpm-runtime {balance}, Rust", balance) for balance in OURS]):
            quiet()
            with ready(ours(balance, ECHO, workers=workers), workers) as process:
                cells = [cost_of(process.pid, words, seconds) for _, words in arrivals]
            rows.append([f"{name}, {workers} workers", *cells])
    title = f"CPU of the balancing thread (and of the whole runtime) in % of one, in {seconds} s, after 2 s of the same"
    show(title, [name for name, _ in arrivals], rows)


def memory_of(pid):
    """Private, proportional and resident memory in kB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    values = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    return [values["Private_Clean"] + values["Private_Dirty"], values["Private_Dirty"], values["Pss"], values["Rss"]]


def memory_used():
    rows = []
    for workers in [4, 8, 512]:
        for name, balance in chosen([(f"rpm-runtime {balance}, Rust", balance) for balance in OURS]):
            with ready(ours(balance, ECHO, workers=workers), workers) as process:
                load(name, "--rate", 500, "--clients", 8, "--requests", 1000)
                time.sleep(2)
                rows.append([f"{name}, {workers} workers", *memory_of(process.pid)])
    show("Memory of the runtime after 1000 connections, kB", ["private", "of it written", "PSS", "RSS"], rows)


PARTS = {
    "few": few,
    "closed-loop": closed_loop,
    "short": short,
    "stopped": stopped,
    "reload": after_reload,
    "cost": cost,
    "memory": memory_used,
}


def main():
    names = [name for name, _ in cases(1)]
    for word in sys.argv[1:]:
        if word not in PARTS and not any(word in name for name in names):
            sys.exit(f"bench: {word} is none of the parts ({', '.join(PARTS)}) and in none of the cases ({'; '.join(names)})")
    held = begin("Balance", [PM2, EXAMPLES / "load", ECHO])
    for part in [word for word in PARTS if word in sys.argv] or PARTS:
        PARTS[part]()
    del held


if __name__ == "__main__":
    main()
