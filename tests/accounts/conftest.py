"""An application with the methods of accounts only."""

import json

import pytest
from flask import Flask

from config import Config
from opsplatform.accounts import service, sessions
from opsplatform.accounts.rpc import METHODS
from opsplatform.core.db import db, init_db, transaction
from opsplatform.core.rpc import init_rpc

PASSWORD = "correct horse battery"


class Accounts:
    """Talks to `/api` of one application."""

    def __init__(self, app):
        self.app = app
        self.client = app.test_client()

    def call(self, method, token=None, **params):
        body = {"jsonrpc": "2.0", "method": method, "params": params, "id": 1}
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return json.loads(self.client.post("/api", json=body, headers=headers).data)

    def result(self, *args, **kw):
        answer = self.call(*args, **kw)
        assert "result" in answer, answer
        return answer["result"]

    def code(self, *args, **kw):
        return self.call(*args, **kw).get("error", {}).get("code")

    def login(self, username, password=PASSWORD):
        return self.result("user.verify", username=username, password=password)

    def admin(self, username="root"):
        with self.app.app_context(), transaction():
            service.create_admin(username, PASSWORD)
        return self.login(username)["token"]

    def member(self, username="jack"):
        self.result("user.register", username=username, password=PASSWORD)
        return self.login(username)["token"]


@pytest.fixture
def make_accounts(tmp_path, database_url):
    made = []

    def make(**settings):
        app = Flask("accounts")
        app.extensions["settings"] = Config(
            **{"ops_env": "testing", "ops_data_dir": tmp_path, "secret_key": "k" * 40, **settings}
        )
        init_db(app, database_url)
        init_rpc(app, METHODS, authenticate=sessions.authenticate)
        made.append(app)
        return Accounts(app)

    yield make
    for app in made:
        with app.app_context():
            db.session.remove()
            db.engine.dispose()


@pytest.fixture
def accounts(make_accounts):
    return make_accounts()


@pytest.fixture(autouse=True)
def quick_hash(request, monkeypatch):
    """A cheap scrypt, unless a test is about the real one."""
    if "real_hash" in request.fixturenames:
        return
    from opsplatform.accounts import passwords

    cheap = passwords.generate_password_hash
    monkeypatch.setattr(passwords, "generate_password_hash", lambda password: cheap(password, "scrypt:256:8:1"))
    monkeypatch.setattr(passwords, "NOBODYS_HASH", f"scrypt:256:8:1${'0' * 16}${'0' * 128}")


@pytest.fixture
def real_hash():
    """Asks for the hash production uses."""
