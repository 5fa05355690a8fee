"""A transaction that the database gives up for the sake of another one is done again, where that is safe."""

import sqlite3
import threading

import pytest
from sqlalchemy import column, create_engine, insert, make_url, select, table, text, update

from opsplatform.core import db as database
from opsplatform.core.db import db
from opsplatform.core.rpc import Method
from tests.support import SERVERS

GOOD_TOKEN = "good-token"
NOTES = table("rpc_test_note", column("id"), column("text"))
OWN_NAME = "ops_repair_deadlocks"
DEADLOCKING = [pytest.param(kind, marks=pytest.mark.server(kind)) for kind in ("postgresql", "mariadb")]


@pytest.fixture
def database_url(request, tmp_path):
    """The address of an empty database of the kind a test names."""
    kind = getattr(request, "param", "sqlite")
    if kind == "sqlite":
        return f"sqlite:///{tmp_path / 'ops.db'}"
    engine = create_engine(SERVERS[kind], isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        force = " WITH (FORCE)" if kind == "postgresql" else ""
        connection.execute(text(f"DROP DATABASE IF EXISTS {OWN_NAME}{force}"))
        connection.execute(text(f"CREATE DATABASE {OWN_NAME}"))
    engine.dispose()
    return make_url(SERVERS[kind]).set(database=OWN_NAME).render_as_string(hide_password=False)


class Meeting:
    """Two calls that mark two rows in opposite order, and meet when each has its first one."""

    def __init__(self):
        self.calls = []
        self._barrier = threading.Barrier(2, timeout=30)

    def mark_both(self, first, second, *, savepoint):
        self.calls.append(first)
        mark(first, first)
        if self.calls.count(first) == 1:
            self._barrier.wait()
        if savepoint:
            with db.session.begin_nested():
                mark(second, first)
        else:
            mark(second, first)
        return first


def mark(row, sign):
    db.session.execute(update(NOTES).where(NOTES.c.id == row).values(text=NOTES.c.text.concat(str(sign))))


@pytest.fixture
def meeting():
    return Meeting()


@pytest.fixture
def api(rpc_api, meeting):
    """Two rows, and methods that mark both."""

    def mark_both(first: int, second: int) -> int:
        return meeting.mark_both(first, second, savepoint=False)

    def mark_in_savepoint(first: int, second: int) -> int:
        return meeting.mark_both(first, second, savepoint=True)

    made = rpc_api(
        Method("note.mark", mark_both, changes=True),
        Method("note.mark_in_savepoint", mark_in_savepoint, changes=True),
        Method("note.mark_and_tell", mark_both, changes=True, outside=True),
    )
    with made.app.app_context():
        db.session.execute(insert(NOTES), [{"id": 1, "text": "a"}, {"id": 2, "text": "b"}])
        db.session.commit()
        db.session.remove()
    return made


def call_crosswise(api, method):
    """Both calls at once; their answers."""
    answers = {}

    def ask(first, second):
        params = {"first": first, "second": second, "token": GOOD_TOKEN}
        body = {"jsonrpc": "2.0", "method": method, "params": params, "id": first}
        answers[first] = api.app.test_client().post("/api", json=body).get_json()

    threads = [threading.Thread(target=ask, args=pair) for pair in ((1, 2), (2, 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


@pytest.mark.parametrize("database_url", DEADLOCKING, indirect=True)
@pytest.mark.parametrize("method", ["note.mark", "note.mark_in_savepoint"])
def test_of_two_calls_that_lock_each_other_out_both_succeed(api, meeting, method):
    answers = call_crosswise(api, method)

    assert {first: answer.get("result") for first, answer in answers.items()} == {1: 1, 2: 2}
    assert len(meeting.calls) == 3
    assert sorted(sorted(note[1:]) for note in api.notes()) == [["1", "2"], ["1", "2"]]


@pytest.mark.parametrize("database_url", DEADLOCKING, indirect=True)
def test_a_method_that_does_something_elsewhere_is_not_done_again(api, meeting):
    answers = call_crosswise(api, "note.mark_and_tell")

    (winner,) = [first for first, answer in answers.items() if "result" in answer]
    (loser,) = [answer["error"]["code"] for answer in answers.values() if "error" in answer]
    assert loser == -32603
    assert len(meeting.calls) == 2
    assert [note[1:] for note in api.notes()] == [str(winner)] * 2


@pytest.fixture
def busy(rpc_api, database_url, monkeypatch):
    """A method that finds the database taken by another writer, who gives way after so many of its tries."""
    monkeypatch.setattr(database, "BUSY_TIMEOUT_MS", 20)
    calls, gives_way = [], [database.MOST_TRIES]

    def add(text: str) -> int:
        calls.append(text)
        if len(calls) == gives_way[0]:
            other.rollback()
        db.session.execute(insert(NOTES).values(text=text))
        return len(calls)

    made = rpc_api(Method("note.add", add, changes=True))
    other = sqlite3.connect(database_url.removeprefix("sqlite:///"), isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    yield made, gives_way
    other.close()


def test_a_call_that_finds_sqlite_busy_is_tried_again(busy):
    api, _ = busy

    assert api.result("note.add", {"text": "late"}, token=GOOD_TOKEN) == database.MOST_TRIES
    assert api.notes() == ["late"]


def test_it_is_not_tried_for_ever(busy):
    api, gives_way = busy
    gives_way[0] = database.MOST_TRIES + 1

    assert api.error("note.add", {"text": "too late"}, token=GOOD_TOKEN)["code"] == -32603
    assert api.notes() == []


@pytest.mark.server("mariadb")
@pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
def test_a_call_that_waited_too_long_for_a_lock_is_tried_again(rpc_api, database_url):
    calls = []

    def mark_patiently(row: int) -> int:
        calls.append(row)
        if len(calls) == 2:
            other.rollback()
        db.session.execute(text("SET SESSION innodb_lock_wait_timeout = 1"))
        mark(row, "!")
        return len(calls)

    api = rpc_api(Method("note.mark", mark_patiently, changes=True))
    engine = create_engine(database_url)
    with engine.connect() as other:
        other.execute(insert(NOTES).values(id=1, text="a"))
        other.commit()
        other.execute(select(NOTES).with_for_update())

        assert api.result("note.mark", {"row": 1}, token=GOOD_TOKEN) == 2
    engine.dispose()
    assert api.notes() == ["a!"]
