"""However much Terraform says, a limited part of it is kept; what it says about a mistake always is."""

import json
import sqlite3

import pytest
from sqlalchemy import event, update
from sqlalchemy.exc import OperationalError

from opsplatform.adapters.process import LogLine
from opsplatform.adapters.terraform_events import parse
from opsplatform.core import leases
from opsplatform.core.db import db, now, transaction
from opsplatform.core.leases import LeaseLost
from opsplatform.core.masking import Scrubber
from opsplatform.runs import queries, watch
from opsplatform.runs.models import Run
from opsplatform.runs.watch import RunWatch
from opsplatform.runs.workdir import Workdir


@pytest.fixture
def watching(order_run, tmp_path):
    """The watch of a run that is being planned."""
    run_id = order_run()
    with transaction():
        lease = leases.claim(Run, run_id)
    return RunWatch(lease, Scrubber(["hunter2-hunter2"]), workdir=Workdir(tmp_path), mirror=False)


def said(text):
    return LogLine(at=now(), stream="stdout", text=text)


def mistake(summary):
    text = json.dumps({"type": "diagnostic", "diagnostic": {"severity": "error", "summary": summary}})
    return LogLine(at=now(), stream="stdout", text=text, message=parse(text))


def kept(watching):
    """What a viewer sees at the end."""
    with transaction():
        watching.save()
    return [line.text for line in queries.log_lines(watching._lease.row_id, limit=1000)]


def test_lines_beyond_the_most_are_cut_and_it_is_said_once(watching):
    watching._lines_left = 3

    watching.lines([said(f"line {n}") for n in range(6)])
    watching.lines([said("line 6")])

    assert kept(watching) == ["line 0", "line 1", "line 2", watch.CUT]


def test_text_beyond_the_most_is_cut_too(watching):
    watching._text_left = 1_000

    watching.lines([said("x" * 600), said("y" * 600), said("z")])

    assert kept(watching) == ["x" * 600, "y" * 600, watch.CUT]


def test_a_mistake_is_shown_however_much_was_said_before(watching):
    watching._lines_left = 1

    watching.lines([said("one"), said("two"), mistake("quota used up"), said("three")])

    assert kept(watching) == ["one", watch.CUT, "Error: quota used up"]
    assert [error.summary for error in watching.progress.errors] == ["quota used up"]


def test_much_that_is_said_at_once_is_written_at_once(watching, monkeypatch):
    monkeypatch.setattr(watch, "MOST_WAITING", 10)

    watching.lines([said(f"line {n}") for n in range(25)])

    assert queries.progress(watching._lease.row_id).last_line == 20
    assert len(watching._waiting) == 5
    assert kept(watching) == [f"line {n}" for n in range(25)]


def test_a_long_line_waits_cut_and_without_secrets(watching):
    watching.lines([said("hunter2-hunter2 " + "x" * 20_000)])

    (row,) = watching._waiting
    assert len(row["text"]) <= watch.LONGEST_LINE
    assert "hunter2" not in row["text"]


def test_what_could_not_be_committed_waits_for_the_next_time(watching):
    watching.lines([said("one")])
    with pytest.raises(ZeroDivisionError), transaction():
        save_and_fail(watching)

    assert kept(watching) == ["one"]


def test_a_writing_that_the_database_gave_up_is_done_again(watching, monkeypatch):
    """The whole of it: the lease, the lines, the state."""
    monkeypatch.setattr(watch, "FLUSH_SECONDS", 0.0)
    left = [True]

    @event.listens_for(db.engine, "before_cursor_execute")
    def give_up(_connection, _cursor, statement, *_):
        if "run_log_line" in statement and left.pop():
            left.append(False)
            raise given_up()

    try:
        watching.lines([said("one")])
    finally:
        event.remove(db.engine, "before_cursor_execute", give_up)

    assert kept(watching) == ["one"]


def test_a_worker_that_lost_its_run_writes_nothing(watching, monkeypatch):
    monkeypatch.setattr(watch, "FLUSH_SECONDS", 0.0)
    with transaction():
        db.session.execute(update(Run).values(fence=99))

    with pytest.raises(LeaseLost):
        watching.lines([said("one")])

    assert queries.log_lines(watching._lease.row_id) == []


def save_and_fail(watching):
    watching.save()
    raise ZeroDivisionError


def given_up():
    """What the driver says when the database broke a transaction off."""
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY
    return OperationalError("INSERT", {}, error)


def test_while_the_database_is_away_terraform_goes_on_and_what_it_said_is_written_later(watching, monkeypatch):
    def away(_work):
        raise OperationalError("UPDATE", {}, Exception("connection refused"))

    with monkeypatch.context() as outage:
        outage.setattr(watch, "in_transaction", away)
        outage.setattr(watching, "_read_stop", lambda: away(None))
        outage.setattr(watch, "FLUSH_SECONDS", 0.0)
        outage.setattr(watch, "ASK_SECONDS", 0.0)
        watching.lines([said("during")])
        stop = watching.wants_stop()
    watching.lines([said("after")])

    assert not stop
    assert kept(watching) == ["during", "after"]
