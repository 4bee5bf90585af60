"""A server whose set is level-triggered, and which closes its socket without EPOLL_CTL_DEL: leaving.py PORT.

At SIGUSR2 it closes the socket and lives on. It says `closed`, then `woken` when a connection wakes it that it cannot accept, and then `quiet`
when nothing has woken it for half a second.
"""

import select
import signal
import socket
import sys

watched = select.epoll()


def listen(port):
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("0.0.0.0", port))
    server.listen(128)
    watched.register(server.fileno(), select.EPOLLIN)
    return server


port = int(sys.argv[1])
# Programs try whether a port is free. Closing removes the socket from the set; the number is used again.
listen(port).close()
server = listen(port)
closing = []
signal.signal(signal.SIGUSR2, lambda *_: closing.append(True))
print("listening", flush=True)
while not closing:
    if watched.poll(0.05) and not closing:
        client, _ = server.accept()
        with client:
            client.recv(4096)
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
server.close()
print("closed", flush=True)
woken = False
while True:
    ready = watched.poll(0.5)
    if ready and not woken:
        print("woken", flush=True)
    if not ready and woken:
        print("quiet", flush=True)
        signal.pause()
    woken = woken or bool(ready)
