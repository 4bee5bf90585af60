"""Listens on the addresses in its arguments and answers each connection with a line: name, PID and slot.

    sockets.py [WORD...] NAME=ADDRESS:PORT[,OPTION...] ...

An IPv6 address is in brackets. For each address it prints `bound NAME FAMILY ADDRESS PORT FLAGS` with the values that
the system calls return afterwards, or `failed NAME ERRNO`; then `ready PID SLOT`. A client that sends a line gets
`NAME PID SLOT` and the end of the connection; after the line `shutdown SLOT`, that slot's worker first shuts down its
listener.

Words: `undumpable` (other processes cannot read its memory), `grandchild` (a descendant does everything), `activated`
(takes LISTEN_FDS as NAMEs), `unblock-first` (slot 0 sets O_NONBLOCK on them), `wait` (accepts nothing before a line
comes through the pipe in GATE).
Options: udp, unix, v6only, dual, nonblock, inherit, backlog=N, gate (waits first for a line through the pipe in GATE).
"""

import ctypes
import errno
import fcntl
import os
import select
import socket
import sys
import threading
import time

slot = os.environ.get("NODE_APP_INSTANCE", "-")


def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def flags(sock):
    status = fcntl.fcntl(sock, fcntl.F_GETFL)
    descriptor = fcntl.fcntl(sock, fcntl.F_GETFD)
    return "nonblock=%d,cloexec=%d" % (bool(status & os.O_NONBLOCK), bool(descriptor & fcntl.FD_CLOEXEC))


def describe(name, sock):
    where = sock.getsockname()
    family = {socket.AF_INET: "inet", socket.AF_INET6: "inet6", socket.AF_UNIX: "unix"}[sock.family]
    address, port = where[:2] if family != "unix" else (where, 0)
    say("bound", name, family, address, port, flags(sock))


def open_socket(spec):
    name, _, rest = spec.partition("=")
    where, *options = rest.split(",")
    if "gate" in options:
        with open(os.environ["GATE"]) as gate:
            gate.readline()
    kind = socket.SOCK_DGRAM if "udp" in options else socket.SOCK_STREAM
    if "unix" in options:
        sock, where = socket.socket(socket.AF_UNIX, kind), "%s.%d" % (where, os.getpid())
    else:
        address, _, port = where.rpartition(":")
        family = socket.AF_INET6 if address.startswith("[") else socket.AF_INET
        sock, where = socket.socket(family, kind), (address.strip("[]"), int(port))
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for option, value in (("v6only", 1), ("dual", 0)):
            if option in options:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, value)
    if "nonblock" in options:
        sock.setblocking(False)
    if "inherit" in options:
        sock.set_inheritable(True)
    try:
        sock.bind(where)
        if kind == socket.SOCK_STREAM:
            backlog = [option for option in options if option.startswith("backlog=")]
            sock.listen(int(backlog[0][8:]) if backlog else 128)
    except OSError as error:
        say("failed", name, errno.errorcode[error.errno])
        return None
    describe(name, sock)
    return name, sock


def activated():
    count = int(os.environ["LISTEN_FDS"])
    names = os.environ["LISTEN_FDNAMES"].split(":")
    say("activated", count, "pid", int(os.environ["LISTEN_PID"]) == os.getpid(), "names", ",".join(names))
    for name, fd in zip(names, range(3, 3 + count)):
        sock = socket.socket(fileno=fd)
        if "unblock-first" in sys.argv and slot == "0":
            sock.setblocking(False)
        sock.listen(5)
        describe(name, sock)
        yield name, sock


def answer(name, listener, connection):
    with connection:
        connection.setblocking(True)
        if connection.recv(64).decode().split() == ["shutdown", slot]:
            listener.shutdown(socket.SHUT_RD)
        connection.sendall(("%s %d %s\n" % (name, os.getpid(), slot)).encode())


def serve(name, listener):
    if listener.type == socket.SOCK_DGRAM:
        while True:
            _, client = listener.recvfrom(64)
            listener.sendto(("%s %d %s\n" % (name, os.getpid(), slot)).encode(), client)
    while True:
        try:
            select.select([listener], [], [])
            connection, _ = listener.accept()
        except OSError:
            # Another worker was faster, or the listener is shut down at this moment.
            time.sleep(0.001)
            continue
        threading.Thread(target=answer, args=(name, listener, connection), daemon=True).start()


words = sys.argv[1:]
if "undumpable" in words:
    ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE
if "grandchild" in words:
    for _ in range(2):
        child = os.fork()
        if child:
            os.waitpid(child, 0)
            os._exit(0)
sockets = list(activated()) if "activated" in words else []
sockets += filter(None, [open_socket(word) for word in words if "=" in word])
say("ready", os.getpid(), slot)
if "wait" in words:
    with open(os.environ["GATE"]) as gate:
        gate.readline()
for one in sockets:
    threading.Thread(target=serve, args=one, daemon=True).start()
threading.Event().wait()
