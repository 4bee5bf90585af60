"""A server whose version is a file: the content of the file in VERSION decides how it starts and serves.

    good    serves, and returns its version in its answers
    exits   prints an error and exits with 1
    silent  prints an error and never listens
    dies    serves, and exits with 1 a moment later
    half    listens on METRICS_PORT, prints an error and exits with 1
    lasts   serves, and exits with 1 two seconds later
    sick    serves, and answers the health path with 500

If METRICS_PORT is set, it listens there first.
"""

import json
import os
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

version = Path(os.environ["VERSION"]).read_text().strip()
slot = os.environ.get("NODE_APP_INSTANCE")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        where = urlsplit(self.path)
        ill = version == "sick" and where.path == "/health"
        body = json.dumps({"pid": os.getpid(), "slot": slot, "version": version, **dict(parse_qsl(where.query))}).encode()
        self.send_response(500 if ill else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


def complain():
    print("versioned: no such table: accounts", file=sys.stderr, flush=True)


if version in ("exits", "silent"):
    complain()
    if version == "silent":
        threading.Event().wait()
    sys.exit(1)
if "METRICS_PORT" in os.environ:
    metrics = socket.create_server(("127.0.0.1", int(os.environ["METRICS_PORT"])))
if version == "half":
    complain()
    sys.exit(1)
server = Server(("127.0.0.1", int(os.environ["PORT"])), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
if version in ("dies", "lasts"):
    time.sleep(0.3 if version == "dies" else 2)
    complain()
    # At once, whatever the threads do.
    os._exit(1)
threading.Event().wait()
