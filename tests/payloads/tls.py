"""Speaks only TLS on PORT, with the key and the certificate in the directory CERTIFICATE."""

import os
import ssl
from http.server import ThreadingHTTPServer

from prometheus_client import MetricsHandler

directory = os.environ["CERTIFICATE"]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(f"{directory}/cert", f"{directory}/key")
server = ThreadingHTTPServer(("", int(os.environ["PORT"])), MetricsHandler)
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()
