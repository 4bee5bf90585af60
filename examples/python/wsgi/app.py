"""A WSGI application. waitress serves it in one process, with threads."""

import os


def app(environ, start_response):
    body = f"hello from worker {os.environ.get('RPM_INSTANCE')}\n".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
