"""A plain server with the standard library. It knows nothing of workers, shared ports or signals.

`python3 -m http.server 3000` works just as well. Standard output is a pipe here, so Python buffers output until a
block is full: set PYTHONUNBUFFERED=1, or pass flush=True.
"""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        who = {"pid": os.getpid(), "slot": os.environ.get("NODE_APP_INSTANCE")}
        who |= parse_qsl(urlsplit(self.path).query)
        body = json.dumps(who).encode() + b"\n"
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        pass


port = int(os.environ.get("PORT") or 3000)
server = ThreadingHTTPServer(("", port), Handler)
print(f"listening on {port}", flush=True)
server.serve_forever()
