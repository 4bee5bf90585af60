"""Binds and listens twice in all ways that may differ, and prints what the kernel says to each.

    second_bind.py PORT

The output holds no number that differs between two runs. At the end it says `compared`, and waits if WAIT is set.
"""

import errno
import os
import socket
import sys
import threading

port = int(sys.argv[1])
REUSE = {"-": (), "a": (socket.SO_REUSEADDR,), "p": (socket.SO_REUSEPORT,), "ap": (socket.SO_REUSEADDR, socket.SO_REUSEPORT)}
# What is served to the end, so that the program is ready.
kept = []


def attempt(what, *words):
    try:
        what(*words)
        return "ok"
    except OSError as error:
        return errno.errorcode[error.errno]


def sock(reuse, address):
    one = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    for option in REUSE[reuse]:
        one.setsockopt(socket.SOL_SOCKET, option, 1)
    if address.startswith("::ffff"):
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    return one


def in_child(what):
    """The answer of a forked child."""
    receive, send = os.pipe()
    if os.fork() == 0:
        os.write(send, what().encode())
        os._exit(0)
    os.close(send)
    os.wait()
    answer = os.read(receive, 64).decode()
    os.close(receive)
    return answer


def in_thread(what):
    answers = []
    thread = threading.Thread(target=lambda: answers.append(what()))
    thread.start()
    thread.join()
    return answers[0]


PAIRS = [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("127.0.0.1", "0.0.0.0"), ("::", "127.0.0.1"),
         ("::ffff:127.0.0.1", "127.0.0.1"), ("127.0.0.1", "127.0.0.2")]
for one, two in PAIRS:
    for a in REUSE:
        for b in REUSE:
            for listens in (False, True):
                with sock(a, one) as s, sock(b, two) as t:
                    said = [attempt(s.bind, (one, port))]
                    if listens:
                        said.append(attempt(s.listen))
                    said.append(attempt(t.bind, (two, port)))
                    if said[-1] == "ok":
                        said.append(attempt(t.listen))
                        said.append(attempt(s.listen))
                    print(one, a, two, b, *said)

# A program that looks for a free port.
for reuse in REUSE:
    for _ in range(3):
        with sock(reuse, "127.0.0.1") as s:
            print("probe", reuse, attempt(s.bind, ("127.0.0.1", port)), attempt(s.listen))

for reuse in REUSE:
    with sock(reuse, "127.0.0.1") as s, sock(reuse, "127.0.0.1") as t, sock(reuse, "127.0.0.1") as v:
        print("parent", reuse, attempt(s.bind, ("127.0.0.1", port)), attempt(s.listen))
        print("child binds", in_child(lambda: attempt(t.bind, ("127.0.0.1", port))))
        print("thread binds", in_thread(lambda: attempt(v.bind, ("127.0.0.1", port))))
        print("child listens with the parent's", in_child(lambda: attempt(s.listen)))
        copy = s.dup()
        print("a copy listens", attempt(copy.listen))
        s.close()
        with sock(reuse, "127.0.0.1") as u:
            print("while the copy is open", attempt(u.bind, ("127.0.0.1", port)))
        copy.close()
        with sock(reuse, "127.0.0.1") as u:
            print("after all are closed", attempt(u.bind, ("127.0.0.1", port)), attempt(u.listen))

# A child keeps what its parent has closed.
s = sock("a", "127.0.0.1")
s.bind(("127.0.0.1", port))
s.listen()
wait, go = os.pipe()
child = os.fork()
if child == 0:
    os.close(go)
    os.read(wait, 1)
    os._exit(0)
s.close()
with sock("a", "127.0.0.1") as t:
    print("while a child has it", attempt(t.bind, ("127.0.0.1", port)))
os.close(wait)
os.close(go)
os.waitpid(child, 0)
with sock("a", "127.0.0.1") as t:
    print("after that", attempt(t.bind, ("127.0.0.1", port)), attempt(t.listen))

# Bound twice, one listens: the other may after the first is closed.
s, t = sock("a", "127.0.0.1"), sock("a", "127.0.0.1")
print("two", attempt(s.bind, ("127.0.0.1", port)), attempt(t.bind, ("127.0.0.1", port)))
print("two listen", attempt(s.listen), attempt(t.listen))
s.close()
print("the second then", attempt(t.listen))
t.close()

# Threads that share a port on purpose.
for _ in range(4):
    s = sock("p", "127.0.0.1")
    print("one of four threads", in_thread(lambda: attempt(s.bind, ("127.0.0.1", port))), in_thread(lambda: attempt(s.listen)))
    kept.append(s)
print("compared", flush=True)
if os.environ.get("WAIT"):
    threading.Event().wait()
