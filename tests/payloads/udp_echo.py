"""Answers each datagram with `PID SLOT WORD`, after WORK milliseconds: udp_echo.py PORT [ADDRESS]. No signal handler.

With TCP=1 it also listens on the same TCP port. With GROUP=1 it joins a multicast group after `bind`.
"""

import os
import socket
import struct
import sys
import threading
import time

port = int(sys.argv[1])
address = sys.argv[2] if len(sys.argv) > 2 else "0.0.0.0"
work = float(os.environ.get("WORK", "0")) / 1000
slot = os.environ.get("NODE_APP_INSTANCE", "-")


def tcp():
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((address, port))
    s.listen()
    while True:
        c, _ = s.accept()
        c.recv(64)
        c.sendall(b"%d %s tcp" % (os.getpid(), slot.encode()))
        c.close()


s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 60000)
s.bind((address, port))
if os.environ.get("GROUP"):
    join = struct.pack("4s4s", socket.inet_aton("239.7.7.7"), socket.inet_aton("127.0.0.1"))
    s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, join)
if os.environ.get("TCP"):
    threading.Thread(target=tcp, daemon=True).start()
print("bound", s.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF), flush=True)
while True:
    word, client = s.recvfrom(2048)
    if word == b"die":
        os._exit(3)
    if word == b"sleep":
        time.sleep(1000)
    if work:
        time.sleep(work)
    s.sendto(b"%d %s %s" % (os.getpid(), slot.encode(), word), client)
