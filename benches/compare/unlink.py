#!/usr/bin/env python3
"""What it costs a worker to remove a file: the runtime looks at each removal where unix paths may be shared."""

import statistics

from common import *

FILES, ROUNDS = 2000, 15

CODE = """
import os, socket, sys, tempfile, time
if sys.argv[3]:
    s = socket.socket(socket.AF_UNIX)
    path = sys.argv[3]
    if os.path.exists(path): os.unlink(path)
    s.bind(path); s.listen(9)
place = tempfile.mkdtemp(dir=sys.argv[4])
files, rounds = int(sys.argv[1]), int(sys.argv[2])
for _ in range(rounds):
    names = [os.path.join(place, str(at)) for at in range(files)]
    for name in names: open(name, "w").close()
    begin = time.perf_counter()
    for name in names: os.unlink(name)
    print("cost", (time.perf_counter() - begin) / files * 1e6, flush=True)
os.rmdir(place)
print("over", flush=True)
time.sleep(600)
"""


def costs(what):
    """Microseconds for each removal, one figure for each round."""
    with started(what, stdout=subprocess.PIPE) as process:
        found = []
        for line in process.stdout:
            words = line.decode().split()
            if words[:1] == ["over"]:
                return found
            if words[:1] == ["cost"]:
                found.append(float(words[1]))
        return found


def row(name, path="", **variables):
    words = ["/usr/bin/python3", "-c", CODE, str(FILES), str(ROUNDS), path, str(FAST)]
    found = costs(runtime(*words, RPM_LOG_FORMAT="raw", RPM_READY="delay:1ms", **variables))
    return [name, *(round(figure, 1) for figure in (statistics.median(found), min(found), max(found)))]


def main():
    held = begin("Removal of files", [])
    path = f"{FAST}/rpm-bench-{os.getpid()}.sock"
    rows = [
        row("RPM_PORTS=off", RPM_PORTS="off"),
        row("auto, no unix path", RPM_PORTS="auto"),
        row("auto, with a unix path", path, RPM_PORTS="auto"),
    ]
    Path(path).unlink(missing_ok=True)
    table(f"us for each unlink, {ROUNDS} rounds of {FILES}", ["what", "median", "least", "most"], rows)
    del held


if __name__ == "__main__":
    main()
