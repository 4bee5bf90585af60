"""A WSGI application that counts its requests; for gunicorn. /pid is not counted."""

import os

from prometheus_client import Counter, Gauge, Histogram

requests = Counter("app_requests", "Requests answered.", ["path"])
duration = Histogram(
    "app_request_duration_seconds", "Time that a request takes.", buckets=[0.001, 0.01, 0.1, 1, 10]
)
queue = Gauge("app_queue_length", "Jobs that wait.", multiprocess_mode="livesum")


def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path != "/pid":
        with duration.time():
            if path == "/add":
                queue.inc()
        requests.labels(path).inc()
    body = b"%d\n" % os.getpid()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
