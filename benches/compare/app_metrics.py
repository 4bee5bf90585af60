#!/usr/bin/env python3
"""Cost of a scrape that includes the metrics of all workers: 200 series each, requested, merged and written at every
scrape.

`app_metrics.py [workers|cluster] [WORKERS...]`: `workers` runs a small Rust program under the runtime (4, 64 and 512
workers, or the given numbers); `cluster` runs a Node program with prom-client, 4 times under the runtime, and 4
times under Node's cluster with prom-client's AggregatorRegistry. The default is both. BENCH_RUNTIME, BENCH_EXAMPLES
and BENCH_ROUNDS select other builds and the number of measurements.
"""

import http.client
import multiprocessing
import statistics
import time

from common import *

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "30"))
SERIES = 200
# Scrapes before the measurement: programs with a just-in-time compiler, such as Node, get faster.
WARM = 30
PAUSE = 0.05
# How long to request /livez, seconds.
HELD = 3.0

PROM_CLIENT = ROOT / "target/node/node_modules/prom-client/package.json"
SERIES_JS = ROOT / "benches/compare/series.js"
CLUSTER_JS = ROOT / "benches/compare/cluster.js"

# Long enough that all workers answer, even on a busy machine.
PATIENT = {"X-Prometheus-Scrape-Timeout-Seconds": "60"}
TEXT = PATIENT
# As Prometheus asks.
OPENMETRICS = PATIENT | {
    "Accept": "application/openmetrics-text;version=1.0.0;q=0.9,text/plain;version=0.0.4;q=0.5",
    "Accept-Encoding": "gzip",
}


class Page:
    """A page, fetched over one connection that stays open."""

    def __init__(self, path, headers=TEXT):
        host, port = ADMIN.split(":")
        self.path, self.headers = path, headers
        self.admin = http.client.HTTPConnection(host, int(port), timeout=60)

    def get(self):
        self.admin.request("GET", self.path, headers=self.headers)
        answer = self.admin.getresponse()
        body = answer.read()
        if answer.status != 200:
            sys.exit(f"bench: {self.path} answered {answer.status}: {body[:200]}")
        return body

    def seconds(self):
        begin = time.monotonic()
        self.get()
        return time.monotonic() - begin


def value(body, series):
    """The sum of all series whose line begins like this."""
    lines = body.decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(series))


def samples(body):
    return sum(1 for line in body.splitlines() if line and not line.startswith(b"#"))


def status(pid, field):
    """Memory in kB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field + ":"))


def loop(pid):
    """CPU time of the main thread, seconds; in the runtime, that is the event loop."""
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0]) / 1e9


def below(pid):
    """CPU time of all its children, seconds."""
    return sum(cpu(child) for child in children(pid))


def measured(page, pid):
    """Median, 95th percentile and longest time of a scrape; CPU time per scrape of the process, of its main thread and
    of its children; all in ms. And the last page.
    """
    for _ in range(WARM):
        page.get()
    counted = (cpu, loop, below)
    times, before = [], [count(pid) for count in counted]
    for _ in range(ROUNDS):
        time.sleep(PAUSE)
        begin = time.monotonic()
        body = page.get()
        times.append((time.monotonic() - begin) * 1e3)
    spent = [round((count(pid) - then) * 1e3 / ROUNDS, 2) for count, then in zip(counted, before)]
    return [median(times, 2), percentile(times, 95), round(max(times), 2), *spent], body


def percentile(values, which):
    return round(statistics.quantiles(values, n=100, method="inclusive")[which - 1], 2)


def scrape_for_ever(path):
    page = Page(path)
    while True:
        page.get()


def livez(path=None):
    """Median, 99th percentile and longest time of /livez in ms, while another process scrapes `path` without a pause."""
    scraper = path and multiprocessing.Process(target=scrape_for_ever, args=[path], daemon=True)
    if scraper:
        scraper.start()
        time.sleep(0.3)
    page, times, limit = Page("/livez"), [], time.monotonic() + HELD
    while time.monotonic() < limit:
        times.append(page.seconds() * 1e3)
        time.sleep(0.002)
    if scraper:
        if not scraper.is_alive():
            sys.exit("bench: the scrapes ended")
        scraper.kill()
        scraper.join()
    return [median(times, 2), percentile(times, 99), round(max(times), 2)]


def is_merged(workers):
    """Checks that all workers answer and that the sums are right."""
    page = Page("/metrics")
    until("all serve", lambda: value(page.get(), "rpm_metrics_worker_scrape_success") == workers, 120)
    one, other = (value(page.get(), "http_requests_total{") for _ in range(2))
    if not other >= one + workers * 90:
        sys.exit(f"bench: the workers' counters went from {one} to {other}")


def asked(program, workers):
    variables = {"RPM_READY": "listen", "RPM_APP_METRICS": "/metrics", "RPM_APP_METRICS_INTERVAL": "0"}
    return runtime(*program, workers=workers, SERIES=SERIES, **variables)


def rows(workers):
    """Cost of the runtime's own page and of the merged page, and their effect on /livez."""
    times, held = [], []
    quiet()
    with started(asked([EXAMPLES / "series_server"], workers)) as process:
        until("all ready", lambda: get("/readyz", ADMIN), 120)
        is_merged(workers)
        idle = livez()
        for name, path, headers in [
            ("runtime only, text", "/metrics/runtime", TEXT),
            ("merged, text", "/metrics", TEXT),
            ("merged, OpenMetrics, gzip", "/metrics", OPENMETRICS),
        ]:
            quiet()
            cost, body = measured(Page(path, headers), process.pid)
            count = samples(body) if headers is TEXT else count
            times.append([workers, name, *cost, count, len(body), status(process.pid, "VmRSS")])
        quiet()
        during = livez("/metrics")
        held.append([workers, *idle, *during, status(process.pid, "VmRSS"), status(process.pid, "VmHWM")])
    return times, held


