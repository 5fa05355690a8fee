"""A small application around the dispatcher, with methods of the test's own."""

import json

import pytest
from flask import Flask
from sqlalchemy import Column, Integer, MetaData, String, Table, select

from config import Config
from opsplatform.core.db import db, init_db
from opsplatform.core.rpc import Principal, init_rpc
from tests.miniatures import platform

__all__ = ["platform"]

GOOD_TOKEN = "good-token"


# Apart from the models of the platform, so that no migration is missed for it.
notes = Table(
    "rpc_test_note",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("text", String(50), unique=True),
)


class Api:
    """Talks to `/api` of one application."""

    def __init__(self, app):
        self.app = app
        self.client = app.test_client()

    def post(self, body, **kw):
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.client.post("/api", data=raw, content_type=kw.pop("content_type", "application/json"), **kw)

    def call(self, method, params=None, token=None, **kw):
        body = {"jsonrpc": "2.0", "method": method, "id": 1}
        if params is not None:
            body["params"] = params
        headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        response = self.post(body, headers=headers, **kw)
        assert response.status_code == 200
        return response.get_json()

    def result(self, *args, **kw):
        answer = self.call(*args, **kw)
        assert "result" in answer, answer
        return answer["result"]

    def error(self, *args, **kw):
        answer = self.call(*args, **kw)
        assert "error" in answer, answer
        return answer["error"]

    def notes(self):
        with self.app.app_context():
            return list(db.session.scalars(select(notes.c.text).order_by(notes.c.id)))


@pytest.fixture
def principal():
    """Whom GOOD_TOKEN belongs to."""
    return Principal(7, "jack", "Jack", None, ("**",))


@pytest.fixture
def rpc_api(tmp_path, database_url, principal):
    """Make an application with `methods`; `GOOD_TOKEN` logs in."""
    made = []

    def make(*methods, ops_env="testing", patterns=None, **settings):
        who = principal if patterns is None else Principal(7, "jack", "Jack", None, patterns)
        app = Flask("rpc")
        app.extensions["settings"] = Config(ops_env=ops_env, ops_data_dir=tmp_path, **settings)
        init_db(app, database_url)
        init_rpc(app, methods, authenticate=lambda token: who if token == GOOD_TOKEN else None)
        with app.app_context():
            notes.metadata.create_all(db.engine)
        made.append(app)
        return Api(app)

    yield make
    for app in made:
        with app.app_context():
            db.session.remove()
            notes.metadata.drop_all(db.engine)
            db.engine.dispose()
