"""Logs with the standard library: one line, one exception with its traceback, one line."""

import logging

logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
logging.info("before")
try:
    1 / 0
except ZeroDivisionError:
    logging.exception("it failed")
logging.info("after")
