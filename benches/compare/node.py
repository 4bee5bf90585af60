#!/usr/bin/env python3
"""Node's channel beside pm2-runtime: requests, messages between workers, log4js, readiness, reloads, memory, start.

Words select tables: `node.py intercom log4js`.
"""

import subprocess
import sys
import time

import reload
import requests
import start
from common import *

HERE = Path(__file__).parent
INTERCOM = ROOT / "target/bench/node_modules/pm2-intercom/lib/index.js"
LOG4JS = ROOT / "target/node/node_modules/log4js/package.json"
ROUNDS = 5


def ecosystem(script, workers, *more, **settings):
    """pm2-runtime with an ecosystem file: this script in cluster mode, and further applications before it."""
    app = {"name": "app", "script": str(script), "instances": workers, "exec_mode": "cluster", **settings}
    file = ROOT / f"target/bench/{Path(script).stem}.config.json"
    file.write_text(json.dumps({"apps": [*more, app]}))
    return [PM2, "start", file], {}


def with_intercom(script, workers):
    """It relays only to the first three processes of the list, itself included, so it stands before the program."""
    return ecosystem(script, workers, {"name": "pm2-intercom", "script": str(INTERCOM)})


def talk(what, count, after):
    """Messages that the receiver got, in how many seconds; CPU us of the manager and of all for a message."""
    quiet()
    with started(what, stdout=subprocess.PIPE, COUNT=count, AFTER=after) as process:
        until("an answer", lambda: get())
        before, before_all = cpu(process.pid), cpu_below(process.pid)
        for line in process.stdout:
            if b"got " in line:
                got, seconds = line.split(b"got ")[1].split()
                manager, everything = cpu(process.pid) - before, cpu_below(process.pid) - before_all
                return int(got), float(seconds), manager * 1e6 / count, everything * 1e6 / count
    return sys.exit("bench: no message came")


def cpu_below(pid):
    """CPU time of a process and of all below it, seconds. Those that have ended do not count."""
    total = 0
    for one in [pid, *(child for child, _ in descendants(pid))]:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            total += cpu(one)
    return total


def intercom():
    cases = [
        ("rpm-runtime", lambda: talk(runtime("node", HERE / "talk.js", workers=2), 200_000, 500)),
        ("pm2-runtime with pm2-intercom", lambda: talk(with_intercom(HERE / "talk.js", 2), 20_000, 5_000)),
    ]
    for name, measure in cases:
        runs = [measure() for _ in range(ROUNDS)]
        rates = [got / seconds for got, seconds, _, _ in runs]
        spread = f"{median(rates, 0):.0f} ({min(rates):.0f}-{max(rates):.0f})"
        yield [name, spread, *[median([run[at] for run in runs], 1) for at in [2, 3]]]


def log4js(what, count, after):
    """Lines in the file, seconds from the first to the last, CPU seconds of the manager and of all for a million."""
    quiet()
    with tempfile.TemporaryDirectory(prefix="bench-log-") as directory:
        file = Path(directory, "all.log")
        with started(what, COUNT=count, WORKERS=4, AFTER=after, FILE=file) as process:
            until("a line", lambda: file.exists() and file.stat().st_size > 0)
            begin = last = time.monotonic()
            before, before_all, size = cpu(process.pid), cpu_below(process.pid), 0
            lines = 0
            # Ends when all is there, or when nothing has come for 5 s.
            while lines < count and time.monotonic() - last < 5:
                time.sleep(0.02)
                if (now := file.stat().st_size) != size:
                    size, last = now, time.monotonic()
                    lines = file.read_bytes().count(b"\n")
            manager, everything = cpu(process.pid) - before, cpu_below(process.pid) - before_all
            return lines, last - begin, manager * 1e6 / count, everything * 1e6 / count


def events():
    script = HERE / "log4js.js"
    cases = [
        ("rpm-runtime", lambda: (runtime("node", script, workers=4), 200_000, 500)),
        ("pm2-runtime with pm2-intercom", lambda: (with_intercom(script, 4), 40_000, 5_000)),
    ]
    for name, case in cases:
        runs = [log4js(*case()) for _ in range(3)]
        count = case()[1]
        rates = [lines / seconds for lines, seconds, _, _ in runs]
        lost = max(count - run[0] for run in runs)
        yield [name, f"{median(rates, 0):.0f}", *[median([run[at] for run in runs], 1) for at in [2, 3]], f"{lost} of {count}"]


