"""A server that keeps its metrics in files, with prometheus_client (pip install prometheus-client) under
RPM_APP_METRICS=multiproc. It knows nothing of workers. /add and /take simulate a queue of jobs.

It has no page for its metrics: the runtime reads the files. A forked child would be counted in the same way.
"""

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import Counter, Gauge, Histogram

requests = Counter("app_requests", "Requests answered.", ["path"])
duration = Histogram(
    "app_request_duration_seconds", "Time that a request takes.", buckets=[0.001, 0.01, 0.1, 1, 10]
)
# One series for all workers; without a mode there would be one for each process.
queue = Gauge("app_queue_length", "Jobs that wait.", multiprocess_mode="livesum")

work = {"/": lambda: None, "/add": queue.inc, "/take": queue.dec}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        # A label value for each possible path would create too many series.
        path = self.path if self.path in work else "other"
        with duration.time():
            work.get(path, work["/"])()
        requests.labels(path).inc()
        self.send_response(404 if path == "other" else 200)
        self.end_headers()
        self.wfile.write(b"hello\n")

    def log_message(self, format, *args):
        pass


port = int(os.environ.get("PORT") or 3000)
server = ThreadingHTTPServer(("", port), Handler)
print(f"listening on {port}", flush=True)
server.serve_forever()
