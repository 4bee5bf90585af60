"""Draws panels of the dashboard from a real Prometheus: `metrics.py RUNTIME TARGET.svg`; see scripts/pictures.

Starts RUNTIME with four workers of a small Node program, sends load, and triggers some events while a Prometheus
scrapes it. The titles and the queries are those of charts/rpm-runtime/dashboards/rpm-runtime.json.
"""

import http.client
import json
import math
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from html import escape
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parents[2]
DASHBOARD = ROOT / "charts/rpm-runtime/dashboards/rpm-runtime.json"
PANELS = [
    "Up and wanted", "States",
    "Ends by cause", "Time to drain",
    "Listen queue", "Connections by worker",
    "CPU", "Resident memory",
    "Lines", "Read with success",
    "Time to read",
]
# Metrics of the program itself.
ANSWERS = {
    "title": "What the program counts: rate(shop_requests_total)",
    "targets": [{"expr": "rate(shop_requests_total[$__rate_interval])", "legendFormat": ""}],
    "fieldConfig": {"defaults": {"unit": "short", "custom": {"lineInterpolation": "linear", "drawStyle": "line"}}},
}
# Answers after some work and writes a log line. Exports the number of answers.
PROGRAM = """
let requests = 0;
require('http').createServer((request, answer) => {
  if (request.url === '/metrics') {
    answer.setHeader('Content-Type', 'text/plain; version=0.0.4');
    return answer.end(`# TYPE shop_requests_total counter\\nshop_requests_total ${requests}\\n`);
  }
  requests++;
  const until = performance.now() + 2;
  while (performance.now() < until);
  console.log(request.url);
  setTimeout(() => answer.end('ok'), 20);
}).listen(process.env.PORT)
"""
CLIENTS = 24
PAUSE = 0.12
STEP = 1
# Lines of a graph that are limits and are drawn dashed.
LIMITS = ("wanted", "limit")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(port, path):
    with urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        return json.load(answer)


def wait_for(port, path):
    for _ in range(300):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", path)
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        time.sleep(0.1)
    sys.exit(f"nobody answers {path}")


def client(port, over):
    """Uses a new connection for each request, like a simple load balancer."""
    while not over.is_set():
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            connection.request("GET", "/basket?item=1")
            connection.getresponse().read()
            connection.close()
        except OSError:
            pass
        over.wait(PAUSE)


def slot(admin, number):
    return next(one["pid"] for one in ask(admin, "/status")["slots"] if one["slot"] == number)


def happenings(runtime, admin):
    """The events: what happens, at which second, and its label."""
    stalled = []

    def stall():
        stalled.append(slot(admin, 2))
        os.kill(stalled[0], signal.SIGSTOP)

    return [
        (20, "kill", lambda: os.kill(slot(admin, 1), signal.SIGKILL)),
        (45, "reload", lambda: runtime.send_signal(signal.SIGHUP)),
        (85, "one stands still", stall),
        (105, None, lambda: os.kill(stalled[0], signal.SIGCONT)),
        (120, "+2", lambda: runtime.send_signal(signal.SIGTTIN)),
        (121, None, lambda: runtime.send_signal(signal.SIGTTIN)),
        (150, None, lambda: None),
    ]


def observe(binary, directory):
    """Runs everything. Returns the data of each panel, and the marks of the events."""
    port, admin, own = free_port(), free_port(), free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "PORT": str(port),
        "RPM_INSTANCES": "4",
        "RPM_ADMIN_ADDR": f"127.0.0.1:{admin}",
        "RPM_MIN_READY": "3s",
        "RPM_APP_METRICS": "/metrics",
    }
    (directory / "prometheus.yml").write_text(
        f"global: {{scrape_interval: {STEP}s, scrape_timeout: {STEP}s}}\n"
        "scrape_configs: [{job_name: shop, static_configs: "
        f"[{{targets: ['127.0.0.1:{admin}'], labels: {{instance: shop}}}}]}}]\n"
    )
    started, over = [], threading.Event()
    try:
        with (directory / "log").open("w") as log:
            runtime = subprocess.Popen([binary, "node", "-e", PROGRAM], env=environment, stdout=log, stderr=log)
            started.append(runtime)
            wait_for(admin, "/startupz")
            flags = ["--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address=127.0.0.1:{own}"]
            prometheus = subprocess.Popen(["prometheus", *flags], cwd=directory, stdout=log, stderr=log)
            started.append(prometheus)
        wait_for(own, "/-/ready")
        for _ in range(CLIENTS):
            threading.Thread(target=client, args=(port, over), daemon=True).start()
        # Rates need some history.
        time.sleep(10)
        begin, marks = time.time(), []
        for at, words, act in happenings(runtime, admin):
            time.sleep(max(0, begin + at - time.time()))
            if words:
                marks.append((at, words))
            act()
        end = time.time()
        return [graph(own, panel, begin, end) for panel in panels()], marks, end - begin
    finally:
        over.set()
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait()


def panels():
    found = {panel["title"]: panel for panel in json.loads(DASHBOARD.read_text())["panels"]}
    return [*(found[title] for title in PANELS), ANSWERS]


