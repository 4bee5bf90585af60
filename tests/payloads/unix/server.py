"""socketserver of the standard library on a unix path."""

import os
import socketserver
import sys
from urllib.parse import parse_qs


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        line = self.rfile.readline().decode()
        while self.rfile.readline().strip():
            pass
        nonce = parse_qs(line.split()[1].partition("?")[2]).get("nonce", [""])[0]
        body = '{"pid": %d, "nonce": "%s"}\n' % (os.getpid(), nonce)
        head = "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body)
        self.wfile.write((head + body).encode())


path = sys.argv[1]
if os.path.exists(path):
    os.unlink(path)
socketserver.UnixStreamServer(path, Handler).serve_forever()
