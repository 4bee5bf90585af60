"""A worker under remote control: each line of input is a command for its connections and gets one line of answer.

    holder.py [ADDRESS]

Listens on a free port of ADDRESS (127.0.0.1) and prints it. Connections are numbered from 0 in the order of accept.

    accept          accepts a connection from the queue
    read N COUNT    reads COUNT bytes from connection N
    write N COUNT   writes COUNT bytes to it
    flood N         writes to it until the buffers are full
    end N           closes its sending side
    close N         closes it
    twice N         opens a second descriptor of it
    give N          passes it to a grandchild, behind two shells, and closes it here
    fork            forks a child that has all descriptors too
    signal NAME HOW catches, ignores, blocks or resets to default a signal, given by number
    threads COUNT   starts threads that are always busy
"""

import os
import signal
import socket
import subprocess
import sys
import threading

address = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1"
listener = socket.create_server(
    (address, 0),
    family=socket.AF_INET6 if ":" in address else socket.AF_INET,
    backlog=4096,
    dualstack_ipv6=address == "::",
)
connections = []
kept = []


def obey(word, number=0, count=0):
    if word == "accept":
        connections.append(listener.accept()[0])
    elif word == "read":
        left = count
        while left:
            left -= len(connections[number].recv(left))
    elif word == "write":
        connections[number].sendall(b"x" * count)
    elif word == "flood":
        connections[number].setblocking(False)
        try:
            while True:
                connections[number].send(b"x" * 65536)
        except BlockingIOError:
            connections[number].setblocking(True)
    elif word == "end":
        connections[number].shutdown(socket.SHUT_WR)
    elif word == "close":
        connections[number].close()
    elif word == "twice":
        kept.append(connections[number].dup())
    elif word == "give":
        fd = connections[number].fileno()
        # The line comes when this process ends, because only this process holds the other end of the pipe.
        inner = "read line; :"
        shell = ["sh", "-c", "sh -c '%s'; :" % inner]
        kept.append(subprocess.Popen(shell, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, pass_fds=[fd]))
        connections[number].close()
    elif word == "fork":
        if os.fork() == 0:
            signal.pause()
    elif word == "threads":
        for _ in range(number):
            threading.Thread(target=spin, daemon=True).start()
    else:
        return "what is %s?" % word
    return "done"


def spin():
    while True:
        pass


def dispose(number, how):
    if how == "block":
        signal.pthread_sigmask(signal.SIG_BLOCK, [number])
    else:
        hows = {"catch": lambda *_: None, "ignore": signal.SIG_IGN, "default": signal.SIG_DFL}
        signal.signal(number, hows[how])
    return "done"


print(listener.getsockname()[1], flush=True)
for line in sys.stdin:
    words = line.split()
    if words[0] == "signal":
        answer = dispose(int(words[1]), words[2])
    else:
        answer = obey(words[0], *map(int, words[1:]))
    print(answer, flush=True)
