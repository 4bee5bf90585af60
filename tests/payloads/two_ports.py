"""Serves a port that does not speak HTTP, and beside it one that answers health checks.

    two_ports.py PORT SIDE

PORT is bound first and answers each connection with a line. SIDE answers each request with 200, or with 503 while the file
in SICK exists.
"""

import os
import socketserver
import sys
import threading


class Lines(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(b"220 ready\r\n")


class Health(socketserver.StreamRequestHandler):
    def handle(self):
        while self.rfile.readline().strip():
            pass
        sick = os.path.exists(os.environ.get("SICK", "/nonexistent"))
        status = b"503 Service Unavailable" if sick else b"200 OK"
        self.wfile.write(b"HTTP/1.1 %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % status)


socketserver.ThreadingTCPServer.allow_reuse_address = True
first = socketserver.ThreadingTCPServer(("127.0.0.1", int(sys.argv[1])), Lines)
second = socketserver.ThreadingTCPServer(("127.0.0.1", int(sys.argv[2])), Health)
threading.Thread(target=first.serve_forever, daemon=True).start()
second.serve_forever()
