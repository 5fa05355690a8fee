"""Calls through the WSGI interface: no socket, no second process, so that only the application is measured."""

import io
import json
import sys


def caller_of(app, path, body, token=None, *, expect=b'"result"'):
    """A function that makes one call and refuses an answer that does not hold `expect`."""
    raw = json.dumps(body).encode()
    base = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": path,
        "SCRIPT_NAME": "",
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "5000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "localhost:5000",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(raw)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    if token:
        base["HTTP_AUTHORIZATION"] = f"Bearer {token}"

    def call():
        answer = app({**base, "wsgi.input": io.BytesIO(raw)}, lambda *_: None)
        whole = b"".join(answer)
        answer.close()
        if expect not in whole:
            raise RuntimeError(f"{path} answered {whole[:300]!r}")
        return whole

    return call


def rpc_body(method, **params):
    """A JSON-RPC call."""
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
