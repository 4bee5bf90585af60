#!/usr/bin/env python3
"""Throughput and cost of the merged log; every line is counted at the end.

Without words it runs everything; with `ours` or `others` a part; with `--tiny` it only checks that every command
works.
"""

import os
import re
import shutil
import sys
import tempfile
import time

from common import *

FLOOD = EXAMPLES / "flood"
NODE_FLOOD = Path(__file__).with_name("flood.js")
# The content of Debian's package, unpacked; installing it would create users and a service directory.
SVLOGD = shutil.which("svlogd") or ROOT / "target/bench/runit/usr/bin/svlogd"
TINY = "--tiny" in sys.argv
# After this time everything is measured only once, so that the whole ends in time.
HURRY = time.monotonic() + 240
# Avoid disk access.
MEMORY_DISK = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


class Pipe:
    """Counts what arrives, with as little work as possible in Python."""

    def __init__(self, ready=b"ready\n", mark=b"\n", marks=lambda length: 1):
        self.end, self.write = os.pipe()
        fcntl.fcntl(self.end, fcntl.F_SETPIPE_SZ, 1 << 20)
        os.set_blocking(self.end, False)
        self.ready, self.mark, self.marks = ready, mark, marks
        self.newlines = 0

    def count(self, what, goal, limit):
        """Reads until `what` arrived `goal` times, or nothing arrives for some seconds. Returns when the last one
        arrived.
        """
        count, begin = 0, time.monotonic()
        last = begin
        while count < goal:
            try:
                chunk = os.read(self.end, 1 << 20)
            except BlockingIOError:
                if time.monotonic() - last > 5 or time.monotonic() - begin > limit:
                    break
                time.sleep(0.0005)
                continue
            if not chunk:
                break
            here = chunk.count(what)
            count += here
            self.newlines += here if what == b"\n" else chunk.count(b"\n")
            last = time.monotonic()
        return count, last

    def started(self):
        os.close(self.write)

    def wait_ready(self, writers):
        if self.count(self.ready, writers, 60)[0] < writers:
            sys.exit("bench: the writers never started")
        self.rest()
        self.newlines = 0

    def wait_lines(self, lines, length, limit):
        return self.count(self.mark, lines * self.marks(length), limit)[1]

    def rest(self):
        """Reads what still arrives."""
        time.sleep(0.05)
        with contextlib.suppress(BlockingIOError):
            self.newlines += os.read(self.end, 1 << 20).count(b"\n")

    def result(self, length):
        """The number of received lines. Torn lines cannot be detected here."""
        self.rest()
        return self.newlines, 0

    def close(self):
        os.close(self.end)


class Directory:
    """A directory into which a logger writes its files."""

    write = None

    def __init__(self):
        self.path = Path(tempfile.mkdtemp(prefix="bench-log-", dir=MEMORY_DISK))

    def files(self):
        return [path for path in self.path.iterdir() if path.name not in ("lock", "state", "config")]

    def size(self):
        total = 0
        for path in self.files():
            with contextlib.suppress(FileNotFoundError):
                total += path.stat().st_size
        return total

    def started(self):
        pass

    def wait_ready(self, writers):
        until("the writers start", lambda: self.size() >= writers * len("ready\n"), 60)
        self.before = self.size()

    def wait_lines(self, lines, length, limit):
        begin = last = time.monotonic()
        size, goal = 0, self.before + lines * length
        while size < goal and last - begin < limit:
            time.sleep(0.001)
            now = self.size()
            if now != size:
                size, last = now, time.monotonic()
            elif time.monotonic() - last > 5:
                break
        return last

    def result(self, length):
        """The number of received lines, and of those that differ from what was written."""
        came, torn = 0, 0
        whole = b"x" * (length - 1)
        for path in self.files():
            lines = path.read_bytes().split(b"\n")
            lines = [line for line in lines[:-1] if line != b"ready"]
            came += len(lines)
            torn += len(lines) - lines.count(whole)
        return came, torn

    def close(self):
        shutil.rmtree(self.path)


