"""Looking runs up: filters, timelines, logs."""

import pytest
from sqlalchemy import insert

from opsplatform.core.db import db, now, transaction
from opsplatform.runs import queries, service
from opsplatform.runs.models import RunLogLine


@pytest.fixture
def logged(order_run):
    """A run with ten lines of log."""
    run_id = order_run()
    lines = [{"run_id": run_id, "n": n, "at": now(), "stream": "stdout", "text": f"line {n}"} for n in range(1, 11)]
    with transaction():
        db.session.execute(insert(RunLogLine), lines)
    return run_id


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, {"web", "db"}),
        ({"status": "canceled"}, {"db"}),
        ({"module": "demo-server"}, {"web", "db"}),
        ({"module": "other"}, set()),
        ({"workspace": "web"}, {"web"}),
        ({"applicant": "lisi"}, {"db"}),
        ({"applicant": "lisi", "workspace": "web"}, set()),
    ],
)
def test_runs_are_found_by_every_filter(order_run, wanted, found):
    order_run("web")
    other = order_run("db", applicant="lisi")
    with transaction():
        service.cancel(other, by="admin", reason=None)

    assert {run.workspace for run in db.session.scalars(queries.find(**wanted))} == found


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        ({}, [1, 2, 3]),
        ({"after": 8}, [9, 10]),
        ({"before": 3}, [1, 2]),
        ({"after": 4, "before": 7}, [5, 6]),
        ({"tail": True}, [8, 9, 10]),
        ({"tail": True, "before": 6}, [3, 4, 5]),
        ({"after": 10}, []),
    ],
)
def test_a_part_of_the_log_comes_in_order(logged, wanted, numbers):
    assert [line.n for line in queries.log_lines(logged, limit=3, **wanted)] == numbers


def test_timelines_of_many_runs_come_apart_and_in_order(order_run):
    first, second = order_run(), order_run()
    with transaction():
        service.cancel(second, by="admin", reason=None)
        service.cancel(first, by="admin", reason=None)

    found = queries.timelines([first, second])

    assert {run_id: [step.status for step in steps] for run_id, steps in found.items()} == {
        first: ["pending", "canceled"],
        second: ["pending", "canceled"],
    }
