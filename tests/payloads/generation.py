"""Applications that answer which slot and which generation they are: `wsgi` for gunicorn, `asgi` for uvicorn."""

import os

BODY = "{} {}".format(os.environ.get("RPM_INSTANCE"), os.environ.get("RPM_GENERATION")).encode()


def wsgi(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(BODY)))])
    return [BODY]


async def asgi(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    headers = [(b"content-length", str(len(BODY)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": BODY})
