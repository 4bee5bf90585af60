#!/usr/bin/env python3
"""Effect of 20 reloads on clients that send requests without a pause, over new connections and over kept ones."""

import subprocess
import sys
import time

from common import *

WORKERS, CLIENTS = 4, 16
RELOADS = int(os.environ.get("BENCH_RELOADS", "20"))
GRACEFUL = Path(__file__).with_name("graceful.js")
FILES = 64
HEAD = ["what", "connections", "requests", "lost", "refused", "reset", "closed", "hung", "other", "resent"]
HEAD += ["s a reload", "most", "p99 ms"]
LOADS = [("new each", ["--short"]), ("kept for 100", ["--bounded", "100"])]


class Managed:
    """Workers below one process that can be told to reload."""

    def __init__(self, what, reload, *words):
        self.what, self.reload_by, self.words = what, reload, words

    def __enter__(self):
        self.stack = contextlib.ExitStack()
        self.process = self.stack.enter_context(started(self.what))
        until("all workers", lambda: len(children(self.process.pid)) >= WORKERS)
        return self

    def __exit__(self, *_):
        self.stack.close()

    def reload(self):
        self.reload_by(self.process)


class Bare:
    """Processes that share the port by themselves. A reload starts new ones, then stops the old ones."""

    words = []

    def __enter__(self):
        self.stack, self.alive = contextlib.ExitStack(), []
        self.start()
        return self

    def __exit__(self, *_):
        self.stack.close()

    def start(self):
        what = [EXAMPLES / "echo_server", f"0.0.0.0:{PORT}", "--reuse-port"], {}
        new = [self.stack.enter_context(started(what, stdout=subprocess.PIPE)) for _ in range(WORKERS)]
        for process in new:
            if not process.stdout.readline().startswith(b"listening"):
                sys.exit("bench: a process does not listen")
        self.alive = new

    def reload(self):
        old = self.alive
        self.start()
        for process in old:
            process.terminate()
        for process in old:
            process.wait()


def by_hup_and_metrics(process):
    def ended():
        lines = (get("/metrics", ADMIN) or b"").decode().splitlines()
        return [float(line.split()[1]) for line in lines if line.startswith("rpm_reloads_total{")]

    before = ended()
    process.send_signal(signal.SIGHUP)
    # More questions would take CPU from the workers.
    until("the end of the reload", lambda: ended() not in ([], before), 120, pause=0.02)


def by_hup_and_pids(process):
    """gunicorn does not report the end: the reload has ended when all workers are new."""
    old = set(children(process.pid))
    process.send_signal(signal.SIGHUP)
    until("other workers", lambda: len(now := set(children(process.pid))) == WORKERS and not now & old, 120)


def by_pm2(process):
    """The command ends with the reload. About 0.4 s of its time is its own start."""
    env = {"PATH": os.environ["PATH"], "HOME": process.home, "PM2_HOME": process.home}
    command = [PM2.with_name("pm2"), "reload", "all"]
    subprocess.run(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)


def gunicorn(*words):
    application = ["--chdir", ROOT / "tests/payloads", "app:application"]
    return [shutil.which("gunicorn"), "-w", WORKERS, "-b", f"0.0.0.0:{PORT}", *words, *application], {}


def ours(*words):
    return runtime(*words, workers=WORKERS, RPM_READY="listen")


def http_server(directory):
    for number in range(FILES):
        word = f"n{number:016x}"
        Path(directory, word).write_text(word)
    words = ["/usr/bin/python3", "-m", "http.server", PORT, "--protocol", "HTTP/1.1", "--directory", directory]
    return ours(*words)


def row(name, case, load, words):
    quiet()
    times = []
    with case, contextlib.ExitStack() as stack:
        # Any answer is enough, because not all programs have this page.
        until("an answer", lambda: get("/n0000000000000000" if case.words else "/"))
        clients = stack.enter_context(Clients("--clients", CLIENTS, *words, *case.words))
        time.sleep(1)
        for _ in range(RELOADS):
            begin = time.monotonic()
            case.reload()
            times.append(time.monotonic() - begin)
            time.sleep(0.3)
        report = clients.report()
    lost = report["lost"]
    for failure in report["first_failures"] if os.environ.get("BENCH_STDERR") else []:
        print(f"  {name}: {failure}", file=sys.stderr)
    cut = [sum(count for kind, count in lost.items() if kind.startswith(start)) for start in ["reset", "closed"]]
    rest = sum(lost.values()) - sum(cut) - lost["refused"] - lost["timeout"]
    return [
        name, load, report["requests"], sum(lost.values()), lost["refused"], *cut, lost["timeout"], rest, report["resent"],
        median(times, 2), round(max(times), 2), round(report["latency_us"]["p99"] / 1e3, 1),
    ]


def rows(only):
    with tempfile.TemporaryDirectory(prefix="bench-files-") as directory:
        cases = [
            ("rpm-runtime, Node", lambda: Managed(ours("node", NODE_APP), by_hup_and_metrics)),
            ("rpm-runtime, Node with a handler", lambda: Managed(ours("node", GRACEFUL), by_hup_and_metrics)),
            ("rpm-runtime, Python http.server", lambda: Managed(http_server(directory), by_hup_and_metrics, "--files", FILES)),
            ("rpm-runtime, Rust", lambda: Managed(ours(EXAMPLES / "echo_server"), by_hup_and_metrics)),
            ("pm2-runtime reload, Node", lambda: Managed(pm2(NODE_APP, workers=WORKERS), by_pm2)),
            ("pm2-runtime reload, Node with a handler", lambda: Managed(pm2(GRACEFUL, workers=WORKERS), by_pm2)),
            ("gunicorn HUP, sync workers", lambda: Managed(gunicorn(), by_hup_and_pids)),
            ("gunicorn HUP, gthread workers", lambda: Managed(gunicorn("-k", "gthread", "--threads", "4"), by_hup_and_pids)),
            ("own SO_REUSEPORT, new ones started, TERM to the old; Rust", Bare),
        ]
        for name, case in cases:
            for load, words in LOADS:
                if not only or any(word in name for word in only):
                    yield row(name, case(), load, words)


def main():
    """Words select cases by name: `reload.py pm2 gunicorn`."""
    held = begin("Reload", [PM2, EXAMPLES / "load", shutil.which("gunicorn")])
    title = f"{RELOADS} reloads of {WORKERS} workers, {CLIENTS} clients without a pause; hung: no answer in 5 s"
    table(title, HEAD, rows(sys.argv[1:]))
    del held


if __name__ == "__main__":
    main()
