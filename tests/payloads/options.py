"""Sets socket options before `bind` and prints what they are afterwards: options.py tcp|plain PORT.

With `plain` it sets none. It answers each connection with its generation.
"""

import os
import socket
import sys

kind, port = sys.argv[1], int(sys.argv[2])
TCP = [
    (socket.SOL_SOCKET, socket.SO_RCVBUF, 40000),
    (socket.SOL_SOCKET, socket.SO_SNDBUF, 50000),
    (socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 7),
    (socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 9),
    (socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1000),
]
plain = os.path.exists(os.environ.get("PLAIN", "/nowhere"))
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
if kind == "tcp" and not plain:
    for level, name, value in TCP:
        s.setsockopt(level, name, value)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")
s.bind(("127.0.0.1", port))
s.listen()
# An option that is set on each connection costs nothing and stays the program's own.
values = [str(s.getsockopt(level, name)) for level, name, _ in TCP]
values.append(s.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).strip(b"\0").decode())
print("options", *values, flush=True)
while True:
    c, _ = s.accept()
    c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    c.recv(64)
    answer = "%s rcvbuf=%d" % (os.environ.get("RPM_GENERATION"), c.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF))
    c.sendall(answer.encode())
    c.close()
