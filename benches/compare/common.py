"""Shared by all comparisons: the compared programs, how to start and end them, and tables.

Everything that is started has a process group of its own and is killed when its `with` block ends.
"""

import contextlib
import fcntl
import json
import os
import platform
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RUNTIME = Path(os.environ.get("BENCH_RUNTIME", ROOT / "target/static/rpm-runtime")).absolute()
EXAMPLES = Path(os.environ.get("BENCH_EXAMPLES", ROOT / "target/release/examples")).absolute()
PM2 = ROOT / "target/bench/node_modules/.bin/pm2-runtime"
# A directory in memory: on a disk, to make a file takes far longer than what is measured.
FAST = Path("/dev/shm" if os.access("/dev/shm", os.W_OK) else tempfile.gettempdir())
NODE_APP = ROOT / "examples/node/server.js"
ADMIN = "127.0.0.1:29464"
PORT = 29000
PATIENCE = 30


def runtime(*words, workers=1, **variables):
    """The runtime with this program: words and variables."""
    env = {"RPM_INSTANCES": str(workers), "RPM_ADMIN_ADDR": ADMIN, "RPM_LOG_LEVEL": "warn"}
    return [RUNTIME, *words], {**env, **variables}


def tini(*words):
    return [shutil.which("tini"), "-s", "--", *words], {}


def pm2(*words, workers=None):
    """pm2-runtime, in cluster mode if `workers` is given; it needs a home directory of its own."""
    cluster = ["-i", str(workers)] if workers else ["--interpreter", "none"]
    head, *tail = words
    return [PM2, "start", head, *cluster, *(["--", *tail] if tail else [])], {}


@contextlib.contextmanager
def started(what, stdout=subprocess.DEVNULL, **variables):
    """Starts (words, variables) and yields the process. Ends it and everything that it started."""
    words, more = what
    home = tempfile.mkdtemp(prefix="bench-")
    env = {"PATH": os.environ["PATH"], "PORT": str(PORT), "HOME": home, "PM2_HOME": home}
    env |= {name: str(value) for name, value in {**more, **variables}.items()}
    process = subprocess.Popen(
        [str(word) for word in words],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=None if os.environ.get("BENCH_STDERR") else subprocess.DEVNULL,
        start_new_session=True,
    )
    process.home = home
    try:
        yield process
    finally:
        end(process)
        shutil.rmtree(home, ignore_errors=True)


class Clients:
    """Runs examples/load.rs on the port, until the limit in its words or until it is told to stop."""

    def __init__(self, *words):
        words = [EXAMPLES / "load", f"127.0.0.1:{PORT}", *words]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([str(word) for word in words], stdin=pipe, stdout=pipe)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def report(self):
        """Stops the clients, unless they have a limit of their own, and returns their results."""
        try:
            said, _ = self.process.communicate(timeout=300)
        except subprocess.TimeoutExpired:
            sys.exit("bench: the clients did not end")
        return json.loads(said)


def end(process):
    below = descendants(process.pid)
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for pid, started_at in below:
        # A process that survived. A reused PID has another start time.
        if start_of(pid) == started_at:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def stat(pid):
    """Fields of /proc/PID/stat from the third on, or None."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def start_of(pid):
    fields = stat(pid)
    return fields and fields[19]


def descendants(pid):
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := stat(entry)):
            parents.setdefault(int(fields[1]), []).append((int(entry), fields[19]))
    found, todo = [], [pid]
    while todo:
        below = parents.get(todo.pop(), [])
        found += below
        todo += [child for child, _ in below]
    return found


def children(pid):
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def cpu(pid):
    """CPU time of all threads of a process, seconds."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def memory(pid):
    """Resident and proportional memory in kB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    values = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    return values["Rss"], values["Pss"]


def until(what, condition, patience=PATIENCE, pause=0.002):
    limit = time.monotonic() + patience
    while time.monotonic() < limit:
        if value := condition():
            return value
        time.sleep(pause)
    sys.exit(f"bench: never came true: {what}")


def get(path="/", address=None):
    """The body of an answer with status 200, or None."""
    try:
        with urllib.request.urlopen(f"http://{address or f'127.0.0.1:{PORT}'}{path}", timeout=5) as answer:
            return answer.read()
    except (urllib.error.URLError, OSError):
        return None


def idle_share(seconds=0.25):
    """The idle share of the machine at this moment."""

    def read():
        values = [int(value) for value in open("/proc/stat").readline().split()[1:]]
        return values[3] + values[4], sum(values)

    idle, total = read()
    time.sleep(seconds)
    now_idle, now_total = read()
    return (now_idle - idle) / max(now_total - total, 1)


noisy = [0, 0]


def quiet(patience=float(os.environ.get("BENCH_QUIET", "15"))):
    """Waits until the machine is idle. Gives up after a while and counts that."""
    limit = time.monotonic() + patience
    noisy[0] += 1
    while idle_share() < 0.9:
        if time.monotonic() > limit:
            noisy[1] += 1
            return


def median(values, digits=1):
    return round(statistics.median(values), digits)


def table(title, head, rows):
    """Prints a Markdown table."""
    print(f"\n### {title}\n")
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |", flush=True)
    if noisy[1]:
        print(f"\n{noisy[1]} of {noisy[0]} runs began while something else used the machine.")
    noisy[:] = 0, 0


def begin(name, needs=()):
    """Prints the machine and its load. Fails if something is missing."""
    missing = [str(path) for path in [RUNTIME, EXAMPLES / "flood", *needs] if not Path(path or "").exists()]
    if missing:
        sys.exit(f"bench: missing {', '.join(missing)}; `make bench` builds and installs all of it")
    # One comparison at a time: they use the same port and need the whole machine.
    (ROOT / "target/bench").mkdir(parents=True, exist_ok=True)
    lock = open(ROOT / "target/bench/lock", "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("bench: another comparison runs; waiting for its end", file=sys.stderr)
        fcntl.flock(lock, fcntl.LOCK_EX)
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    load = os.getloadavg()[0]
    print(f"\n## {name}\n\n{os.cpu_count()} x {model}, Linux {platform.release()}, load before {load:.2f}", flush=True)
    return lock
