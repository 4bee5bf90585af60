#!/usr/bin/env python3
"""From exec to the whole table: `rpmctl list` and `pm2 list`, with the same number of processes."""

import json
import resource
import time

from common import *

ROUNDS = 21
RPMCTL = RUNTIME.with_name("rpmctl")
TOOL = PM2.with_name("pm2")


def asked(words, env, rows):
    """The median and the least time of one list, and its CPU time, ms. Every row must be there."""
    times, spent = [], []
    for _ in range(ROUNDS):
        # The runtime gives one reading of the system to all who ask within 200 ms.
        time.sleep(0.25)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        begin = time.monotonic()
        said = subprocess.run([str(word) for word in words], env=env, capture_output=True, text=True, check=True)
        times.append((time.monotonic() - begin) * 1e3)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append((after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1e3)
        found = rows(said.stdout)
        assert found, said.stdout
    return [median(times, 1), round(min(times), 1), median(spent, 1)]


def used(pid):
    """CPU time of a process, seconds, with that of threads that have ended."""
    fields = stat(pid)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ours(slots):
    with started(runtime(EXAMPLES / "echo_server", workers=slots, RPM_CONTROL="on")) as process:
        until("all ready", lambda: get("/startupz", ADMIN), 60)
        quiet()
        words = [RPMCTL, "list", "--pid", process.pid]
        env = {"PATH": os.environ["PATH"]}
        before = used(process.pid)
        told = asked(words, env, lambda text: text.count("  ready  ") == slots)
        return ["`rpmctl list`", slots, *told, round((used(process.pid) - before) * 1e3 / ROUNDS, 1)]


def theirs(count, daemon):
    """pm2 with its daemon, or beside pm2-runtime, which is its own daemon."""
    home = tempfile.mkdtemp(prefix="bench-")
    env = {"PATH": os.environ["PATH"], "HOME": home, "PM2_HOME": home}
    app = {"name": "app", "script": "/bin/sleep", "args": "100000", "interpreter": "none", "exec_mode": "fork"}
    file = Path(home) / "apps.json"
    file.write_text(json.dumps({"apps": [{**app, "instances": count}]}))
    online = lambda text: text.count("online") >= count
    quietly = {"env": env, "stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = None
    try:
        if daemon:
            subprocess.run([str(TOOL), "start", str(file)], check=True, **quietly)
        else:
            process = subprocess.Popen([str(PM2), "start", str(file)], start_new_session=True, **quietly)
        listed = lambda: subprocess.run([str(TOOL), "list"], env=env, capture_output=True, text=True).stdout
        until("all online", lambda: online(listed()), 120)
        quiet()
        own = int((Path(home) / "pm2.pid").read_text()) if daemon else process.pid
        before = used(own)
        told = asked([TOOL, "list"], env, online)
        what = "`pm2 list`" if daemon else "`pm2 list` beside pm2-runtime"
        return [what, count, *told, round((used(own) - before) * 1e3 / ROUNDS, 1)]
    finally:
        if process:
            end(process)
        else:
            subprocess.run([str(TOOL), "kill"], **quietly)
        shutil.rmtree(home, ignore_errors=True)


def main():
    held = begin("List")
    head = ["what", "processes", "ms", "least", "CPU ms of it", "CPU ms of who is asked"]
    rows = [ours(4), ours(64), ours(512), theirs(4, True), theirs(64, True), theirs(4, False)]
    table(f"exec to the whole table; medians of {ROUNDS}", head, rows)
    del held


if __name__ == "__main__":
    main()
