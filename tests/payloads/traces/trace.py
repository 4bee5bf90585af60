"""Tracebacks as logging, threads, asyncio and the interpreter write them. What begins with "INFO" is one line."""
import asyncio
import gc
import logging
import threading

logging.basicConfig(level="INFO", format="%(levelname)s:%(name)s:%(message)s")
log = logging.getLogger("web")


def inner():
    return {}["missing"]


log.info("before")
try:
    try:
        inner()
    except KeyError as error:
        raise ValueError("a bad value") from error
except ValueError:
    log.exception("with its cause")
log.info("between")
try:
    try:
        inner()
    except KeyError:
        1 / 0
except ZeroDivisionError:
    log.exception("while another was handled")
log.info("with its stack", stack_info=True)
thread = threading.Thread(target=inner)
thread.start()
thread.join()


async def main():
    task = asyncio.ensure_future(asyncio.to_thread(inner))
    await asyncio.wait([task])
    del task


asyncio.run(main())
gc.collect()
try:
    eval("call(")
except SyntaxError:
    log.exception("with a place in the source")
log.info("after")
raise ValueError("nobody catches it")
