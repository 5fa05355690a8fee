"""Rows that were changed behind our back end or hold up their own run, and no other."""

import datetime as dt

import pytest
from sqlalchemy import select, update

from opsplatform.core.db import db, now, transaction
from opsplatform.core.sealing import seal
from opsplatform.inventory.models import Resource
from opsplatform.runs import files
from opsplatform.runs.models import Run, RunStatus, RunStep
from opsplatform.states import service as states
from opsplatform.states.models import StateVersion
from tests.miniatures import rows, state


@pytest.fixture
def broken_state(platform, approved):
    """The workspace `broken` has a state that does not open."""
    approved(workspace="broken")
    platform.work()
    with transaction():
        db.session.execute(update(StateVersion).values(sealed=b"nonsense"))


def told(run_id):
    return [step.note for step in rows(RunStep, RunStep.run_id == run_id)][-1]


def test_a_state_that_does_not_open_ends_its_run_and_the_next_one_is_planned(platform, broken_state, order_run, run_of):
    lost, fine = order_run(workspace="broken"), order_run(workspace="web")
    platform.work()

    assert run_of(lost).status == RunStatus.ERRORED
    assert "does not open" in run_of(lost).error
    assert run_of(fine).status == RunStatus.PLANNED


def test_variables_that_cannot_be_read_end_their_run_and_the_next_one_is_planned(platform, order_run, run_of):
    lost, fine = order_run(workspace="broken"), order_run(workspace="web")
    with transaction():
        files.keep(lost, files.VARIABLES, b"{nonsense")
    platform.work()

    assert run_of(lost).status == RunStatus.ERRORED
    assert "cannot be read" in run_of(lost).error
    assert run_of(fine).status == RunStatus.PLANNED


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"planned_at": now() - dt.timedelta(days=31)}, "has expired"),
        ({"decision": None}, "No agreement"),
        ({"decision": "refused"}, "No agreement"),
    ],
)
def test_a_plan_that_nobody_agrees_to_any_more_is_not_applied(platform, approved, run_of, changed, said):
    run_id = approved()
    with transaction():
        db.session.execute(update(Run).values(**changed))

    platform.do("runs.work")

    assert run_of(run_id).status == RunStatus.PENDING
    assert said in told(run_id)
    assert platform.terraform.applies == []


def test_a_state_that_says_something_else_under_the_same_serial_is_planned_for_again(platform, approved, run_of):
    approved()
    platform.work()
    run_id = approved()
    with transaction():
        version = db.session.scalars(select(StateVersion)).one()
        place = states._context("web", version.lineage, version.serial)
        version.sealed = seal(state(made={"server": "id-2"}), place)

    platform.do("runs.work")

    assert run_of(run_id).status == RunStatus.PENDING
    assert "state changed" in told(run_id)


def test_a_state_that_breaks_during_an_apply_ends_the_run_and_nothing_that_exists(platform, approved, run_of):
    approved(workspace="broken")
    platform.work()
    second = approved(workspace="broken")

    def break_it():
        with platform.context(), transaction():
            db.session.execute(update(StateVersion).values(sealed=b"nonsense"))

    platform.terraform.before_work, platform.terraform.error = break_it, "broken: killed"
    platform.work()

    assert run_of(second).status == RunStatus.ERRORED
    assert "does not open" in run_of(second).error
    assert [row.state for row in rows(Resource)] == ["active"]
    assert "does not open" in states.get("broken").quarantined_reason