def graph(port, panel, begin, end):
    lines = []
    for target in panel["targets"]:
        query = re.sub(r'=~"\$\w+"', '=~".*"', target["expr"].replace("$__rate_interval", f"{4 * STEP}s"))
        wish = urlencode({"query": query, "start": begin, "end": end, "step": STEP})
        for series in ask(port, f"/api/v1/query_range?{wish}")["data"]["result"]:
            # There is only one instance.
            labels = {**series["metric"], "instance": ""}
            name = re.sub(r"{{(\w+)}}", lambda label: labels.get(label[1], ""), target["legendFormat"]).strip()
            points = [(when - begin, float(value)) for when, value in series["values"]]
            points = [(when, value) for when, value in points if math.isfinite(value)]
            if any(value for _, value in points):
                lines.append((name, points))
    # A limit far above the other lines would flatten them.
    highest = max((value for name, points in lines if not name.endswith(LIMITS) for _, value in points), default=1)
    near = [line for line in lines if not line[0].endswith(LIMITS) or max(v for _, v in line[1]) < 3 * highest]
    defaults = panel["fieldConfig"]["defaults"]
    custom = defaults["custom"]
    return {
        "title": panel["title"],
        "unit": defaults["unit"],
        "steps": custom["lineInterpolation"] == "stepAfter" or custom["drawStyle"] == "bars",
        "lines": sorted(near),
    }


STYLE = """
text { font: 11px system-ui, sans-serif; fill: #444 }
.title { font-weight: 600; font-size: 13px; fill: #222 }
.mark { fill: #777 }
.paper { fill: #fff }
.grid { stroke: #ddd } .event { stroke: #999; stroke-dasharray: 2 3 }
.line { fill: none; stroke-width: 1.5; stroke-linejoin: round } .limit { stroke-dasharray: 6 4 }
.c0 { stroke: #0072b2 } .c1 { stroke: #d55e00 } .c2 { stroke: #009e73 } .c3 { stroke: #cc79a7 }
.c4 { stroke: #e69f00 } .c5 { stroke: #56b4e9 } .c6 { stroke: #8c6d31 } .c7 { stroke: #777 }
@media (prefers-color-scheme: dark) {
  text { fill: #bbb } .title { fill: #eee } .mark { fill: #888 } .paper { fill: #16181d }
  .grid { stroke: #333 } .event { stroke: #666 } .c0 { stroke: #4aa3df }
}
"""
WIDTH, HEIGHT, LEFT, PLOT, GAP, TOP = 460, 190, 52, 110, 20, 34


def nice(highest):
    """A round number for a quarter of the height, so that the fourth grid line is at or above the highest value."""
    power = 10 ** math.floor(math.log10(highest / 4)) if highest > 0 else 0.25
    return next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor * 4 >= highest * 0.999)


def tick(value, unit):
    if unit == "bytes":
        return f"{value / 2**20:.0f} MiB"
    return f"{value:g}" + (" s" if unit == "s" else "")


def draw(panel, seconds, marks, left, top):
    width = WIDTH - LEFT - 10
    scale = 2**20 if panel["unit"] == "bytes" else 1
    highest = max((value for _, points in panel["lines"] for _, value in points), default=1)
    step = nice(highest / scale) * scale
    if panel["unit"] == "short" and step < 1:
        step = 1

    def x(when):
        return left + LEFT + width * when / seconds

    def y(value):
        return top + 26 + PLOT * (1 - value / (4 * step))

    out = [f'<text class="title" x="{left + LEFT}" y="{top + 14}">{escape(panel["title"])}</text>']
    for line in range(5):
        at = y(line * step)
        out.append(f'<path class="grid" d="M{left + LEFT} {at:.1f}h{width}"/>')
        label = tick(line * step, panel["unit"])
        out.append(f'<text text-anchor="end" x="{left + LEFT - 6}" y="{at + 4:.1f}">{label}</text>')
    for at, _ in marks:
        out.append(f'<path class="event" d="M{x(at):.1f} {top + 26}v{PLOT}"/>')
    place = left + LEFT
    for colour, (name, points) in enumerate(panel["lines"]):
        path, last = [], None
        for when, value in points:
            if last is None or when - last[0] > 2.5 * STEP:
                path.append(f"M{x(when):.1f} {y(value):.1f}")
            elif panel["steps"]:
                path.append(f"H{x(when):.1f}" + ("" if value == last[1] else f"V{y(value):.1f}"))
            else:
                path.append(f"L{x(when):.1f} {y(value):.1f}")
            last = (when, value)
        kind = f"line c{colour % 8}" + (" limit" if name.endswith(LIMITS) else "")
        out.append(f'<path class="{kind}" d="{"".join(path)}"/>')
        if name:
            out.append(f'<path class="{kind}" d="M{place} {top + PLOT + 42}h14"/>')
            out.append(f'<text x="{place + 18}" y="{top + PLOT + 46}">{escape(name)}</text>')
            place += 32 + 6.2 * len(name)
    return out


def picture(graphs, marks, seconds):
    rows = (len(graphs) + 1) // 2
    width, height = 2 * WIDTH + GAP, TOP + rows * HEIGHT
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
        f"<style>{STYLE}</style>",
        f'<rect class="paper" width="{width}" height="{height}"/>',
    ]
    for column in range(2):
        left = column * (WIDTH + GAP) + LEFT
        for at, words in marks:
            place = left + (WIDTH - LEFT - 10) * at / seconds
            out.append(f'<text class="mark" x="{place:.1f}" y="20">{escape(words)}</text>')
    for number, panel in enumerate(graphs):
        left, top = number % 2 * (WIDTH + GAP), TOP + number // 2 * HEIGHT
        out += draw(panel, seconds, marks, left, top)
    return "\n".join([*out, "</svg>\n"])


def main():
    binary, target = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    with tempfile.TemporaryDirectory() as directory:
        graphs, marks, seconds = observe(binary, Path(directory))
    target.write_text(picture(graphs, marks, seconds))
    print(f"{target}: {len(graphs)} panels, {seconds:.0f} s")


main()
