"""A server that counts for itself, with prometheus_client as anybody uses it (pip install prometheus-client); it knows
nothing of workers. /add and /take stand for a queue of jobs.

Its numbers are at /metrics, and with METRICS_PORT on a port of their own too.
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
        # A series for each path that somebody may think of would be too many.
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
