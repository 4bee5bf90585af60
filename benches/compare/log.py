#!/usr/bin/env python3
"""Lines a second through the merged log, and what they cost; every line is counted at the end."""

import os
import sys
import tempfile
import time

from common import *

FLOOD = EXAMPLES / "flood"
NODE_FLOOD = Path(__file__).with_name("flood.js")


class Reader:
    """Counts what arrives, as cheaply as Python can."""

    def __init__(self):
        self.end, self.write = os.pipe()
        fcntl.fcntl(self.end, fcntl.F_SETPIPE_SZ, 1 << 20)
        os.set_blocking(self.end, False)

    def count(self, what, goal, limit):
        """Reads until `what` came `goal` times, or nothing for some seconds; how often, and when the last."""
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
            count += chunk.count(what)
            last = time.monotonic()
        return count, last

    def rest(self):
        """Lines that still come."""
        time.sleep(0.05)
        with contextlib.suppress(BlockingIOError):
            return os.read(self.end, 1 << 20).count(b"\n")
        return 0


def measure(what, writers, lines, limit):
    """Lines that came, M lines a second, and CPU seconds of the supervisor for a million lines."""
    quiet()
    go = tempfile.mktemp(prefix="bench-go-")
    reader = Reader()
    try:
        with started(what(go), stdout=reader.write) as process:
            os.close(reader.write)
            if reader.count(b"ready\n", writers, 30)[0] != writers:
                sys.exit("bench: the writers never started")
            reader.rest()
            before, begin = cpu(process.pid), time.monotonic()
            Path(go).touch()
            came, finish = reader.count(b"\n", writers * lines, limit)
            spent = cpu(process.pid) - before
            came += reader.rest()
    finally:
        Path(go).unlink(missing_ok=True)
        os.close(reader.end)
    million = came / 1e6
    return came, million / (finish - begin) if came else 0, spent / million if came else 0


def ours(length, lines, writers, form):
    return lambda go: runtime(
        FLOOD, str(lines), str(length), "--go", go, workers=writers, RPM_PORTS="off", RPM_LOG_FORMAT=form
    )


def cat(length, lines, writers):
    """The writers share one pipe, and their lines may tear: the least that any program between must do."""
    script = 'exec cat < <(for i in $(seq "$1"); do "$0" "$2" "$3" 8192 --go "$4" & done; wait)'
    return lambda go: (["bash", "-c", script, FLOOD, writers, lines, length, go], {})


def row(name, length, writers, lines, what, rounds=3, limit=20):
    results = [measure(what, writers, lines, limit) for _ in range(rounds)]
    wanted = writers * lines
    wrong = {came - wanted for came, _, _ in results} - {0}
    rate, spent = (median([result[at] for result in results], 3) for at in [1, 2])
    return [name, length, writers, rate, spent, "none" if not wrong else f"{min(wrong):+} of {wanted}"]


def main():
    """Without words all of it; with `others` only the second table."""
    held = begin("Merged log", [PM2])
    head = ["what", "bytes", "writers", "M lines/s", "CPU s for a million", "lines lost (-) or torn in two (+)"]
    quick = "--quick" in sys.argv
    total = 40_000_000 if quick else 200_000_000
    rows = []
    for length in [] if "others" in sys.argv else [20, 100, 1000]:
        for writers in [1, 4, 16]:
            lines = min(total // length, 6_000_000) // writers
            for form in ["raw", "prefix"]:
                rows.append(row(f"rpm-runtime {form}", length, writers, lines, ours(length, lines, writers, form)))
    if rows:
        table("Writes of 8 KiB; CPU of the runtime, all its threads", head, rows)
    rows = []
    for length, writers in [(100, 1), (100, 4)]:
        lines = min(total // length, 6_000_000) // writers
        rows.append(row("cat (its own CPU)", length, writers, lines, cat(length, lines, writers)))
    words = [FLOOD, "400000", "100", "--go"]
    rows.append(row("pm2-runtime fork, raw", 100, 1, 400_000, lambda go: pm2(*words, go), limit=30))
    for writers in [1, 4]:
        few = 200_000 // writers
        node = lambda go, n=few: [NODE_FLOOD, str(n), "100", go]
        rows.append(row("pm2-runtime cluster, raw, Node", 100, writers, few, lambda go: pm2(*node(go), workers=writers), limit=30))
        rows.append(row("rpm-runtime raw, the same Node program", 100, writers, few, lambda go: runtime("node", *node(go), workers=writers, RPM_PORTS="off")))
    table("Beside others", head, rows)
    del held


if __name__ == "__main__":
    main()
