"""Stalls whoever reads the address that it binds: `stalling.py PORT MARK`.

The worker of slot 0 puts the address into a page that the kernel asks it for (userfaultfd(2)), and fills that page only
when it gets SIGUSR1. The other workers bind once it stalls. All answer each client with their slot.
"""

import ctypes
import os
import platform
import signal
import socket
import struct
import sys
import threading
import time

port, mark = int(sys.argv[1]), sys.argv[2]
slot = os.environ["NODE_APP_INSTANCE"]
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
PAGE = 4096
USERFAULTFD, BIND = (323, 49) if platform.machine() == "x86_64" else (282, 200)
UFFDIO_API, UFFDIO_REGISTER, UFFDIO_COPY = 0xC018AA3F, 0xC020AA00, 0xC028AA03


def check(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def ioctl(fd, request, *words):
    argument = ctypes.create_string_buffer(struct.pack("=%dQ" % len(words), *words))
    check(libc.ioctl(fd, ctypes.c_ulong(request), argument))


def stall(listener):
    fault = check(libc.syscall(USERFAULTFD, os.O_CLOEXEC))
    ioctl(fault, UFFDIO_API, 0xAA, 0, 0)
    page = libc.mmap(None, ctypes.c_size_t(PAGE), 3, 0x22, -1, 0)
    ioctl(fault, UFFDIO_REGISTER, page, PAGE, 1, 0)
    address = struct.pack("=H", socket.AF_INET) + struct.pack(">H4s8x", port, socket.inet_aton("127.0.0.1"))
    full = ctypes.create_string_buffer(address, PAGE)
    signal.signal(
        signal.SIGUSR1,
        lambda *_: ioctl(fault, UFFDIO_COPY, page, ctypes.addressof(full), PAGE, 0, 0),
    )
    task = []

    def bind():
        task.append(threading.get_native_id())
        check(libc.bind(listener.fileno(), ctypes.c_void_p(page), 16))

    thread = threading.Thread(target=bind)
    thread.start()
    while not task or open(f"/proc/self/task/{task[0]}/syscall").read().split()[0] != str(BIND):
        time.sleep(0.001)
    open(mark, "w").close()
    print("stalls", flush=True)
    while thread.is_alive():
        # The handler of the signal runs in this thread.
        time.sleep(0.01)


listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
if slot == "0" and not os.path.exists(mark):
    stall(listener)
else:
    while not os.path.exists(mark):
        time.sleep(0.001)
    listener.bind(("127.0.0.1", port))
listener.listen(64)
while True:
    client = listener.accept()[0]
    client.recv(64)
    client.sendall(b"slot %s\n" % slot.encode())
    client.close()
