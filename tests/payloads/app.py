"""The smallest WSGI application that tells who answered; for gunicorn."""

import os


def application(environ, start_response):
    body = ('{"pid": %d, "slot": "%s"}\n' % (os.getpid(), os.environ["NODE_APP_INSTANCE"])).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
