"""A minimal WSGI application that tells which process answered; for gunicorn."""

import os
from urllib.parse import parse_qs


def application(environ, start_response):
    slot = os.environ.get("NODE_APP_INSTANCE", "-")
    nonce = parse_qs(environ["QUERY_STRING"]).get("nonce", [""])[0]
    body = ('{"pid": %d, "slot": "%s", "nonce": "%s"}\n' % (os.getpid(), slot, nonce)).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
