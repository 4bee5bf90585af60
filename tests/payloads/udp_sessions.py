"""Connects a UDP socket to each client, and opens the next one in its place, as DTLS servers do: udp_sessions.py PORT [ADDRESS].

Answers each datagram with `PID SLOT WORD`. No signal handler.
"""

import os
import socket
import sys
import threading

port = int(sys.argv[1])
address = sys.argv[2] if len(sys.argv) > 2 else "0.0.0.0"
slot = os.environ.get("NODE_APP_INSTANCE", "-").encode()


def bound():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((address, port))
    return s


def serve(s, word):
    while True:
        s.send(b"%d %s %s" % (os.getpid(), slot, word))
        word = s.recv(2048)


s = bound()
while True:
    word, client = s.recvfrom(2048)
    s.connect(client)
    mine, s = s, bound()
    threading.Thread(target=serve, args=(mine, word), daemon=True).start()
