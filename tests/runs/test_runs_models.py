"""The life of a run, from the table itself, and what may be done with it in each status."""

import pytest

from opsplatform.core.errors import Conflict
from opsplatform.runs import service
from opsplatform.runs.models import ENDS, NEXT, Run, RunStatus

LEGAL = [(now, to) for now, allowed in NEXT.items() for to in sorted(allowed)]
ILLEGAL = [(now, to) for now in RunStatus for to in RunStatus if to not in NEXT.get(now, frozenset())]


@pytest.mark.parametrize(("now", "to"), LEGAL)
def test_a_run_takes_every_status_its_table_allows(now, to):
    run = Run(id=1, status=now)

    run.move_to(to)

    assert run.status == to
    assert (run.finished_at is not None) == (to in ENDS) == run.ended


@pytest.mark.parametrize(("now", "to"), ILLEGAL)
def test_a_run_refuses_every_other_status_and_says_what_is_allowed(now, to):
    run = Run(id=1, status=now)

    with pytest.raises(Conflict) as error:
        run.move_to(to)

    assert run.status == now
    assert error.value.data["state"] == now
    assert error.value.data["allowed"] == sorted(NEXT.get(now, frozenset()))


def test_the_table_speaks_of_every_status_and_an_end_is_final():
    assert {status for pair in LEGAL for status in pair} == set(RunStatus)
    assert set(ENDS) == {"applied", "planned_and_finished", "discarded", "canceled", "errored"}
    assert all(not NEXT.get(end) for end in ENDS)


def test_nothing_leads_back_from_an_apply():
    assert NEXT[RunStatus.APPLYING] <= ENDS


@pytest.mark.parametrize(
    ("status", "decision", "expected"),
    [
        ("pending", None, ["cancel", "discard"]),
        ("planning", None, ["cancel"]),
        ("planned", None, ["cancel", "discard"]),
        ("planned", "approved", ["cancel", "discard", "confirm"]),
        ("apply_queued", "approved", ["cancel"]),
        ("applying", "approved", ["cancel"]),
        ("applied", "approved", []),
        ("planned_and_finished", "approved", []),
        ("discarded", "refused", []),
        ("canceled", None, ["retry"]),
        ("errored", "approved", ["retry"]),
    ],
)
def test_what_may_be_done_with_a_run_follows_from_its_status(status, decision, expected):
    assert service.actions(Run(id=1, status=status, decision=decision)) == expected
