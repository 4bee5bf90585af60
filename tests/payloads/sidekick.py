"""`sidekick.py PARENT`: a process beside a worker that does what a worker gone wrong may do, until its parent has ended.

It takes its parent's listener (pidfd_getfd(2)) and sets options on it that would spoil it for whoever has it next; it
binds and listens again and again, removes files, and talks nonsense to the socket of sd_notify. It says `sidekick
works` once it has the listener. It never ends the listener itself: that would cost the clients in its queue.
"""
import ctypes
import os
import socket
import struct
import sys
import time

SO_ATTACH_FILTER, SO_LOCK_FILTER, SO_ATTACH_REUSEPORT_CBPF = 26, 44, 51
PIDFD_OPEN, PIDFD_GETFD = 434, 438

libc = ctypes.CDLL(None, use_errno=True)
# Its parent may have ended already.
parent = int(sys.argv[1])


def listener():
    """A copy of the parent's listener. None until it has one."""
    pidfd = libc.syscall(PIDFD_OPEN, parent, 0)
    if pidfd < 0:
        return None
    try:
        for name in os.listdir(f"/proc/{parent}/fd"):
            try:
                if not os.readlink(f"/proc/{parent}/fd/{name}").startswith("socket:"):
                    continue
            except OSError:
                continue
            fd = libc.syscall(PIDFD_GETFD, pidfd, int(name), 0)
            if fd < 0:
                continue
            found = socket.socket(fileno=fd)
            if found.family == socket.AF_INET and found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                return found
            found.close()
    except OSError:
        pass
    finally:
        os.close(pidfd)
    return None


class Program(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def attempt(what):
    try:
        what()
    except OSError:
        pass


def spoil(found):
    """A program that returns 0: no packet passes, or the first member of the group gets everything."""
    code = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))
    program = Program(1, ctypes.addressof(code))
    for option in [SO_ATTACH_FILTER, SO_ATTACH_REUSEPORT_CBPF]:
        libc.setsockopt(found.fileno(), socket.SOL_SOCKET, option, ctypes.byref(program), ctypes.sizeof(program))
    attempt(lambda: found.setsockopt(socket.SOL_SOCKET, SO_LOCK_FILTER, 1))
    attempt(lambda: found.listen(1))


def bind_again(address):
    with socket.socket() as other:
        attempt(lambda: other.bind(address))
        attempt(lambda: other.listen(1))


def talk():
    name = os.environ.get("NOTIFY_SOCKET")
    if not name:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as to:
        for text in [b"\0" * 100, b"MAINPID=1", b"STOPPING=", b"READY=1\nREADY=1"]:
            attempt(lambda: to.sendto(text, "\0" + name[1:] if name.startswith("@") else name))


def main():
    found = None
    while os.getppid() == parent and found is None:
        found = listener()
        time.sleep(0.001)
    if found:
        print("sidekick works", flush=True)
    while os.getppid() == parent:
        spoil(found)
        bind_again(("127.0.0.1", int(os.environ["PORT"])))
        attempt(lambda: os.unlink(f"/tmp/sidekick-{os.getpid()}.sock"))
        talk()
        time.sleep(0.005)


main()
sys.exit(0)
