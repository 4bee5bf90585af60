#!/usr/bin/env python3
"""What the calls of a worker cost that the runtime answers or looks at, beside the same calls without it."""

import statistics

from common import *

ROUNDS, EACH = 10, 6
PATH = f"{FAST}/rpm-bench-{os.getpid()}.sock"
SERVER = f"{PATH}.server"

# Prints "cost CALL MICROSECONDS" for each call. What a call needs is made before the clock is read.
CODE = """
import os, select, socket, sys, time
each, path, server = int(sys.argv[1]), sys.argv[2], sys.argv[3]
def tell(call, begin):
    took = (time.perf_counter() - begin) * 1e6
    print('cost', call, took)
def bind(call, family, kind, address, watched=False):
    one = socket.socket(family, kind)
    if family == socket.AF_INET: one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if watched:
        begin = time.perf_counter()
        sets = select.epoll()
        tell('epoll_create1', begin)
        sets.register(one)
    begin = time.perf_counter()
    one.bind(address)
    tell('bind, ' + call, begin)
    if kind == socket.SOCK_STREAM: one.listen(9)
    if watched: sets.close()
    return one
TCP, UDP = socket.SOCK_STREAM, socket.SOCK_DGRAM
kept = []
for at in range(each):
    def here(port): return ('127.0.0.1', port + at)
    kept.append(bind('TCP', socket.AF_INET, TCP, here(29100)))
    kept.append(bind('UDP', socket.AF_INET, UDP, here(29200)))
    kept.append(bind('TCP, the socket is in an epoll set', socket.AF_INET, TCP, here(29300), True))
    name = path + str(at)
    if os.path.exists(name): os.unlink(name)
    kept.append(bind('unix path', socket.AF_UNIX, TCP, name))
one = kept[0]
for _ in range(each):
    begin = time.perf_counter()
    one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    tell('getsockopt(SO_ACCEPTCONN)', begin)
    begin = time.perf_counter()
    one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    tell('another getsockopt', begin)
    client = socket.socket(socket.AF_UNIX)
    begin = time.perf_counter()
    client.connect(server)
    tell('connect, unix path', begin)
    client.close()
print('over', flush=True)
"""


def lives(what):
    """Microseconds of each call, in the first life of the program and in the second one. The runtime starts it again."""
    found = [{}, {}]
    with started(what, stdout=subprocess.PIPE) as process:
        life = 0
        for line in process.stdout:
            word, _, rest = line.decode().strip().partition(" ")
            if word == "over":
                life += 1
                if life == len(found):
                    return found
            if word == "cost":
                call, _, figure = rest.rpartition(" ")
                found[life].setdefault(call, []).append(float(figure))
        sys.exit("bench: the runtime ended; BENCH_STDERR=1 shows why")


def program(ports):
    words = ["/usr/bin/python3", "-c", CODE, str(EACH), PATH, SERVER]
    return runtime(*words, RPM_LOG_FORMAT="raw", RPM_READY="delay:1ms", RPM_PORTS=ports)


def main():
    held = begin("Calls of a worker", [])
    # Nobody accepts: its queue is long enough.
    server = socket.socket(socket.AF_UNIX)
    server.bind(SERVER)
    server.listen(4096)
    found = {}
    for _ in range(ROUNDS):
        for ports in ["off", "auto"]:
            quiet()
            for life, costs in enumerate(lives(program(ports))):
                for call, figures in costs.items():
                    found.setdefault((call, ports, life), []).extend(figures)
    rows = []
    for call in dict.fromkeys(call for call, *_ in found):
        cells = [found[call, *kind] for kind in [("off", 1), ("auto", 0), ("auto", 1)]]
        rows.append([call, *(f"{statistics.median(cell):.1f} ({min(cell):.1f})" for cell in cells)])
    head = ["call", "RPM_PORTS=off", "auto, the first worker", "auto, the next one"]
    table(f"us for each call: median (least) of {ROUNDS} x {EACH}", head, rows)
    server.close()
    for path in [SERVER, *(f"{PATH}{at}" for at in range(EACH))]:
        Path(path).unlink(missing_ok=True)
    del held


if __name__ == "__main__":
    main()
