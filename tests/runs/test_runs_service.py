"""What an approval's outcome, or a person, does to a run."""

import pytest

from opsplatform.core.db import transaction
from opsplatform.core.errors import Conflict, NotFound
from opsplatform.notifications.models import Notice
from opsplatform.runs import files, queries, service
from opsplatform.runs.models import Run, RunStatus, RunStep
from opsplatform.states import service as states
from tests.miniatures import rows, state


def act(action, run_id, by="admin", reason=None):
    with transaction():
        return getattr(service, action)(run_id, by=by, reason=reason).id


def steps(run_id):
    return [(step.status, step.by, step.note) for step in rows(RunStep, RunStep.run_id == run_id)]


def set_status(run_id, status):
    """Put a run where a story of its own would have to lead first."""
    with transaction():
        service.get(run_id).status = status


def test_an_ordered_run_waits_for_a_planner_with_its_secrets_sealed(platform, order_run, run_of):
    run_id = order_run(variables={"name": "web", "password": "hunter2-hunter2"}, sensitive=("password",))

    run = run_of(run_id)
    assert (run.status, run.workspace, run.applicant_name, run.approval_id) == ("pending", "web", "张三", 5)
    assert run.variables == {"name": "web", "password": "***"}
    assert b"hunter2" in files.fetch(run_id, files.VARIABLES)
    assert platform.waiting() == [("runs.work", {})]
    assert steps(run_id) == [("pending", None, None)]


def test_an_agreement_binds_the_very_plan_that_was_shown(planned, decide, platform, run_of):
    run_id = planned()
    platform.waiting()

    decide(run_id, approved=True)

    run = run_of(run_id)
    assert (run.status, run.decision, run.approved_digest) == (RunStatus.APPLY_QUEUED, "approved", run.plan_digest)
    assert run.approvers == [{"userid": "manager1", "name": "王经理"}]
    assert platform.waiting() == [("runs.work", {})]


def test_an_agreement_before_there_is_a_plan_is_remembered(order_run, decide, run_of):
    run_id = order_run()

    decide(run_id, approved=True)

    assert (run_of(run_id).status, run_of(run_id).decision) == (RunStatus.PENDING, "approved")
    assert run_of(run_id).approved_digest is None


@pytest.mark.parametrize("first", [True, False])
def test_what_was_decided_once_stays_decided(planned, decide, run_of, first):
    run_id = planned()
    decide(run_id, approved=first)
    before = run_of(run_id).status

    decide(run_id, approved=not first)

    assert run_of(run_id).status == before
    assert run_of(run_id).decision == ("approved" if first else "refused")


@pytest.mark.parametrize("approved", [True, False])
def test_a_decision_about_a_run_that_has_ended_is_only_remembered(platform, order_run, decide, run_of, approved):
    run_id = order_run()
    act("cancel", run_id)
    platform.waiting()

    decide(run_id, approved=approved)

    assert (run_of(run_id).status, run_of(run_id).decision) == (
        RunStatus.CANCELED,
        "approved" if approved else "refused",
    )
    assert platform.waiting() == []


def test_a_refusal_that_comes_while_applying_is_too_late_and_changes_nothing(order_run, decide, run_of):
    run_id = order_run()
    set_status(run_id, RunStatus.APPLYING)

    decide(run_id, approved=False)

    assert (run_of(run_id).status, run_of(run_id).decision) == (RunStatus.APPLYING, None)


@pytest.mark.parametrize("status", [RunStatus.PENDING, RunStatus.PLANNING, RunStatus.PLANNED])
def test_a_refusal_discards_the_run_and_frees_its_workspace(order_run, decide, run_of, status):
    run_id = order_run()
    with transaction():
        states.hold("web", run_id)
    set_status(run_id, status)
    fence = run_of(run_id).fence

    decide(run_id, approved=False)

    run = run_of(run_id)
    assert (run.status, run.fence, run.lease_owner) == (RunStatus.DISCARDED, fence + 1, None)
    assert run.finished_at is not None
    assert states.get("web").holder_run_id is None


def test_confirm_lets_the_plan_that_waits_be_applied_and_says_who_did(planned, decide, run_of):
    run_id = planned()
    decide(run_id, approved=True)
    set_status(run_id, RunStatus.PLANNED)
    with transaction():
        service.get(run_id).approved_digest = "of an older plan"

    act("confirm", run_id, reason="looked at it")

    run = run_of(run_id)
    assert (run.status, run.confirmed_by, run.approved_digest) == ("apply_queued", "admin", run.plan_digest)
    assert steps(run_id)[-1] == ("apply_queued", "admin", "looked at it")


def test_confirm_does_not_stand_in_for_the_approval(planned, run_of):
    run_id = planned()

    with pytest.raises(Conflict, match="not approved yet") as error:
        act("confirm", run_id)

    assert error.value.data["allowed"] == ["cancel", "discard"]
    assert run_of(run_id).status == RunStatus.PLANNED


def test_confirm_of_a_run_that_waits_for_nothing_is_refused(order_run, decide):
    run_id = order_run()
    decide(run_id, approved=True)

    with pytest.raises(Conflict, match="is pending; only an approved run"):
        act("confirm", run_id)


