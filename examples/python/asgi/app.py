"""An ASGI application. uvicorn serves it in one process, with one event loop."""

import os


async def app(scope, receive, send):
    if scope["type"] != "http":
        # uvicorn asks for "lifespan" too; an application may refuse it.
        raise NotImplementedError(scope["type"])
    body = f"hello from worker {os.environ.get('RPM_INSTANCE')}\n".encode()
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
