#!/usr/bin/python3
"""Stands in for Node and does what a test says on the bytes of the channel: START at its start, then each line
`{"id", "code"}` that comes over the unix socket CONTROL; as worker.js does, in Python."""

import json
import os
import select
import socket
import sys

channel = socket.socket(fileno=int(os.environ["NODE_CHANNEL_FD"]))
channel.setblocking(True)
control = socket.socket(socket.AF_UNIX)
control.connect(os.environ["CONTROL"])
waiting = b""
listeners = []


def tell(value):
    control.sendall(json.dumps(value).encode() + b"\n")


def write(text):
    channel.sendall(text.encode())


def read_line():
    """The next line that is not the runtime's own."""
    global waiting
    while True:
        line, end, rest = waiting.partition(b"\n")
        if not end:
            data = channel.recv(1 << 16)
            if not data:
                raise EOFError
            waiting += data
            continue
        waiting = rest
        if b'"NODE_' not in line:
            return line.decode()


def listen():
    """Listens as a program does that does not know of the channel."""
    listeners.append(socket.create_server(("127.0.0.1", int(os.environ["PORT"]))))


def flood(count):
    """Writes so many bytes without a newline; how many were taken."""
    taken = 0
    try:
        while taken < count:
            taken += channel.send(bytes([120]) * (1 << 16))
    except OSError:
        pass
    return taken


def ask(count):
    """Asks for so many servers of port 0 and reads no answer. How many questions were taken, before none was for a second."""
    channel.setblocking(False)
    for number in range(count):
        question = {"cmd": "NODE_CLUSTER", "act": "queryServer", "seq": number, "index": number,
                    "address": "127.0.0.1", "port": 0, "addressType": 4, "flags": 0, "data": None}
        line = json.dumps(question).encode() + b"\n"
        while line:
            if not select.select([], [channel], [], 1)[1]:
                return number
            line = line[channel.send(line):]
    return count


def run(code, number):
    try:
        tell({"id": number, "value": eval(code)})
    except Exception as error:
        tell({"id": number, "error": repr(error)})


slot = int(os.environ.get("NODE_APP_INSTANCE", 0))
worker = os.environ.get("NODE_UNIQUE_ID")
tell({"hello": {"pid": os.getpid(), "slot": slot, "worker": worker and int(worker)}})
run(os.environ["START"], 0)
for line in control.makefile():
    asked = json.loads(line)
    run(asked["code"], asked["id"])
sys.exit(9)
