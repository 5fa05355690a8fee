"""The database: one way to commit, and values that mean the same on all three."""

import datetime as dt
import threading

import pytest
from flask import Flask
from sqlalchemy import Column, Integer, MetaData, Table, insert, select, text
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.exc import DBAPIError, IntegrityError, StatementError
from sqlalchemy.schema import CreateTable

from opsplatform.core import db as db_module
from opsplatform.core.db import UTCDateTime, after_commit, db, epoch, init_db, now, reading, transaction
from opsplatform.notifications.models import Notice
from tests.miniatures import count
from tests.support import KIND

SHANGHAI = dt.timezone(dt.timedelta(hours=8))
MOMENT = dt.datetime(2026, 1, 2, 11, 4, 5, 678901, tzinfo=SHANGHAI)
TABLE = Table("sample", MetaData(), Column("id", Integer, primary_key=True), Column("at", UTCDateTime()))
DIALECTS = {"sqlite": sqlite.dialect(), "postgresql": postgresql.dialect(), "mariadb": mysql.dialect()}


def a_notice(key="one", **more):
    return Notice(key=key, channel="work", userid="zhangsan", title="", text="", **more)


def test_what_a_transaction_wrote_is_there_afterwards(platform):
    with transaction():
        db.session.add(a_notice())

    assert count(Notice) == 1


def test_a_transaction_that_fails_leaves_nothing(platform):
    def write_and_fail():
        with transaction():
            db.session.add(a_notice())
            db.session.flush()
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        write_and_fail()

    assert count(Notice) == 0


def test_a_transaction_does_not_nest_and_the_outer_one_is_lost_with_the_attempt(platform):
    def nest():
        with transaction():
            db.session.add(a_notice())
            with transaction():
                pass

    with pytest.raises(RuntimeError, match="already open"):
        nest()

    assert count(Notice) == 0


def test_a_transaction_after_one_that_failed_works(platform):
    with pytest.raises(ValueError, match="x"), transaction():
        raise ValueError("x")

    with transaction():
        db.session.add(a_notice())

    assert count(Notice) == 1


def test_what_waits_for_the_commit_runs_after_it_and_in_order(platform):
    seen = []
    with transaction():
        db.session.add(a_notice())
        after_commit(lambda: seen.append(("first", count(Notice))))
        after_commit(lambda: seen.append(("second", count(Notice))))
        during = list(seen)

    assert during == []
    assert seen == [("first", 1), ("second", 1)]


def test_what_waits_for_a_commit_that_never_comes_never_runs(platform):
    seen = []

    def announce_and_fail():
        with transaction():
            after_commit(lambda: seen.append(1))
            raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        announce_and_fail()
    with transaction():
        db.session.add(a_notice())

    assert seen == []


def test_a_commit_the_database_refuses_runs_nothing(platform):
    seen = []
    with transaction():
        db.session.add(a_notice())

    def announce_and_write_again():
        with transaction():
            after_commit(lambda: seen.append(1))
            db.session.add(a_notice())

    with pytest.raises(IntegrityError):
        announce_and_write_again()

    assert (seen, count(Notice)) == ([], 1)


def test_nothing_can_wait_for_a_commit_outside_a_transaction(platform):
    with pytest.raises(KeyError):
        after_commit(lambda: None)


def test_what_is_written_while_reading_is_not_kept(platform):
    with reading():
        db.session.add(a_notice())
        db.session.flush()

    assert count(Notice) == 0


def test_a_transaction_sees_what_others_committed_since_the_last_look(platform):
    count(Notice)
    db.session.scalar(select(Notice.id))
    write_elsewhere(platform, "other")

    with transaction():
        seen = db.session.scalars(select(Notice.key)).all()

    assert seen == ["other"]


