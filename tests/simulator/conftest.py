"""A running local DingTalk, a subscriber that takes its pushes, and a bare HTTP client to look at raw answers."""

import threading
import time

import pytest
import requests
from flask import Flask, request

from opsplatform.adapters.dingtalk_crypto import BadEvent, EventCrypto, normalise, read_query
from opsplatform.simulator import seed
from opsplatform.simulator.client import Simulator
from opsplatform.simulator.server import create_simulator, running


@pytest.fixture
def subscriber():
    """Takes pushes as the platform does and keeps them; `broken` answers something else."""
    app = Flask("subscriber")
    app.crypto = EventCrypto(seed.CALLBACK_TOKEN, seed.CALLBACK_AES_KEY, [seed.APP_KEY, seed.CORP_ID])
    app.release = threading.Event()
    app.events, app.refused, app.queries, app.owners, app.broken = [], [], [], [], []

    @app.post("/callback")
    def callback():
        app.queries.append(request.args.to_dict(flat=False))
        if app.broken:
            return app.broken.pop(0)
        try:
            signature, timestamp, nonce = read_query(app.queries[-1])
            body = request.get_data()
            text, owner = app.crypto.open(signature=signature, timestamp=timestamp, nonce=nonce, body=body)
        except BadEvent as error:
            app.refused.append(error.detail)
            return {}, 400
        app.owners.append(owner)
        app.events.append(normalise(text))
        return app.crypto.answer(owner)

    @app.post("/slow")
    def slow():
        app.release.wait(5)
        return {}

    with running(app) as url:
        app.url = f"{url}/callback"
        yield app
        app.release.set()


@pytest.fixture
def wait_for():
    """Waits until a condition holds, at most five seconds."""

    def wait(holds):
        pause, until = threading.Event(), time.monotonic() + 5
        while not holds():
            assert time.monotonic() < until, "waited in vain"
            pause.wait(0.01)

    return wait


@pytest.fixture
def simulator(subscriber):
    with running(create_simulator(callback_url=subscriber.url, retry_delays=(0, 0))) as url:
        yield Simulator(url)


class Raw:
    """Calls the simulator as any client would and returns status and JSON."""

    def __init__(self, url):
        self.url = url
        secrets = {"appKey": seed.APP_KEY, "appSecret": seed.APP_SECRET}
        self.token = self.post("/v1.0/oauth2/accessToken", secrets, token="")[1]["accessToken"]

    def get(self, path, token=None, **params):
        return self._answer("GET", path, token, params, None)

    def post(self, path, body=None, token=None, **params):
        return self._answer("POST", path, token, params, body)

    def _answer(self, method, path, token, params, body):
        token = self.token if token is None else token
        headers = {"x-acs-dingtalk-access-token": token} if path.startswith("/v1.0") and token else {}
        if not path.startswith("/v1.0"):
            params = {"access_token": token, **params}
        answer = requests.request(method, self.url + path, params=params, json=body, headers=headers, timeout=5)
        return answer.status_code, answer.json()


@pytest.fixture
def raw(simulator):
    return Raw(simulator.base_url)


@pytest.fixture
def server_form():
    return {"服务器名称": "web", "规格": "small"}
