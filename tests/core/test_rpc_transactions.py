"""One call, one transaction; the same request_id, one effect."""

import threading

import pytest
from sqlalchemy import column, insert, inspect, select, table

from opsplatform.core.db import after_commit, db, now
from opsplatform.core.errors import Conflict
from opsplatform.core.rpc import Method
from opsplatform.core.rpc_answers import AnsweredCall, forget_answers

GOOD_TOKEN = "good-token"


NOTES = table("rpc_test_note", column("id"), column("text"))


def add(text: str) -> int:
    db.session.execute(insert(NOTES).values(text=text))
    return db.session.scalar(select(NOTES.c.id).where(NOTES.c.text == text))


def add_and_fail(text: str) -> int:
    add(text)
    raise Conflict("Too late.")


def add_and_answer_badly(text: str) -> int:
    add(text)
    return "no number"


def add_in_passing(text: str) -> int:
    return add(text)


def count() -> int:
    return len(db.session.scalars(select(NOTES.c.id)).all())


def in_transaction() -> bool:
    return bool(db.session().in_transaction())


committed = []


def wake(text: str) -> int:
    after_commit(lambda: committed.append(text))
    return add(text)


@pytest.fixture
def api(rpc_api):
    committed.clear()
    return rpc_api(
        Method("note.add", add, changes=True),
        Method("note.add_and_fail", add_and_fail, changes=True),
        Method("note.add_and_answer_badly", add_and_answer_badly, changes=True),
        Method("note.wake", wake, changes=True),
        Method("note.add_in_passing", add_in_passing),
        Method("note.count", count),
        Method("note.in_transaction", in_transaction, changes=True),
        Method("note.public", add, public=True, changes=True),
    )


def call(method, text, token=GOOD_TOKEN, **params):
    return {"jsonrpc": "2.0", "method": method, "params": {"text": text, "token": token, **params}, "id": 1}


def test_a_failed_call_keeps_nothing_and_its_neighbours_keep_everything(api):
    batch = [
        call("note.add", "first"),
        call("note.add_and_fail", "second"),
        call("note.add", "first"),
        call("note.add_and_answer_badly", "third"),
        call("note.add", "last"),
    ]

    answers = api.post(batch).get_json()

    assert [one.get("error", {}).get("code") for one in answers] == [None, -32021, -32603, -32603, None]
    assert api.notes() == ["first", "last"]


def test_a_method_that_only_reads_keeps_nothing(api):
    api.post([call("note.add_in_passing", "lost"), call("note.add", "kept")])

    assert api.notes() == ["kept"]


def test_the_function_itself_opens_the_transaction_with_its_first_statement(api):
    assert api.result("note.in_transaction", token=GOOD_TOKEN) is False


def test_what_waits_for_the_commit_runs_after_it(api):
    api.post([call("note.wake", "a"), call("note.wake", "a"), call("note.wake", "b")])

    assert committed == ["a", "b"]


def test_the_same_request_id_answers_the_same_and_does_nothing_twice(api):
    first = api.post(call("note.add", "one", request_id="12345678")).get_json()
    second = api.post(call("note.add", "one", request_id="12345678")).get_json()

    assert first == second
    assert "result" in first
    assert api.notes() == ["one"]


def test_the_same_request_id_with_other_params_is_a_conflict(api):
    api.post(call("note.add", "one", request_id="12345678"))
    answer = api.post(call("note.add", "two", request_id="12345678")).get_json()

    assert answer["error"]["code"] == -32021
    assert api.notes() == ["one"]


def test_a_call_that_failed_may_be_tried_again_with_its_request_id(api):
    assert api.post(call("note.add_and_fail", "one", request_id="12345678")).get_json()["error"]["code"] == -32021
    assert api.post(call("note.add_and_fail", "one", request_id="12345678")).get_json()["error"]["code"] == -32021
    with api.app.app_context():
        assert db.session.scalar(db.select(db.func.count(AnsweredCall.id))) == 0


@pytest.mark.parametrize("request_id", ["1234567", "x" * 65, 12345678, None, ["12345678"]])
def test_a_request_id_that_is_none_is_refused(api, request_id):
    answer = api.post(call("note.add", "one", request_id=request_id)).get_json()

    assert answer["error"]["code"] == -32602
    assert list(answer["error"]["data"]["errors"]) == ["request_id"]
    assert api.notes() == []


def test_a_reading_method_takes_no_request_id(api):
    assert api.error("note.count", {"request_id": "12345678"}, token=GOOD_TOKEN)["code"] == -32602


def test_a_public_method_takes_a_request_id_too(api):
    body = {"jsonrpc": "2.0", "method": "note.public", "params": {"text": "one", "request_id": "密" * 64}, "id": 1}

    assert api.post(body).get_json() == api.post(body).get_json()
    assert api.notes() == ["one"]


def test_what_is_kept_of_an_answer_is_sealed(api):
    api.post(call("note.add", "one", request_id="12345678"))

    with api.app.app_context():
        kept = db.session.scalar(db.select(AnsweredCall))
        assert b"result" not in kept.sealed
        assert "12345678" not in str(
            {column.key: getattr(kept, column.key) for column in inspect(AnsweredCall).columns}
        )


def test_the_same_request_id_at_once_has_one_effect_and_one_answer(api):
    start, answers = threading.Barrier(4), []

    def race():
        client = api.app.test_client()
        start.wait()
        answers.append(client.post("/api", json=call("note.add", "one", request_id="12345678")).get_json())

    threads = [threading.Thread(target=race) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert answers == [answers[0]] * 4
    assert "result" in answers[0]
    assert api.notes() == ["one"]


def test_old_answers_can_be_forgotten(api):
    api.post(call("note.add", "one", request_id="12345678"))

    with api.app.app_context():
        forget_answers(now())
        assert db.session.scalar(db.select(db.func.count(AnsweredCall.id))) == 0
        db.session.rollback()
