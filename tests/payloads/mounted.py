"""A FastAPI application whose metrics are mounted: /metrics is redirected to /metrics/."""

from fastapi import FastAPI
from prometheus_client import Counter, make_asgi_app

requests = Counter("app_requests", "Requests answered.")
app = FastAPI()


@app.get("/")
def root():
    requests.inc()
    return "hello"


app.mount("/metrics", make_asgi_app())