def early():
    """Requests in reloads that a worker answered before it had said that it is ready."""
    script = HERE / "early.js"
    ours = runtime("node", script, workers=reload.WORKERS, RPM_READY="message")
    theirs = ecosystem(script, reload.WORKERS, wait_ready=True, listen_timeout=10_000, kill_timeout=5_000)
    for name, what, by in [("rpm-runtime", ours, reload.by_hup_and_metrics), ("pm2-runtime, wait_ready", theirs, reload.by_pm2)]:
        quiet()
        with reload.Managed(what, by) as case:
            until("an answer", lambda: get())
            with Clients("--clients", 16, "--short") as clients:
                time.sleep(1)
                for _ in range(5):
                    case.reload()
                report = clients.report()
        lost = report["lost"]
        before = lost.pop("wrong_status")
        yield [name, report["requests"], before, sum(lost.values())]


def losses():
    cases = [
        ("rpm-runtime", lambda: reload.Managed(reload.ours("node", reload.GRACEFUL), reload.by_hup_and_metrics)),
        ("pm2-runtime", lambda: reload.Managed(pm2(reload.GRACEFUL, workers=reload.WORKERS), reload.by_pm2)),
    ]
    for name, case in cases:
        for load, words in reload.LOADS:
            yield reload.row(name, case(), load, words)


def memory_rows():
    cases = [
        ("rpm-runtime", runtime("node", NODE_APP, workers=4)),
        ("rpm-runtime, RPM_NODE=off", runtime("node", NODE_APP, workers=4, RPM_NODE="off")),
        ("pm2-runtime cluster", pm2(NODE_APP, workers=4)),
    ]
    for name, what in cases:
        with started(what) as process:
            until("all workers", lambda: len(descendants(process.pid)) >= 4)
            until("an answer", lambda: get())
            time.sleep(2)
            workers = [memory(pid)[0] for pid, _ in descendants(process.pid)]
            yield [name, *memory(process.pid), round(statistics.mean(workers))]


def serving():
    cases = []
    for count in [2, 4]:
        cases.append((f"rpm-runtime, {count} workers", runtime("node", NODE_APP, workers=count), count))
        cases.append((f"the same, RPM_NODE=off", runtime("node", NODE_APP, workers=count, RPM_NODE="off"), count))
        cases.append((f"pm2-runtime cluster, {count} workers", pm2(NODE_APP, workers=count), count))
    return requests.compare([(f"{name} ({count})" if "same" in name else name, what, count) for name, what, count in cases])


def first():
    cases = [
        ("rpm-runtime, 2 workers", runtime("node", NODE_APP, workers=2)),
        ("rpm-runtime, 2 workers, RPM_NODE=off", runtime("node", NODE_APP, workers=2, RPM_NODE="off")),
        ("pm2-runtime cluster, 2 workers", pm2(NODE_APP, workers=2)),
    ]
    return start.rows(start.first_answer, cases, 7)


TABLES = {
    "requests": ("Requests a second, medians (least-most)", ["what", "kept", "new each", "CPU us a request, kept", "new each", "errors"], serving),
    "intercom": ("Messages a second from one worker to another", ["what", "messages/s", "CPU us a message, manager", "all"], intercom),
    "log4js": ("Events of 4 workers into one file of log4js", ["what", "events/s", "CPU s for a million, manager", "all", "lost"], events),
    "early": ("5 reloads of 4 workers that are ready half a second after they listen", ["what", "requests", "answered before ready", "lost otherwise"], early),
    "reload": (f"{reload.RELOADS} reloads of 4 workers with a handler", reload.HEAD, losses),
    "memory": ("Memory with 4 idle workers, kB", ["what", "RSS", "PSS", "RSS of a worker"], memory_rows),
    "start": ("Start to the first answer, ms", ["what", "median", "least", "most"], first),
}


def main():
    held = begin("Node", [PM2, INTERCOM, LOG4JS, EXAMPLES / "load"])
    for name, (title, head, rows) in TABLES.items():
        if not sys.argv[1:] or name in sys.argv[1:]:
            table(title, head, rows())
    del held


if __name__ == "__main__":
    main()
