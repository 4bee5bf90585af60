"""A server that listens at once and warms up slowly: it answers /ready with 503 until a line comes through the pipe in
GATE, and then with 200.

Any other path is answered with the number of requests during the warm-up: `probes` for /ready, `others` for the
rest.
"""

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

warm = threading.Event()
lock = threading.Lock()
cold = {"probes": 0, "others": 0}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        probe = self.path == "/ready"
        ready = warm.is_set()
        with lock:
            if not ready:
                cold["probes" if probe else "others"] += 1
            told = dict(cold)
        body = json.dumps({"pid": os.getpid(), "slot": os.environ.get("NODE_APP_INSTANCE"), **told}).encode()
        self.send_response(503 if probe and not ready else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        pass


def warm_up():
    with open(os.environ["GATE"]) as gate:
        gate.readline()
    warm.set()


server = ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler)
threading.Thread(target=warm_up, daemon=True).start()
print("listening", flush=True)
server.serve_forever()
