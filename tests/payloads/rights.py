"""What processes with fewer rights get by `bind`: rights.py HIGH LOW DIRECTORY.

It binds two TCP ports of 127.0.0.1 and a path in DIRECTORY, and keeps them. Then it lets others bind and remove the same, and
prints for each: `shared` if the runtime gave it a listener, `own` if the kernel bound its own socket, or the error.

rights.py probe HOW ADDRESS... is one such process.
"""

import ctypes
import errno
import os
import socket
import struct
import subprocess
import sys

NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
SERVICE = ["--inh-caps=+net_bind_service", "--ambient-caps=+net_bind_service"]


def taken(kind, family, address):
    one = socket.socket(family, kind)
    if family == socket.AF_INET:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    before = os.fstat(one.fileno()).st_ino
    try:
        one.bind(address)
    except OSError as error:
        return one, errno.errorcode[error.errno]
    return one, "own" if os.fstat(one.fileno()).st_ino == before else "shared"


def of_length(family, length):
    """The result of a bind with an address of this length."""
    one = socket.socket(family)
    if family == socket.AF_INET:
        start = struct.pack("=H", family) + struct.pack("!H4s", int(sys.argv[1]), bytes([127, 0, 0, 1]))
    else:
        start = struct.pack("=H", family) + os.path.join(sys.argv[3], "long.sock").encode()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.bind(one.fileno(), start.ljust(length, b"\0"), length) == 0:
        return "bound"
    return errno.errorcode[ctypes.get_errno()]


def probe(how, where):
    if how == "unlink":
        try:
            os.unlink(where)
        except OSError as error:
            return errno.errorcode[error.errno]
        return "removed"
    if how == "socket-of-network":
        # A socket that was made in another network, bound by a thread that is in the first one again.
        libc = ctypes.CDLL(None, use_errno=True)
        # pidfd_open(2) and pidfd_getfd(2), by which the runtime sees it. A profile may forbid them.
        if libc.syscall(438, libc.syscall(434, os.getpid(), 0), 0, 0) < 0:
            return "unseen"
        here = os.open("/proc/self/ns/net", os.O_RDONLY)
        assert libc.unshare(0x40000000) == 0, "CLONE_NEWNET"
        one = socket.socket()
        assert libc.setns(here, 0) == 0
        before = os.fstat(one.fileno()).st_ino
        one.bind(("0.0.0.0", int(where)))
        return "own" if os.fstat(one.fileno()).st_ino == before else "shared"
    if how == "unix":
        return taken(socket.SOCK_STREAM, socket.AF_UNIX, where)[1]
    kind = socket.SOCK_DGRAM if how == "udp" else socket.SOCK_STREAM
    return taken(kind, socket.AF_INET, ("127.0.0.1", int(where)))[1]


def ask(name, tool, how, where, inside=None):
    words = [*tool, sys.executable, __file__, "probe", how, str(where)]
    answer = subprocess.run(words, stdout=subprocess.PIPE, text=True, cwd=inside).stdout
    print("result", name, how, answer.strip(), flush=True)


def main():
    high, low, directory = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    TCP, UDP = socket.SOCK_STREAM, socket.SOCK_DGRAM
    at = lambda port: (socket.AF_INET, ("127.0.0.1", port))
    path = os.path.join(directory, "root", "kept.sock")
    sticky = os.path.join(directory, "sticky", "kept.sock")
    kept = [taken(TCP, *at(high)), taken(TCP, *at(low)), taken(UDP, *at(high)), taken(UDP, *at(low))]
    kept += [taken(TCP, socket.AF_UNIX, one) for one in [path, sticky]]
    for one, _ in kept:
        if one.type == TCP:
            one.listen()
    print("result", "main", *(how for _, how in kept), flush=True)
    bare = ["setpriv", "--bounding-set=-net_bind_service,-dac_override,-dac_read_search"]
    for how in ["tcp", "udp"]:
        ask("network", ["unshare", "--net", "sh", "-c", 'ip link set lo up; exec "$@"', "sh"], how, high)
        ask("user", NOBODY, how, high)
        ask("user-low", NOBODY, how, low)
        ask("capability-low", [*NOBODY, *SERVICE], how, low)
        ask("bare-root-low", bare, how, low)
        ask("other-root-low", ["unshare", "--user", "--map-root-user"], how, low)
        ask("root-low", [], how, low)
    ask("root", [], "socket-of-network", high)
    inside = lambda *names: os.path.join(directory, *names)
    ask("user-in-root", NOBODY, "unix", inside("root", "new.sock"))
    ask("user-in-sticky", NOBODY, "unix", inside("sticky", "new.sock"))
    ask("user-behind-closed", NOBODY, "unix", inside("closed", "open", "new.sock"))
    ask("user-inside-closed", NOBODY, "unix", "here.sock", inside("closed", "open"))
    ask("bare-root-in-nobodys", bare, "unix", inside("nobody", "new.sock"))
    ask("root-in-nobodys", [], "unix", inside("nobody", "new.sock"))
    ask("user-in-root", NOBODY, "unlink", path)
    ask("user-in-sticky", NOBODY, "unlink", sticky)
    for name in ["root", "sticky"]:
        # Nobody shares these.
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
            other.bind(inside(name, "other.sock"))
        ask("user-of-other-in-" + name, NOBODY, "unlink", inside(name, "other.sock"))
    for family, lengths in [(socket.AF_INET, [129, 200, -1]), (socket.AF_UNIX, [111, 200])]:
        for length in lengths:
            print("result", "length", length, of_length(family, length), flush=True)
    print("result", "over", flush=True)
    while True:
        kept[0][0].accept()[0].close()


if sys.argv[1] == "probe":
    print(probe(sys.argv[2], sys.argv[3]), flush=True)
else:
    main()
