"""A server that counts in files, with prometheus_client (pip install prometheus-client) under RPM_APP_METRICS=multiproc;
it knows nothing of workers. /add and /take stand for a queue of jobs.

It has no page for its numbers: the runtime reads the files. What it forks would count in just the same way.
"""

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import Counter, Gauge, Histogram

requests = Counter("app_requests", "Requests answered.", ["path"])
duration = Histogram(
    "app_request_duration_seconds", "Time that a request takes.", buckets=[0.001, 0.01, 0.1, 1, 10]
)
# One series for all workers; without a mode it would be one for each.
queue = Gauge("app_queue_length", "Jobs that wait.", multiprocess_mode="livesum")

work = {"/": lambda: None, "/add": queue.inc, "/take": queue.dec}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        # A series for each path that somebody may think of would be too many.
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
