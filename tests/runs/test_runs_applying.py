"""Applying: exactly the plan that was approved, once, and a record of what came of it."""

import threading

import pytest
from sqlalchemy import update

from opsplatform.core.db import db, transaction
from opsplatform.core.leases import LeaseLost
from opsplatform.inventory.models import Resource
from opsplatform.runs import applying, files
from opsplatform.runs.applying import Outcome
from opsplatform.runs.models import Run, RunFile, RunStatus, RunStep
from opsplatform.states import service as states
from opsplatform.states.models import StateVersion, Workspace
from tests.miniatures import count, rows, state

DONE = Outcome(state=state(made={"server": "id-1"}), error=None, canceled=False, created={})


def begin(run_id):
    with transaction():
        return applying.begin(run_id)


def finish(job, outcome=DONE):
    with transaction():
        applying.finish(job.lease, outcome)


def spoil(run_id, name):
    """Flip a bit of a sealed file."""
    with transaction():
        row = db.session.get_one(RunFile, (run_id, name))
        row.sealed = row.sealed[:-1] + bytes([row.sealed[-1] ^ 1])


def notes(run_id):
    return [step.note for step in rows(RunStep, RunStep.run_id == run_id) if step.note]


def test_an_approved_plan_is_applied_and_recorded(platform, approved, run_of):
    run_id = approved()
    platform.work()

    (resource,) = rows(Resource)
    assert run_of(run_id).status == RunStatus.APPLIED
    assert (resource.applicant_name, resource.run_id, resource.provider_id) == ("张三", run_id, "id-1")
    assert resource.approval["business_id"] == "2026"
    assert resource.approvers == [{"userid": "manager1", "name": "王经理"}]
    assert ["资源已开通" in title for _, title, _ in platform.dingtalk.notices] == [True]
    assert files.fetch(run_id, files.PLAN) is None
    assert states.get("web").holder_run_id is None


def test_two_workers_at_once_apply_once(platform, approved, run_of):
    run_id = approved()
    meet = threading.Barrier(2)

    def work():
        meet.wait()
        platform.do("runs.work")

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert run_of(run_id).status == RunStatus.APPLIED
    assert len(platform.terraform.applies) == 1


def test_an_apply_that_was_begun_is_never_begun_again(approved, run_of):
    run_id = approved()
    job = begin(run_id)
    with transaction():
        db.session.execute(update(Run).values(lease_until=0.0))

    assert begin(run_id) is None

    assert run_of(run_id).status == RunStatus.APPLYING
    finish(job)
    assert run_of(run_id).status == RunStatus.APPLIED


def test_a_worker_that_lost_its_lease_records_nothing(approved, run_of):
    run_id = approved()
    job = begin(run_id)
    with transaction():
        db.session.execute(update(Run).values(fence=Run.fence + 1))

    with pytest.raises(LeaseLost):
        finish(job)

    assert run_of(run_id).status == RunStatus.APPLYING
    assert (count(Resource), count(StateVersion)) == (0, 0)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        (files.PLAN, "plan file"),
        (files.PLAN_JSON, "plan JSON"),
        (files.VARIABLES, "variables"),
        (files.LOCK, "provider lock file"),
    ],
)
def test_a_plan_that_is_not_the_approved_one_is_made_again_and_the_story_names_what_differs(
    platform, approved, run_of, name, part
):
    run_id = approved()
    with transaction():
        files.keep(run_id, name, b'{"name": "other"}')

    assert begin(run_id) is None

    assert run_of(run_id).status == RunStatus.PENDING
    assert notes(run_id)[-1] == f"Not as approved: {part} changed since the approval; a new plan is made."
    assert files.fetch(run_id, files.PLAN) is None
    assert ("runs.work", {}) in platform.waiting()


def test_other_variables_than_were_approved_are_never_applied_before_somebody_saw_their_plan(
    platform, approved, run_of
):
    run_id = approved(apply_on_agree=True)
    with transaction():
        files.keep(run_id, files.VARIABLES, b'{"name": "other"}')

    platform.work()

    assert run_of(run_id).status == RunStatus.PLANNED
    assert platform.terraform.applies == []


@pytest.mark.parametrize("name", [files.PLAN, files.PLAN_JSON, files.LOCK])
def test_a_file_that_does_not_open_any_more_is_a_file_that_differs(platform, approved, run_of, name):
    run_id = approved()
    spoil(run_id, name)

    assert begin(run_id) is None

    assert run_of(run_id).status == RunStatus.PENDING


