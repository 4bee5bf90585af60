"""A server whose requests may be counted by child processes; it has gauges of all modes.

    /count         is counted here
    /fork          is counted ten times by a child, which lives on; the answer is its PID
    /session       as /fork, by a child in a session of its own
    /multi         is counted five times by a child of multiprocessing, which has ended
    /leave         ends and reaps all children; the answer is their number
    /set/NUMBER    sets all gauges to this number
"""

import multiprocessing
import os
import signal
from http.server import BaseHTTPRequestHandler, HTTPServer

from prometheus_client import Counter, Gauge

requests = Counter("app_requests", "Requests answered.", ["path"])
modes = ["all", "liveall", "sum", "livesum", "max", "livemax", "min", "livemin", "mostrecent", "livemostrecent"]
gauges = {mode: Gauge(f"app_{mode}", "Of this mode.", multiprocess_mode=mode) for mode in modes}
children = []


def count(path, times):
    for _ in range(times):
        requests.labels(path).inc()


def fork(path):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        if path == "/session":
            os.setsid()
        count(path, 10)
        gauges["all"].set(100)
        gauges["livesum"].set(100)
        os.write(writer, b"done")
        signal.pause()
    os.close(writer)
    os.read(reader, 4)
    os.close(reader)
    children.append(child)
    return child


def multi():
    process = multiprocessing.get_context("fork").Process(target=count, args=("/multi", 5))
    process.start()
    process.join()
    return process.exitcode


def leave():
    for child in children:
        # The child may have ended.
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    left = len(children)
    children.clear()
    return left


def answer(path):
    if path.startswith("/set/"):
        for gauge in gauges.values():
            gauge.set(int(path[5:]))
        return "set"
    if path in ("/fork", "/session"):
        return fork(path)
    if path in ("/multi", "/leave"):
        return {"/multi": multi, "/leave": leave}[path]()
    count("/count", 1)
    return "counted"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"{answer(self.path)}\n".encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        pass


HTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
