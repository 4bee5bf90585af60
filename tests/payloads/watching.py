"""An HTTP server that puts its socket into an epoll set before it binds: watching.py PORT STYLE [SETS].

STYLE is `level` (all events at once), `edge`, `exclusive`, or `none` (for no event; EPOLLIN is added when it listens). Before `bind` it
creates SETS further sets.
"""

import os
import select
import socket
import sys

port, style = int(sys.argv[1]), sys.argv[2]
sets = int(sys.argv[3]) if len(sys.argv) > 3 else 0
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.setblocking(False)
watched = select.epoll()
events = {
    "level": select.EPOLLIN,
    "edge": select.EPOLLIN | select.EPOLLET,
    "exclusive": select.EPOLLIN | select.EPOLLEXCLUSIVE,
    "none": select.EPOLLET,
}
watched.register(server.fileno(), events[style])
others = [select.epoll() for _ in range(sets)]
server.bind(("0.0.0.0", port))
server.listen(128)
if style == "none":
    watched.modify(server.fileno(), select.EPOLLIN | select.EPOLLET)
print("listening", flush=True)
while True:
    watched.poll()
    while True:
        try:
            client, _ = server.accept()
        except BlockingIOError:
            break
        client.setblocking(True)
        client.settimeout(10)
        with client:
            if client.recv(4096):
                body = b'{"pid":%d}\n' % os.getpid()
                head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body)
                client.sendall(head + body)