def test_two_writers_at_once_wait_for_each_other_and_both_succeed(platform):
    meet = threading.Barrier(4)
    keys = [str(n) for n in range(40)]

    def work(part):
        meet.wait()
        for key in keys[part::4]:
            write_elsewhere(platform, key)

    writers = [threading.Thread(target=work, args=(part,)) for part in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert count(Notice) == 40


def write_elsewhere(platform, key):
    with platform.context(), transaction():
        db.session.scalar(select(Notice.id))
        db.session.add(a_notice(key))


def test_a_time_comes_back_in_utc_with_its_microseconds(platform):
    with transaction():
        db.session.add(a_notice(sent_at=MOMENT))
    db.session.expire_all()

    stored = db.session.scalar(select(Notice.sent_at))

    assert stored == MOMENT
    assert (stored.tzinfo, stored.hour, stored.microsecond) == (dt.UTC, 3, 678901)


def test_a_time_that_is_not_there_stays_away(platform):
    with transaction():
        db.session.add(a_notice(sent_at=None))

    assert db.session.scalar(select(Notice.sent_at)) is None


def test_a_time_without_a_zone_is_refused(platform):
    with pytest.raises(StatementError, match="without a zone"), transaction():
        db.session.add(a_notice(sent_at=dt.datetime(2026, 1, 2)))  # noqa: DTZ001 - the point of the test

    assert count(Notice) == 0


def test_times_are_ordered_as_they_happened_whatever_their_zone(platform):
    hour = dt.timedelta(hours=1)
    with transaction():
        db.session.add_all(
            [a_notice("late", sent_at=MOMENT.astimezone(dt.UTC) + hour), a_notice("early", sent_at=MOMENT)]
        )

    assert db.session.scalars(select(Notice.key).where(Notice.sent_at < MOMENT + hour)).all() == ["early"]
    assert db.session.scalars(select(Notice.key).order_by(Notice.sent_at)).all() == ["early", "late"]


@pytest.mark.parametrize(
    ("name", "column"), [("sqlite", "DATETIME"), ("postgresql", "TIMESTAMP WITH TIME ZONE"), ("mariadb", "DATETIME(6)")]
)
def test_every_database_keeps_microseconds(name, column):
    assert f"at {column}" in str(CreateTable(TABLE).compile(dialect=DIALECTS[name]))


@pytest.mark.parametrize("name", list(DIALECTS))
def test_a_moment_is_the_same_moment_on_every_database(name):
    kind = UTCDateTime()

    bound = kind.process_bind_param(MOMENT, DIALECTS[name])

    assert kind.process_result_value(bound, DIALECTS[name]) == MOMENT
    assert (bound.tzinfo is None) == (name != "postgresql")


@pytest.mark.parametrize("name", list(DIALECTS))
def test_every_database_has_a_clock_of_its_own(name):
    assert str(select(epoch()).compile(dialect=DIALECTS[name]))


def test_the_clock_of_the_database_counts_seconds_with_their_parts(platform):
    one = float(db.session.scalar(select(epoch())))
    db.session.rollback()
    other = float(db.session.scalar(select(epoch())))

    assert abs(one - now().timestamp()) < 30
    assert 0 <= other - one < 5
    assert one != int(one)


def test_letters_of_another_case_are_other_letters(platform):
    with transaction():
        db.session.add_all([a_notice("key"), a_notice("KEY")])

    assert db.session.scalars(select(Notice.key).where(Notice.key == "KEY")).all() == ["KEY"]


@pytest.mark.parametrize("value", ["😀 服务器", "a'b\"c\\d", "x" * 100_000, ""])
def test_any_text_comes_back_as_it_was(platform, value):
    with transaction():
        notice = a_notice()
        notice.text = value
        db.session.add(notice)

    assert db.session.scalar(select(Notice.text)) == value


@pytest.mark.skipif(KIND != "sqlite", reason="the settings of SQLite")
@pytest.mark.parametrize(
    ("pragma", "value"), [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("busy_timeout", 30_000)]
)
def test_sqlite_is_set_up_for_several_processes_and_power_cuts(platform, pragma, value):
    assert db.session.scalar(text(f"PRAGMA {pragma}")) == value


@pytest.mark.skipif(KIND != "sqlite", reason="how SQLite begins a transaction")
def test_a_reader_blocks_no_writer_on_sqlite(platform):
    with reading():
        db.session.scalar(select(Notice.id))

        writer = threading.Thread(target=write_elsewhere, args=(platform, "other"))
        writer.start()
        writer.join(5)

        assert not writer.is_alive()


@pytest.mark.parametrize("url", ["postgresql+psycopg://nobody@127.0.0.1:1/x", "mysql+pymysql://nobody@127.0.0.1:1/x"])
def test_a_server_is_only_connected_to_when_it_is_needed_and_asked_whether_it_still_answers(url):
    app = Flask("server")

    init_db(app, url)

    with app.app_context():
        assert db.engine.pool._pre_ping is True
        assert db.engine.dialect.name in url
        db.engine.dispose()


def test_a_connection_to_a_server_reads_only_what_is_committed_and_does_not_wait_for_ever():
    options = db_module._engine_options("postgresql+psycopg://x@y/z")

    assert options["isolation_level"] == "READ COMMITTED"
    assert options["connect_args"] == {"connect_timeout": 5}


def test_the_values_of_a_failed_statement_stay_out_of_the_error(platform):
    with pytest.raises(DBAPIError) as error, transaction():
        db.session.execute(
            insert(Notice), [{"key": "hunter2", "channel": "smoke", "userid": "", "title": "", "text": ""}]
        )

    assert "hunter2" not in str(error.value).partition("[SQL")[2]
