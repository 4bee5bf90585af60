"""A minimal ASGI application that tells which process answered; for uvicorn."""

import os
from urllib.parse import parse_qs


async def application(scope, receive, send):
    if scope["type"] != "http":
        return
    nonce = parse_qs(scope["query_string"].decode()).get("nonce", [""])[0]
    body = ('{"pid": %d, "nonce": "%s"}\n' % (os.getpid(), nonce)).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
