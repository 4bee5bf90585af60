#!/usr/bin/env python3
"""Cost of the scrape that merges the files of prometheus_client's multiprocess mode which ended processes have left.

`multiproc.py [FILES...]`: so many files (1 000, 4 000, 16 000, or the given numbers), two of each process, with 20 series
each. The runtime reads them once, counts them and removes them. BENCH_RUNTIME selects another build, BENCH_ROUNDS the
number of measurements.
"""

import struct

from common import *

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
SERIES = 20
# Above every PID that a kernel gives.
FIRST = 1 << 30


def content(kind, name):
    """A file of prometheus_client, with times."""
    body = b""
    for number in range(SERIES):
        key = json.dumps([name, name + kind, {"path": f"/{number}"}, "Help."]).encode()
        pad = b" " * (8 - (4 + len(key)) % 8)
        body += struct.pack("i", len(key)) + key + pad + struct.pack("dd", number, 0)
    return struct.pack("ii", len(body) + 8, 0) + body


COUNTER = content("_total", "requests")
GAUGE = content("", "in_work")


def leave(directory, files):
    for process in range(files // 2):
        (directory / f"counter_{FIRST + process}.db").write_bytes(COUNTER)
        (directory / f"gauge_sum_{FIRST + process}.db").write_bytes(GAUGE)


def fetch():
    begin = time.monotonic()
    request = urllib.request.Request(
        f"http://{ADMIN}/metrics", headers={"X-Prometheus-Scrape-Timeout-Seconds": "60"}
    )
    page = urllib.request.urlopen(request, timeout=60).read().decode()
    return time.monotonic() - begin, page


def measure(files):
    with tempfile.TemporaryDirectory(dir=FAST) as name:
        directory = Path(name)
        what = runtime(
            "sleep",
            "1000000",
            RPM_APP_METRICS="multiproc",
            RPM_APP_METRICS_INTERVAL="0s",
            RPM_PORTS="off",
            PROMETHEUS_MULTIPROC_DIR=directory,
        )
        with started(what) as process:
            until("the admin endpoints answer", lambda: get("/livez", ADMIN))
            took = []
            for round in range(1, ROUNDS + 1):
                leave(directory, files)
                before = cpu(process.pid)
                seconds, page = fetch()
                used = cpu(process.pid) - before
                wanted = f'requests_total{{path="/19"}} {19 * round * files // 2}\n'
                if wanted not in page or any(directory.iterdir()):
                    sys.exit(f"bench: not all were counted and removed: {wanted}")
                took.append((seconds, used))
            return [statistics.median(column) for column in zip(*took)]


def main():
    held = begin("Files of ended processes (multiproc)")
    counts = [int(word) for word in sys.argv[1:]] or [1000, 4000, 16000]
    rows = ([files, *(round(1e3 * value, 1) for value in measure(files))] for files in counts)
    table(f"/metrics; medians of {ROUNDS}", ["files", "scrape, ms", "CPU ms"], rows)
    del held


if __name__ == "__main__":
    main()
