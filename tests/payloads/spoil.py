"""A server that spoils its listener by socket options: spoil.py PORT.

It takes its listener by `bind`, or by LISTEN_FDS. It answers each line with its slot and generation. The line `spoil WHAT...`
makes it do that first, and the answer has what came of each: `done` or the error.
"""

import ctypes
import errno
import os
import socket
import struct
import sys

# include/uapi/asm-generic/socket.h, include/uapi/linux/tcp.h
SOL, TCP = socket.SOL_SOCKET, socket.IPPROTO_TCP
ATTACH, DETACH, LOCK, BPF, STEER, STEER_BPF, STEER_OFF, MD5, MD5_EXT = 26, 27, 44, 50, 51, 52, 68, 14, 32

# A classic BPF program of one instruction, which returns 0: no packet, or the first listener.
ZERO = ctypes.create_string_buffer(struct.pack("=HBBI", 6, 0, 0, 0))
PROGRAM = struct.pack("@HP", 1, ctypes.addressof(ZERO))


def number(value):
    return struct.pack("=i", value)


def key(flags=0):
    # struct tcp_md5sig: an address, flags, the length of the key, the index of a device, the key.
    address = struct.pack("=HH4s", socket.AF_INET, 0, bytes(4)).ljust(128, b"\0")
    return address + struct.pack("=BBHiI", flags, 0, 3, 0, 0) + b"key".ljust(80, b"\0")


OPTIONS = {
    "filter": (SOL, ATTACH, PROGRAM),
    "bpf": (SOL, BPF, number(-1)),
    "unfilter": (SOL, DETACH, number(0)),
    "lock": (SOL, LOCK, number(1)),
    "steer": (SOL, STEER, PROGRAM),
    "steer-bpf": (SOL, STEER_BPF, number(-1)),
    "steer-off": (SOL, STEER_OFF, number(0)),
    "reuse-off": (SOL, socket.SO_REUSEPORT, number(0)),
    "device": (SOL, socket.SO_BINDTODEVICE, b"lo\0"),
    "md5": (TCP, MD5, key()),
    "md5-ext": (TCP, MD5_EXT, key(flags=1)),
    "nodelay": (TCP, socket.TCP_NODELAY, number(1)),
}


def spoil(one, what):
    try:
        one.setsockopt(*OPTIONS[what])
        return what + "=done"
    except OSError as error:
        return what + "=" + errno.errorcode[error.errno]


def received(client):
    try:
        return client.recv(1000).decode()
    except OSError:
        # A check that only connects, or a client that gave up.
        return ""


def taken():
    if os.environ.get("LISTEN_FDS"):
        return socket.socket(fileno=3)
    one = socket.socket()
    one.setsockopt(SOL, socket.SO_REUSEADDR, 1)
    before = os.environ.get("BEFORE", "").split()
    results = [spoil(one, what) for what in before]
    one.bind(("127.0.0.1", int(sys.argv[1])))
    if before:
        print("before", *results, "filter", one.getsockopt(SOL, LOCK), flush=True)
    return one


listener = taken()
listener.listen()
own = socket.socket()
own.bind(("127.0.0.1", 0))
own.listen()
if os.environ.get("SPOIL"):
    print("spoilt", *(spoil(listener, what) for what in os.environ["SPOIL"].split()), flush=True)
    print("own", *(spoil(own, what) for what in ["filter", "unfilter", "lock", "filter"]), flush=True)
while True:
    client, _ = listener.accept()
    words = received(client).split()
    results = [spoil(listener, what) for what in words[1:]]
    answer = [os.environ["RPM_INSTANCE"], os.environ["RPM_GENERATION"], *results]
    try:
        client.sendall(" ".join(answer).encode())
    except OSError:
        pass
    client.close()
