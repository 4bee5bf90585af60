"""A server that reports its state by sd_notify(3): READY=1 as soon as it listens, STATUS= for people, WATCHDOG=1 at
least twice within the watchdog's time, STOPPING=1 at the end. `RPM_READY=notify` waits for READY=1.

The watchdog's time is WATCHDOG_USEC from its environment, or the two seconds that it requests. A request to /hang
stops the watchdog messages, as if the program hung; other requests are answered with the identity of the process.
"""

import json
import os
import signal
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def notify(text):
    name = os.environ.get("NOTIFY_SOCKET")
    if name:
        # "@" stands for the NUL byte of the abstract namespace.
        address = "\0" + name[1:] if name.startswith("@") else name
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.sendto(text.encode(), address)


hung = threading.Event()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/hang":
            hung.set()
        body = json.dumps({"pid": os.getpid(), "slot": os.environ.get("NODE_APP_INSTANCE")}).encode() + b"\n"
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        pass


def ping(seconds):
    while not hung.wait(seconds):
        notify("WATCHDOG=1")


def stop(*_):
    notify("STOPPING=1\nSTATUS=stopping")
    sys.exit(0)


signal.signal(signal.SIGTERM, stop)
port = int(os.environ.get("PORT") or 3000)
server = ThreadingHTTPServer(("", port), Handler)
print(f"listening on {port}", flush=True)
timeout = int(os.environ.get("WATCHDOG_USEC") or 2_000_000)
notify(f"READY=1\nSTATUS=serving on {port}\nWATCHDOG_USEC={timeout}")
threading.Thread(target=ping, args=(timeout / 1e6 / 3,), daemon=True).start()
server.serve_forever()