def node(what, pages, workers=4):
    """A row for each of the named pages; the first is the one with the workers' metrics."""
    quiet()
    with started(what, METRICS_PORT=ADMIN.split(":")[1], WORKERS=workers) as process:
        page = Page(next(iter(pages.values())))
        # This counts the readings of each worker, so it grows each time by the number of workers that answer.
        readings = 'http_requests_total{method="GET",route="/api/v1/things/0",status="200"}'

        def answering():
            one, other = (value(page.get(), readings) for _ in range(2))
            return other - one

        until("it answers", lambda: get(page.path, ADMIN), 60)
        until("all answer", lambda: answering() == workers, 60)
        rows = []
        for name, path in pages.items():
            quiet()
            cost, body = measured(Page(path), process.pid)
            memory = [status(process.pid, field) for field in ("VmRSS", "VmHWM")]
            rows.append([name, *cost, samples(body), len(body), *memory])
        return rows


def main():
    words = sys.argv[1:]
    parts = [word for word in words if not word.isdigit()] or ["workers", "cluster"]
    sizes = [int(word) for word in words if word.isdigit()] or [4, 64, 512]
    lock = begin("Scrape with the workers' metrics", [EXAMPLES / "series_server", PROM_CLIENT])
    head = ["scrape, ms", "p95", "most", "CPU ms a scrape", "of it the main thread", "workers' CPU ms", "series", "bytes"]
    if "workers" in parts:
        both = [rows(workers) for workers in sizes]
        table(
            f"{SERIES} series a worker; {ROUNDS} scrapes each, medians",
            ["workers", "page", *head, "RSS kB"],
            (row for times, _ in both for row in times),
        )
        table(
            f"/livez, asked every 2 ms for {HELD:g} s, without scrapes and beside back-to-back scrapes of /metrics",
            ["workers", "median, ms", "p99", "most", "beside scrapes: median, ms", "p99", "most", "RSS kB", "VmHWM kB"],
            (row for _, held in both for row in held),
        )
    if "cluster" in parts:
        ours = {"rpm-runtime, plain registry": "/metrics", "of it the runtime's own page": "/metrics/runtime"}
        theirs = {"Node cluster, AggregatorRegistry": "/"}
        table(
            f"prom-client in 4 Node workers; {ROUNDS} scrapes each, medians; CPU and memory of the parent",
            ["what", *head, "RSS kB", "VmHWM kB"],
            [*node(asked(["node", SERIES_JS], 4), ours), *node((["node", CLUSTER_JS], {}), theirs)],
        )
    del lock


if __name__ == "__main__":
    main()