def test_a_run_whose_variables_do_not_open_any_more_ends_and_says_so(approved, run_of):
    run_id = approved()
    spoil(run_id, files.VARIABLES)

    assert begin(run_id) is None

    assert run_of(run_id).status == RunStatus.ERRORED
    assert "variables of run" in run_of(run_id).error
    assert "Nothing was applied" in run_of(run_id).error


def test_an_approval_of_another_plan_applies_nothing(approved, run_of):
    run_id = approved()
    with transaction():
        db.session.execute(update(Run).values(approved_digest="0" * 64))

    assert begin(run_id) is None

    assert run_of(run_id).status == RunStatus.PENDING
    assert "given to another plan" in notes(run_id)[-1]


def test_a_state_that_moved_on_since_the_approval_is_planned_for_again(approved, run_of):
    run_id = approved()
    with transaction():
        states.store("web", state(made={}), run_id=run_id)

    assert begin(run_id) is None

    assert run_of(run_id).status == RunStatus.PENDING
    assert "state changed since the approval" in notes(run_id)[-1]


def test_a_plan_that_is_gone_is_made_again_and_not_applied_without_one(approved, run_of):
    run_id = approved()
    with transaction():
        files.drop(run_id, files.PLAN)

    assert begin(run_id) is None

    assert run_of(run_id).status == RunStatus.PENDING
    assert "not there any more" in notes(run_id)[-1]


def test_a_workspace_somebody_else_took_by_force_is_waited_for(approved, run_of):
    run_id = approved()
    with transaction():
        db.session.execute(update(Workspace).values(holder_run_id=99, holder_fence=1))

    assert begin(run_id) is None

    assert (run_of(run_id).status, run_of(run_id).lease_owner) == (RunStatus.APPLY_QUEUED, None)


def test_a_failed_apply_says_what_exists_and_what_is_lost(approved, run_of):
    run_id = approved()
    created = {"terraform_data.server": "id-1", "terraform_data.disk": "disk-1"}

    finish(begin(run_id), Outcome(state=DONE.state, error="quota used up", canceled=False, created=created))

    found = {row.address: (row.state, row.provider_id) for row in rows(Resource)}
    assert (run_of(run_id).status, run_of(run_id).error) == (RunStatus.ERRORED, "quota used up")
    assert found == {"terraform_data.server": ("active", "id-1"), "terraform_data.disk": ("orphaned", "disk-1")}


def test_an_apply_that_made_nothing_leaves_nothing(approved, run_of):
    run_id = approved()

    finish(begin(run_id), Outcome(state=None, error="no such provider", canceled=False, created={}))

    assert (run_of(run_id).status, run_of(run_id).outputs) == (RunStatus.ERRORED, None)
    assert count(Resource) == 0


def test_a_clean_end_has_no_orphans_whatever_the_journal_says(approved):
    run_id = approved()

    finish(begin(run_id), Outcome(state=DONE.state, error=None, canceled=False, created={"a.b": "1"}))

    assert [row.state for row in rows(Resource)] == ["active"]


def test_a_canceled_apply_ends_canceled_with_what_it_made(approved, run_of):
    run_id = approved()

    finish(begin(run_id), Outcome(state=DONE.state, error=None, canceled=True, created={"a.b": None}))

    assert run_of(run_id).status == RunStatus.CANCELED
    assert sorted(row.state for row in rows(Resource)) == ["active", "orphaned"]


def test_a_state_that_does_not_fit_puts_the_workspace_aside_and_says_so(approved, run_of):
    run_id = approved()
    job = begin(run_id)
    with transaction():
        states.store("web", state(made={}, serial=9), run_id=run_id)

    finish(job)

    assert run_of(run_id).status == RunStatus.ERRORED
    assert "could not be stored" in run_of(run_id).error
    assert states.get("web").quarantined_reason


def test_sensitive_outputs_are_masked_in_the_record(approved, run_of):
    run_id = approved()
    outputs = {
        "url": {"value": "http://x", "type": "string"},
        "key": {"value": "s", "type": "string", "sensitive": True},
    }

    finish(begin(run_id), Outcome(state=state(made={}, **outputs), error=None, canceled=False, created={}))

    assert run_of(run_id).outputs == {"url": "http://x", "key": "***"}
