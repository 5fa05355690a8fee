"""Tickets are kept long enough, and not for ever."""

import os
import time

import pytest

from opsplatform.runs import tasks, tickets

DAY = 24 * 3600.0


@pytest.fixture
def data_dir(platform):
    return platform.app.extensions["settings"].data_dir


@pytest.fixture
def keep(data_dir):
    """Take a ticket that many days ago; answers its name."""

    def make(run_id, days, holder=tickets.SETTLED):
        name = tickets.of_plan(run_id, f"{int(days):064d}")
        tickets.take(data_dir, name, holder)
        then = time.time() - days * DAY
        os.utime(data_dir / "tickets" / name, (then, then))
        return name

    return make


def left(data_dir):
    return sorted(path.name for path in (data_dir / "tickets").iterdir())


def test_the_hourly_task_removes_the_tickets_of_runs_that_ended_long_ago(platform, data_dir, keep, planned):
    waiting = planned()
    keep(waiting + 1, tasks.TICKET_SECONDS / DAY + 1)
    young = keep(waiting + 2, tasks.TICKET_SECONDS / DAY - 1)
    under_way = keep(waiting, tasks.TICKET_SECONDS / DAY + 1)

    platform.do("runs.expire")

    assert left(data_dir) == sorted([young, under_way])


def test_where_nothing_was_applied_yet_there_is_nothing_to_remove(platform, data_dir):
    platform.do("runs.expire")

    assert not (data_dir / "tickets").exists()


def test_an_ended_run_leaves_its_ticket_with_the_word_that_it_ended(data_dir, keep):
    name = keep(1, 0, holder=tickets.me())

    tickets.close(data_dir, name)

    assert tickets.take(data_dir, name, tickets.me()) == tickets.ENDED


def test_a_run_that_never_asked_for_a_ticket_leaves_none(data_dir):
    tickets.close(data_dir, tickets.of_plan(1, "d"))

    assert not (data_dir / "tickets").exists()