@pytest.mark.parametrize("action", ["discard", "cancel", "retry"])
def test_what_the_status_forbids_is_refused_and_says_what_is_allowed(order_run, run_of, action):
    run_id = order_run()
    set_status(run_id, RunStatus.APPLIED)

    with pytest.raises(Conflict) as error:
        act(action, run_id)

    assert error.value.data == {"reason": "conflict", "state": "applied", "allowed": []}
    assert run_of(run_id).status == RunStatus.APPLIED


def test_discard_drops_a_plan_nobody_wants(planned, run_of):
    run_id = planned()

    act("discard", run_id, reason="too large")

    assert run_of(run_id).status == RunStatus.DISCARDED
    assert steps(run_id)[-1] == ("discarded", "admin", "too large")
    assert files.fetch(run_id, files.PLAN) is None


@pytest.mark.parametrize("status", [RunStatus.PLANNING, RunStatus.APPLYING])
def test_cancel_of_a_run_under_way_asks_its_worker_to_stop_and_asks_once(order_run, run_of, status):
    run_id = order_run()
    set_status(run_id, status)

    act("cancel", run_id)
    act("cancel", run_id, by="other")

    assert (run_of(run_id).status, run_of(run_id).cancel_requested_by) == (status, "admin")
    assert [step[:2] for step in steps(run_id)].count(("cancel_requested", "admin")) == 1
    assert [step[0] for step in steps(run_id)].count("cancel_requested") == 1


def test_retry_begins_a_new_run_that_waits_for_a_person(platform, approved, run_of):
    platform.terraform.error = "apply: quota used up"
    old = approved()
    platform.work()

    new = act("retry", old)

    run = run_of(new)
    assert (run.status, run.decision, run.workspace, run.origin) == ("pending", "approved", "web", f"retry:{old}")
    assert run.rules["apply_on_agree"] is False
    assert "delete" in run.rules["limits"]["actions"]
    assert files.fetch(new, files.VARIABLES) == files.fetch(old, files.VARIABLES)
    assert steps(new)[0] == ("pending", "admin", f"retry of run {old}")


def test_a_run_is_retried_only_once(order_run):
    run_id = order_run()
    act("cancel", run_id)
    act("retry", run_id)

    with pytest.raises(Conflict, match="was retried already"):
        act("retry", run_id)


@pytest.mark.parametrize(("approved", "status"), [(True, RunStatus.PENDING), (False, RunStatus.DISCARDED)])
def test_what_is_decided_about_a_canceled_run_counts_for_its_retry(order_run, decide, run_of, approved, status):
    old = order_run()
    act("cancel", old)
    new = act("retry", old)

    decide(old, approved=approved)

    assert (run_of(new).status, run_of(new).decision) == (status, "approved" if approved else "refused")
    assert run_of(old).status == RunStatus.CANCELED


def test_a_run_that_does_not_exist_is_not_found(platform):
    with pytest.raises(NotFound, match="no run 4711"):
        service.get(4711)


def test_the_runs_of_many_approvals_are_found_at_once(order_run):
    first, second = order_run(), order_run()
    other = order_run("other", approval={"id": 6})

    assert service.ids_by_approval([5, 6, 7]) == {5: [first, second], 6: [other]}
    assert [run.id for run in service.runs_of_approval(5)] == [first, second]


def test_a_failure_is_told_to_the_applicant_and_under_the_approval(order_run, run_of):
    run_id = order_run()

    with transaction():
        service.fail(service.get(run_id), "Quota used up.\nMore words.")

    assert run_of(run_id).error == "Quota used up.\nMore words."
    assert steps(run_id)[-1] == ("errored", None, "Quota used up.")
    assert sorted(notice.channel for notice in rows(Notice)) == ["comment", "work"]


@pytest.mark.parametrize(
    ("more", "channels"),
    [({"approval": None}, ["work"]), ({"approval": {"id": 5}}, ["work"]), ({"applicant": ""}, ["comment"])],
)
def test_who_cannot_be_told_is_passed_over(order_run, more, channels):
    run_id = order_run(**more)

    with transaction():
        service.fail(service.get(run_id), "")

    assert [notice.channel for notice in rows(Notice)] == channels


def test_a_viewers_version_grows_with_every_change(order_run):
    run_id = order_run()
    before = queries.progress(run_id).version

    act("cancel", run_id)

    rows(Run)
    assert queries.progress(run_id).version > before


class TestRevealingAnOutput:
    """One sensitive output, for a reason that stays on record."""

    @pytest.fixture
    def applied(self, platform, approved):
        run_id = approved()
        with transaction():
            states.store("web", state(made={}, key={"value": "hunter2", "sensitive": True}), run_id=run_id)
            service.get(run_id).outputs = {"key": "***"}
        return run_id

    def test_it_shows_the_value_and_keeps_who_looked_and_why(self, applied):
        with transaction():
            value = service.reveal_output(applied, "key", by="admin", reason="lost it")

        assert value == "hunter2"
        assert steps(applied)[-1] == ("output_revealed", "admin", "key: lost it")

    @pytest.mark.parametrize("name", ["other", ""])
    def test_an_output_that_does_not_exist_is_not_found(self, applied, name):
        with pytest.raises(NotFound, match="no output"):
            service.reveal_output(applied, name, by="admin", reason="x")

    def test_a_run_that_made_nothing_has_no_outputs(self, order_run):
        with pytest.raises(NotFound, match="no output"):
            service.reveal_output(order_run(), "key", by="admin", reason="x")
