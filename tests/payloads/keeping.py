"""Answers HTTP requests, also many on one connection, on each port with the slot: `keeping.py [user] [activated] ADDRESS:PORT...`.

With the word `user` it becomes another user when it has bound the ports; with `activated` it takes LISTEN_FDS.
"""

import http.server
import json
import os
import socket
import socketserver
import sys
import threading


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = json.dumps({"slot": os.environ["NODE_APP_INSTANCE"], "pid": os.getpid()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128


def bound(word):
    address, _, port = word.rpartition(":")
    return Server((address, int(port)), Handler)


def taken(fd):
    server = Server(None, Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = socket.socket(fileno=fd)
    server.server_activate()
    return server


words = sys.argv[1:]
servers = [bound(word) for word in words if ":" in word]
if "activated" in words:
    servers += [taken(3 + number) for number in range(int(os.environ["LISTEN_FDS"]))]
if "user" in words:
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
print("serving as", os.getuid(), flush=True)
for server in servers[1:]:
    threading.Thread(target=server.serve_forever, daemon=True).start()
servers[0].serve_forever()
