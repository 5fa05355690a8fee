"""The http backend, request by request."""

import base64
import hashlib
import json

import pytest

from opsplatform.core.db import transaction
from opsplatform.states import service

LOCK = {"ID": "l-1", "Operation": "OperationTypeApply", "Who": "me@here", "Version": "1.11.4", "Created": "2026-01-01"}
URL = "/terraform/state/web"


@pytest.fixture
def ask(states_app, held):
    client = states_app.test_client()

    def request(method, body=b"", *, auth=held, url=URL, **headers):
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        return client.open(url, method=method, data=data, auth=auth, headers=headers)

    return request


def md5(content):
    return base64.b64encode(hashlib.md5(content).digest()).decode()


def test_the_story_of_one_command(ask, make_state):
    content = make_state()

    assert ask("GET").status_code == 204
    assert ask("LOCK", LOCK).status_code == 200
    assert ask("POST", content, url=f"{URL}?ID=l-1", **{"Content-MD5": md5(content)}).status_code == 200
    assert ask("UNLOCK", LOCK).status_code == 200
    got = ask("GET")
    assert (got.status_code, got.data, got.headers["Content-MD5"]) == (200, content, md5(content))


def test_without_a_credential_there_is_nothing_to_see(ask):
    for method in ("GET", "POST", "DELETE", "LOCK", "UNLOCK"):
        answer = ask(method, auth=None)

        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Basic")


@pytest.mark.parametrize("auth", [("7", "guessed"), ("8", None), ("", "")])
def test_a_wrong_credential_is_refused(ask, held, auth):
    answer = ask("GET", auth=(auth[0], held[1] if auth[1] is None else auth[1]))

    assert answer.status_code == 401


def test_a_credential_opens_no_other_workspace(ask):
    assert ask("GET", url="/terraform/state/api").status_code == 401


def test_a_token_made_for_another_purpose_is_refused(ask):
    assert ask("GET", Authorization="Bearer x", auth=None).status_code == 401


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "UNLOCK", "LOCK"])
def test_a_run_that_lost_its_fence_may_do_nothing(ask, states_app, make_state, method):
    with states_app.app_context(), transaction():
        service.hold("web", 7, fence=4)

    answer = ask(method, make_state() if method == "POST" else LOCK)

    assert answer.status_code == 403
    assert answer.json["error"] == "Run 7 does not hold workspace web any more."


def test_a_workspace_that_is_gone_is_not_an_empty_state(ask, states_app):
    with states_app.app_context():
        token = service.state_credential("gone", 7, 3)

    answer = ask("GET", url="/terraform/state/gone", auth=("7", token))

    assert answer.status_code == 403


def test_a_lock_names_its_holder(ask):
    ask("LOCK", LOCK)

    answer = ask("LOCK", {**LOCK, "ID": "l-2"})

    assert (answer.status_code, answer.json) == (423, LOCK)
    assert ask("LOCK", LOCK).status_code == 200


def test_another_run_is_told_who_holds_the_workspace(ask, states_app):
    with states_app.app_context(), transaction():
        token = service.state_credential("web", 8, 1)

    answer = ask("LOCK", LOCK, auth=("8", token))

    assert (answer.status_code, answer.json["ID"]) == (423, "held by run 7")


@pytest.mark.parametrize("query", ["", "?ID=l-2"])
def test_a_write_under_another_lock_is_refused(ask, make_state, query):
    ask("LOCK", LOCK)

    assert ask("POST", make_state(), url=URL + query).status_code == 423
    assert ask("DELETE", url=URL + query).status_code == 423


def test_unlocking_by_force_is_not_for_terraform(ask):
    ask("LOCK", LOCK)

    empty = ask("UNLOCK")
    other = ask("UNLOCK", {**LOCK, "ID": "l-2"})
    nameless = ask("UNLOCK", {"Who": "me"})

    assert (empty.status_code, other.status_code, nameless.status_code) == (400, 409, 409)
    assert "workspace.unlock" in empty.json["error"]
    assert other.json == LOCK


def test_unlocking_twice_is_fine(ask):
    ask("LOCK", LOCK)

    assert [ask("UNLOCK", LOCK).status_code for _ in range(2)] == [200, 200]


def test_a_lock_of_a_dead_worker_is_gone_with_its_fence(ask, states_app):
    ask("LOCK", LOCK)
    with states_app.app_context(), transaction():
        service.hold("web", 7, fence=4)
        token = service.state_credential("web", 7, 4)

    answer = ask("LOCK", {**LOCK, "ID": "l-2"}, auth=("7", token))

    assert answer.status_code == 200


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"ID": ""}', b'{"ID": 5}', b"\xff", b"[" * 60_000])
def test_a_lock_without_sense_is_refused(ask, body):
    assert ask("LOCK", body).status_code in {400, 409}


def test_a_body_that_was_damaged_on_the_way_is_refused(ask, make_state):
    answer = ask("POST", make_state(), **{"Content-MD5": md5(b"another")})

    assert answer.status_code == 400
    assert ask("GET").status_code == 204


def test_a_state_that_does_not_fit_is_refused(ask, make_state):
    ask("POST", make_state(serial=5))

    assert ask("POST", make_state(serial=4)).status_code == 409
    assert ask("POST", make_state(serial=6, lineage="two")).status_code == 409
    assert ask("POST", b"no state").status_code == 409
    assert json.loads(ask("GET").data)["serial"] == 5


def test_a_state_may_be_larger_than_other_bodies(ask, make_state):
    content = make_state(outputs={"big": {"value": "x" * 5_000_000, "type": "string"}})

    assert ask("POST", content).status_code == 200
    assert ask("GET").data == content


def test_there_is_a_limit_all_the_same(ask, monkeypatch):
    monkeypatch.setattr("opsplatform.states.views.LARGEST_STATE", 1000)

    assert ask("POST", b"x" * 1001).status_code == 413
    assert ask("LOCK", b"x" * 70_000).status_code == 413


def test_delete_begins_again_without_a_state(ask, make_state):
    ask("POST", make_state())

    assert ask("DELETE").status_code == 200
    assert ask("GET").status_code == 204
