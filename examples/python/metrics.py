"""A server that exports its metrics with prometheus_client in the usual way (pip install prometheus-client). It knows
nothing of workers. /add and /take simulate a queue of jobs.

Its metrics are at /metrics, and with METRICS_PORT also on a separate port.
"""

import os
from http.server import ThreadingHTTPServer

from prometheus_client import Counter, Gauge, Histogram, MetricsHandler, start_http_server

requests = Counter("app_requests", "Requests answered.", ["path"])
duration = Histogram(
    "app_request_duration_seconds", "Time that a request takes.", buckets=[0.001, 0.01, 0.1, 1, 10]
)
queue = Gauge("app_queue_length", "Jobs that wait.")

work = {"/": lambda: None, "/add": queue.inc, "/take": queue.dec}


class Handler(MetricsHandler):
    def do_GET(self):
        if self.path == "/metrics":
            return super().do_GET()
        # A label value for each possible path would create too many series.
        path = self.path if self.path in work else "other"
        with duration.time():
            work.get(path, work["/"])()
        requests.labels(path).inc()
        self.send_response(404 if path == "other" else 200)
        self.end_headers()
        self.wfile.write(b"hello\n")


port = int(os.environ.get("PORT") or 3000)
server = ThreadingHTTPServer(("", port), Handler)
if metrics_port := os.environ.get("METRICS_PORT"):
    start_http_server(int(metrics_port))
print(f"listening on {port}", flush=True)
server.serve_forever()
