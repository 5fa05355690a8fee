"""CPU of one call beside a plain Flask view that does the same: `python tests/bench/bench_rpc.py`.

Both run in one process through the WSGI interface, in turns, so that they share the machine's moods; the best of many
rounds counts. Targets: App.index at most 1.16, App.hello at most 1.2 of the plain view.
"""

import io
import json
import sys
import tempfile
import time
from pathlib import Path

from flask import Flask, jsonify, request

from config import Config
from opsplatform.accounts import service, sessions
from opsplatform.accounts.rpc import METHODS
from opsplatform.core.db import db, init_db, reading, transaction
from opsplatform.core.rpc import init_rpc

ROUNDS, CALLS = 40, 150


def make_app(folder, url):
    app = Flask("bench")
    app.extensions["settings"] = Config(ops_env="testing", ops_data_dir=folder)
    app.secret_key = "bench" * 8
    init_db(app, url)
    init_rpc(app, METHODS, authenticate=sessions.authenticate)
    app.add_url_rule(
        "/plain/index", "index", lambda: jsonify(jsonrpc="2.0", result="Hello World!", id=1), methods=["POST"]
    )

    def hello():
        token = request.headers["Authorization"].partition(" ")[2]
        with reading():
            found = sessions.authenticate(token)
        name = request.get_json()["params"]["name"]
        return jsonify(jsonrpc="2.0", result=f"Hello {name}!" if found else "", id=1)

    app.add_url_rule("/plain/hello", "hello", hello, methods=["POST"])
    return app


def caller_of(app, path, body, token=None):
    """A function that makes one WSGI call and refuses a wrong answer."""
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
        if b"Hello" not in b"".join(answer):
            raise SystemExit("a wrong answer")
        answer.close()

    return call


def cost(call):
    start = time.process_time()
    for _ in range(CALLS):
        call()
    return (time.process_time() - start) / CALLS


def compare(name, plain, ours, most):
    rounds = [(cost(plain), cost(ours)) for _ in range(ROUNDS)]
    best_plain, best_ours = (min(column) for column in zip(*rounds, strict=True))
    ratio = best_ours / best_plain
    print(f"{name}: plain {best_plain * 1e6:.0f} µs, ours {best_ours * 1e6:.0f} µs, ratio {ratio:.2f} (at most {most})")
    return ratio <= most


def main():
    with tempfile.TemporaryDirectory() as made:
        url = sys.argv[1] if len(sys.argv) > 1 else f"sqlite:///{made}/bench.db"
        app = make_app(Path(made), url)
        with app.app_context():
            db.create_all()
            with transaction():
                user = service.create_admin("bench", "a password for the bench")
                token = sessions.open_session(user).token
        body = {"jsonrpc": "2.0", "method": "App.index", "id": 1}
        good = compare("App.index", caller_of(app, "/plain/index", body), caller_of(app, "/api", body), 1.16)
        body = {"jsonrpc": "2.0", "method": "App.hello", "params": {"name": "jack"}, "id": 1}
        good &= compare(
            "App.hello", caller_of(app, "/plain/hello", body, token), caller_of(app, "/api", body, token), 1.2
        )
        with app.app_context():
            db.drop_all()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
