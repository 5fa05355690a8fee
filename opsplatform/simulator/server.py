"""Puts the local DingTalk together and serves it: `create_simulator`, `serve`, and `running` for tests and the demo."""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType

from flask import Flask, Response, jsonify, request
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from opsplatform.simulator import callbacks, messages, seed
from opsplatform.simulator.api import api
from opsplatform.simulator.control import CONSOLE, control
from opsplatform.simulator.faults import Faults
from opsplatform.simulator.oapi import oapi, refuse_token
from opsplatform.simulator.pushes import Pusher
from opsplatform.simulator.wire import PushRules, Subscription
from opsplatform.simulator.world import World

LARGEST_BODY = 4 * 1024 * 1024
EXTRA_ROUTES = (callbacks, messages)  # importing them puts their routes on the old family's blueprint

log = logging.getLogger(__name__)


class Handler(WSGIRequestHandler):
    """Sends small answers at once."""

    disable_nagle_algorithm = True

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Stay silent; the push log and the control interface tell what happened."""


def create_simulator(
    *,
    callback_url: str = "",
    token: str = seed.CALLBACK_TOKEN,
    aes_key: str = seed.CALLBACK_AES_KEY,
    retry_delays: tuple[float, ...] = (10, 30),
) -> Flask:
    """A DingTalk with its seed people and forms; with a `callback_url` the app's events go there from the start."""
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_BODY
    for blueprint in (api, oapi, control):
        app.register_blueprint(blueprint)
    app.register_error_handler(404, _unknown_address)
    app.register_error_handler(405, _unknown_address)

    rules, faults = PushRules(seed.CORP_ID, retry_delays), Faults()
    pusher = Pusher(replace(rules), faults)
    console = Subscription(callback_url, token, aes_key, seed.APP_KEY) if callback_url else None

    def reset() -> None:
        """Begin anew, with what the simulator was started with."""
        world = World(app=seed.APP, users=seed.users(), templates=seed.templates(), departments=seed.DEPARTMENTS)
        world.publish = pusher.publish
        app.extensions["world"] = world
        faults.clear()
        pusher.forget()
        pusher.adjust(replace(rules))
        pusher.subscriptions.clear()
        if console is not None:
            pusher.subscriptions[CONSOLE] = console

    app.extensions.update(pusher=pusher, faults=faults, reset=reset)
    reset()
    return app


def serve(
    host: str = "127.0.0.1",
    port: int = 5001,
    *,
    callback_url: str = "",
    token: str = seed.CALLBACK_TOKEN,
    aes_key: str = seed.CALLBACK_AES_KEY,
) -> None:
    """Serve until Ctrl-C or SIGTERM."""
    app = create_simulator(callback_url=callback_url, token=token, aes_key=aes_key)
    server = _server(app, host, port)

    def stop(_number: int, _frame: FrameType | None) -> None:
        # Shutting down waits for the loop of this very thread, so another one has to ask for it.
        threading.Thread(target=server.shutdown, daemon=True).start()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    log.info("the local DingTalk is ready", extra={"address": f"http://{host}:{server.server_port}"})
    try:
        server.serve_forever()
    finally:
        _close(server, app)


@contextmanager
def running(app: Flask, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serve in a thread for the length of a block; gives the address."""
    server = _server(app, host, port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://{host}:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        _close(server, app)


def _server(app: Flask, host: str, port: int) -> BaseWSGIServer:
    return make_server(host, port, app, threaded=True, request_handler=Handler)


def _close(server: BaseWSGIServer, app: Flask) -> None:
    server.server_close()
    if "pusher" in app.extensions:
        app.extensions["pusher"].close()


def _unknown_address(_error: Exception) -> Response | tuple[Response, int]:
    """What the old family says about an address it does not know; the token is looked at first."""
    if request.path.startswith("/sim/"):
        return jsonify(code="notFound", message=f"There is no {request.method} {request.path}."), 404
    if request.path.startswith("/topapi/") and (refused := refuse_token()) is not None:
        return refused
    return jsonify(errcode=404, errmsg="请求的URI地址不存在")
