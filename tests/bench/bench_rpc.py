"""CPU of one JSON-RPC call beside a plain Flask view that does the same.

Both run in one process through the WSGI interface, in turns, so that they share the machine's moods; the best of many
rounds counts.
"""

import tempfile
import time
from pathlib import Path

from flask import Flask, jsonify, request

from config import Config
from opsplatform.accounts import service, sessions
from opsplatform.accounts.rpc import METHODS
from opsplatform.core.db import db, init_db, reading, transaction
from opsplatform.core.rpc import init_rpc
from tests.bench.calls import caller_of, rpc_body
from tests.bench.figures import Figure, lower

ROUNDS, CALLS = 40, 150


def measure() -> list[Figure]:
    """A method that does nothing, and one that looks its caller up."""
    with tempfile.TemporaryDirectory() as made:
        app = make_app(Path(made), f"sqlite:///{made}/bench.db")
        with app.app_context():
            db.create_all()
            with transaction():
                user = service.create_admin("bench", "a password for the bench")
                token = sessions.open_session(user).token
        figures = [
            compare(app, "index", rpc_body("App.index"), None, 1.16),
            compare(app, "hello", rpc_body("App.hello", name="jack"), token, 1.2),
        ]
        with app.app_context():
            db.engine.dispose()
    return figures


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


def compare(app, name, body, token, at_most):
    plain = caller_of(app, f"/plain/{name}", body, token, expect=b"Hello")
    ours = caller_of(app, "/api", body, token, expect=b"Hello")
    rounds = [(cost(plain), cost(ours)) for _ in range(ROUNDS)]
    best_plain, best_ours = (min(column) for column in zip(*rounds, strict=True))
    return lower(f"App.{name}, CPU", best_ours, best_plain, unit="µs", beside="plain Flask view", at_most=at_most)


def cost(call):
    start = time.process_time()
    for _ in range(CALLS):
        call()
    return (time.process_time() - start) / CALLS