def high_water(pid):
    """Peak resident memory, MB."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s*(\d+)", text)[1]) / 1000


def measure(what, make, writers, lines, length, limit):
    """Received lines, torn lines, million lines a second, CPU seconds of the manager for a million lines, and its
    memory.
    """
    quiet(3)
    go = tempfile.mktemp(prefix="bench-go-")
    sink = make()
    try:
        words = what(go, getattr(sink, "path", None))
        with started(words, stdout=sink.write or subprocess.DEVNULL) as process:
            sink.started()
            sink.wait_ready(writers)
            before, begin = cpu(process.pid), time.monotonic()
            Path(go).touch()
            finish = sink.wait_lines(writers * lines, length, limit)
            spent, memory = cpu(process.pid) - before, high_water(process.pid)
            came, torn = sink.result(length)
    finally:
        Path(go).unlink(missing_ok=True)
        sink.close()
    million = writers * lines / 1e6
    return came, torn, million / max(finish - begin, 1e-9), spent / million, memory


# How to start each case, given what it writes to: (go, directory) -> (words, variables).


def ours(form, **variables):
    def make(length, lines, writers):
        words = [FLOOD, str(lines), str(length), "--go"]
        return lambda go, _: runtime(
            *words, go, workers=writers, RPM_PORTS="off", RPM_LOG_FORMAT=form, **variables
        )

    return make


def ours_into_file(length, lines, writers):
    words = [FLOOD, str(lines), str(length), "--go"]
    rotation = {"RPM_LOG_ROTATE_SIZE": "16777215", "RPM_LOG_ROTATE_EVERY": "off", "RPM_LOG_RETAIN": "all"}
    return lambda go, directory: runtime(
        *words, go, workers=writers, RPM_PORTS="off", RPM_LOG_FILE=directory / "all.log", **rotation
    )


def ours_with_node(length, lines, writers):
    return lambda go, _: runtime("node", NODE_FLOOD, str(lines), str(length), go, workers=writers, RPM_PORTS="off")


def shared_pipe(logger):
    """The writers share one pipe into a logger, so their lines may tear."""

    def make(length, lines, writers):
        script = 'exec ' + logger + ' < <(for i in $(seq "$1"); do "$0" "$2" "$3" 8192 --go "$4" & done; wait)'
        return lambda go, directory: (["bash", "-c", script, FLOOD, writers, lines, length, go, directory], {})

    return make


# The same rotation as ours. `config` is the file that svlogd reads it from.
S6_LOG = shared_pipe('s6-log n1000000 s16777215 "$5"')
SVLOGD_LOG = shared_pipe(f'"{SVLOGD}" "$5"')


def svlogd(length, lines, writers):
    inner = SVLOGD_LOG(length, lines, writers)

    def make(go, directory):
        (directory / "config").write_text("s16777215\nn1000000\n")
        return inner(go, directory)

    return make


def pm2_fork(*flags):
    def make(length, lines, writers):
        def words(go, _):
            head = [PM2, "start", FLOOD, "--interpreter", "none", "-i", str(writers), *flags]
            return [*head, "--", str(lines), str(length), "--go", go], {}

        return words

    return make


def pm2_cluster(*flags):
    def make(length, lines, writers):
        def words(go, _):
            head = [PM2, "start", NODE_FLOOD, "-i", str(writers), *flags]
            return [*head, "--", str(lines), str(length), go], {}

        return words

    return make


def json_pipe():
    return Pipe(ready=b'"ready"')


def pm2_json_pipe():
    # Several lines become one record, so only the text itself shows when everything has arrived.
    return Pipe(ready=b"ready", mark=b"x", marks=lambda length: length - 1)


def row(name, length, writers, lines, what, sink, rounds=3, limit=20):
    words = what(length, lines, writers)
    results = []
    for _ in range(1 if TINY else rounds):
        results.append(measure(words, sink, writers, lines, length, limit))
        if time.monotonic() > HURRY:
            break
    wanted = writers * lines
    wrong = max((came - wanted for came, *_ in results), key=abs)
    torn = max(result[1] for result in results)
    rate, spent, memory = (median([result[at] for result in results], digits) for at, digits in [(2, 3), (3, 3), (4, 1)])
    lost = "none" if not wrong else f"{wrong:+} of {wanted}"
    return [name, length, writers, rate, spent, memory, lost, torn or ("none" if sink is Directory else "-")]


SIZES = [(length, writers) for length in [20, 100, 1000] for writers in [1, 4, 16]]


def share(total, length, writers, most):
    """Number of lines for each writer: from a total of bytes, but with an upper limit."""
    return (1600 if TINY else min(total // length, most)) // writers


def rows_of(table):
    for length, writers in SIZES:
        for name, what, sink, total, most, rounds in table:
            yield row(name, length, writers, share(total, length, writers, most), what, sink, rounds)


OURS = [
    ("rpm-runtime raw", ours("raw"), Pipe, 200_000_000, 4_000_000, 3),
    ("rpm-runtime json", ours("json"), json_pipe, 100_000_000, 2_000_000, 3),
    ("rpm-runtime prefix", ours("prefix"), Pipe, 100_000_000, 2_000_000, 1),
]

LOGGERS = [
    ("cat", shared_pipe("cat"), Pipe, 200_000_000, 4_000_000, 2),
    ("rpm-runtime raw, into files", ours_into_file, Directory, 200_000_000, 4_000_000, 2),
    ("s6-log", S6_LOG, Directory, 200_000_000, 4_000_000, 2),
    ("svlogd", svlogd, Directory, 200_000_000, 1_000_000, 2),
]

MANAGERS = [
    ("pm2-runtime fork, raw", pm2_fork(), Pipe, 40_000_000, 400_000, 1),
    ("pm2-runtime fork, json", pm2_fork("--json"), pm2_json_pipe, 20_000_000, 200_000, 1),
    ("pm2-runtime cluster, raw, Node", pm2_cluster(), Pipe, 20_000_000, 100_000, 1),
    ("pm2-runtime cluster, json, Node", pm2_cluster("--json"), pm2_json_pipe, 20_000_000, 100_000, 1),
    ("rpm-runtime raw, the same Node program", ours_with_node, Pipe, 20_000_000, 100_000, 1),
]


def main():
    missing = [] if shutil.which("s6-log") else [None]
    held = begin("Merged log", [PM2, SVLOGD, *missing])
    head = ["what", "bytes", "writers", "M lines/s", "CPU s for a million", "MB at most", "lines lost (-) or torn in two (+)", "torn"]
    begun = time.monotonic()
    every = not {"ours", "others"} & set(sys.argv)
    if every or "ours" in sys.argv:
        table("Writes of 8 KiB; CPU and memory of the manager", head, rows_of(OURS))
    if every or "others" in sys.argv:
        table("Beside loggers; the writers of the others share one pipe", head, rows_of(LOGGERS))
        table("Beside pm2-runtime", head, rows_of(MANAGERS))
    print(f"\n{time.monotonic() - begun:.0f} s in all", flush=True)
    del held


if __name__ == "__main__":
    main()
