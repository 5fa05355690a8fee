"""What the model found in the product, told once more as stories: each was a trace before it was a test."""

import platform as host
import subprocess
import threading
from datetime import timedelta

import pytest
from sqlalchemy import update

from opsplatform.adapters.process_table import start_time_of
from opsplatform.approvals import inbox
from opsplatform.core.db import db, now, transaction
from opsplatform.core.errors import Conflict
from opsplatform.core.leases import LeaseLost
from opsplatform.runs import applying, expiry, planning, service, tickets
from opsplatform.runs.models import Run, RunStatus, RunStep
from opsplatform.states import service as states
from opsplatform.states.models import Workspace
from tests.miniatures import an_event, plan_json, rows

HERE = host.node()[:60]
CHANGE = plan_json(("terraform_data.server", ["update"]))
CREATE = plan_json(("terraform_data.server", ["create"]))
ALLOWED = {"actions": ("create", "update")}


def begin(run_id):
    with transaction():
        return planning.begin(run_id)


def finish(job, plan=CREATE):
    with transaction():
        planning.finish(job, b"plan", b"lock", plan, "1.9.9")


def act(action, run_id):
    with transaction():
        return getattr(service, action)(run_id, by="admin", reason=None).id


def decide(run_id, *, approved=True, at=None):
    with transaction():
        service.decide(service.get(run_id), approved=approved, approvers=[], at=at)


def notes(run_id):
    return [step.note for step in rows(RunStep, RunStep.run_id == run_id) if step.note]


def abandon(run_id, owner):
    """The worker of an apply was not heard of for long."""
    with transaction():
        values = {"status": "applying", "lease_owner": owner, "lease_until": 0.0}
        db.session.execute(update(Run).where(Run.id == run_id).values(**values))


@pytest.fixture
def data_dir(platform):
    return platform.app.extensions["settings"].data_dir


@pytest.fixture
def ticket(run_of):
    """The name of a run's ticket."""
    return lambda run_id: tickets.of_plan(run_id, run_of(run_id).approved_digest or "")


def test_a_run_that_waits_for_its_workspace_waits_as_long_as_it_takes(order_run, run_of):
    first, second = order_run(), order_run()
    begin(first)

    for _ in range(2 * planning.MOST_ATTEMPTS):
        assert begin(second) is None

    assert (run_of(second).status, run_of(second).attempts) == (RunStatus.PENDING, 0)


class TestACancelDuringPlanning:
    """It is asked for while Terraform plans, and must be heard whatever Terraform does."""

    @pytest.fixture
    def job(self, order_run):
        run_id = order_run()
        decide(run_id)
        job = begin(run_id)
        act("cancel", run_id)
        return job

    def test_is_heard_when_terraform_had_ended_already(self, job, run_of):
        finish(job)

        assert run_of(job.run_id).status == RunStatus.CANCELED

    def test_is_heard_when_terraform_failed(self, job, run_of):
        with transaction():
            planning.fail(job.lease, "no such image", canceled=False)

        assert run_of(job.run_id).status == RunStatus.CANCELED

    def test_is_heard_when_the_planner_died(self, job, run_of):
        with transaction():
            db.session.execute(update(Run).values(lease_until=0.0))

        assert begin(job.run_id) is None

        assert run_of(job.run_id).status == RunStatus.CANCELED


class TestAnAgreementThatIsOlderThanThePlan:
    """DingTalk's approvers agreed, and only then there was a plan: they cannot have looked at it."""

    def planned_after(self, order_run, plan):
        run_id = order_run(limits=ALLOWED)
        finish(begin(run_id), plan)
        return run_id

    def test_waits_for_a_person_where_the_plan_changes_something(self, order_run, run_of):
        run_id = self.planned_after(order_run, CHANGE)

        decide(run_id, at=now() - timedelta(minutes=5))

        assert (run_of(run_id).status, run_of(run_id).decision) == (RunStatus.PLANNED, "approved")
        assert "waits for run.confirm" in notes(run_id)[-1]
        act("confirm", run_id)
        assert run_of(run_id).status == RunStatus.APPLY_QUEUED

    def test_applies_what_only_creates_where_the_offer_lets_it(self, order_run, run_of):
        run_id = self.planned_after(order_run, CREATE)

        decide(run_id, at=now() - timedelta(minutes=5))

        assert run_of(run_id).status == RunStatus.APPLY_QUEUED

    def test_one_that_is_younger_applies_what_was_shown(self, order_run, run_of):
        run_id = self.planned_after(order_run, CHANGE)

        decide(run_id, at=now())

        assert (run_of(run_id).status, run_of(run_id).approved_digest) == ("apply_queued", run_of(run_id).plan_digest)

    @pytest.mark.parametrize(("minutes", "said"), [(-5, "only creates"), (5, None)])
    def test_the_event_says_when_to_the_second(self, platform, minutes, said):
        platform.dingtalk.submit()
        with transaction():
            inbox.receive(an_event("start"))
        platform.work()
        platform.dingtalk.end()
        agreed_at = int((now() + timedelta(minutes=minutes)).timestamp() * 1000)

        with transaction():
            inbox.receive(an_event("finish", finishTime=agreed_at))
        platform.work()

        (run,) = rows(Run)
        assert run.status == RunStatus.APPLIED
        assert [note for note in notes(run.id) if "only creates" in note] == ([] if said is None else notes(run.id)[:1])


class TestADecisionAboutARunThatHasEnded:
    """The run was canceled or failed before the approvers decided; they will not decide again."""

    def test_lets_its_retry_go_on_after_a_look(self, order_run, run_of):
        run_id = order_run()
        act("cancel", run_id)
        decide(run_id)
        retried = act("retry", run_id)

        finish(begin(retried))

        assert (run_of(retried).status, service.actions(run_of(retried))) == (
            RunStatus.PLANNED,
            ["cancel", "discard", "confirm"],
        )

    def test_reaches_a_retry_that_was_begun_before(self, order_run, run_of):
        run_id = order_run(approval=None)
        act("cancel", run_id)
        retried = act("retry", run_id)

        decide(run_id)

        assert run_of(retried).decision == "approved"

    def test_forbids_a_retry_of_what_was_refused(self, order_run, run_of):
        run_id = order_run()
        act("cancel", run_id)
        decide(run_id, approved=False)

        with pytest.raises(Conflict, match="cannot be retried"):
            act("retry", run_id)

        assert service.actions(run_of(run_id)) == []


def test_a_plan_is_compared_only_by_who_holds_the_workspace(approved, run_of):
    run_id = approved()
    with transaction():
        service.get(run_id).approved_digest = "of another plan"
        db.session.execute(update(Workspace).values(holder_run_id=99, holder_fence=1))

    with transaction():
        assert applying.begin(run_id) is None

    assert run_of(run_id).status == RunStatus.APPLY_QUEUED


class TestTheStartOfTerraform:
    """A worker that was only slow, and one that settles its run, must not both have their way."""

    def test_is_forbidden_once_the_run_was_settled(self, platform, approved, data_dir, ticket, run_of):
        run_id = approved()
        tickets.take(data_dir, ticket(run_id), tickets.SETTLED)

        with pytest.raises(LeaseLost, match="was settled before its Terraform started"):
            platform.do("runs.work")

        assert platform.terraform.applies == []
        assert list((data_dir / "runs").glob("*")) == []

    def test_makes_who_settles_wait_while_it_is_under_way(self, platform, approved, data_dir, ticket, run_of):
        run_id = approved()
        tickets.take(data_dir, ticket(run_id), tickets.me())
        abandon(run_id, f"{HERE}:1")

        platform.do("runs.settle", run_id=run_id)

        assert run_of(run_id).status == RunStatus.APPLYING

    def test_puts_the_workspace_aside_when_the_worker_died_in_it(self, platform, approved, data_dir, ticket, run_of):
        run_id = approved()
        child = subprocess.Popen(["sleep", "60"])
        tickets.take(data_dir, ticket(run_id), f"{child.pid} {start_time_of(child.pid)}")
        child.kill()
        child.wait()
        abandon(run_id, f"{HERE}:{child.pid}")

        platform.do("runs.settle", run_id=run_id)

        assert run_of(run_id).status == RunStatus.ERRORED
        assert "may still work here" in states.get("web").quarantined_reason

    def test_cannot_be_known_from_another_host(self, platform, approved, run_of):
        run_id = approved()
        abandon(run_id, "another-host:1")

        platform.do("runs.settle", run_id=run_id)

        assert run_of(run_id).status == RunStatus.ERRORED
        assert states.get("web").quarantined_reason

    def test_leaves_the_workspace_free_when_it_never_came_to_it(self, platform, approved, run_of):
        run_id = approved()
        abandon(run_id, f"{HERE}:1")

        platform.do("runs.settle", run_id=run_id)

        assert run_of(run_id).status == RunStatus.ERRORED
        assert (states.get("web").quarantined_reason, states.get("web").holder_run_id) == (None, None)

    def test_leaves_word_that_its_own_worker_has_ended_the_run(self, platform, approved, data_dir, ticket, run_of):
        run_id = approved()

        platform.work()

        assert run_of(run_id).status == RunStatus.APPLIED
        assert tickets.take(data_dir, ticket(run_id), tickets.me()) == tickets.ENDED

    def test_stops_what_runs_when_the_folder_fails_under_it(self, platform, approved, run_of):
        run_id = approved()
        platform.terraform.error = "disk is full"

        platform.work()

        assert run_of(run_id).status == RunStatus.ERRORED
        assert platform.terraform.stopped == [4711]

    def test_that_could_not_be_noted_puts_the_workspace_aside(self, platform, approved, run_of, monkeypatch):
        def full(*_):
            raise OSError(28, "No space left on device")

        run_id = approved()
        monkeypatch.setattr("opsplatform.runs.workdir.Workdir.note_process", full)

        platform.work()

        assert run_of(run_id).status == RunStatus.ERRORED
        assert "may still work here" in states.get("web").quarantined_reason


class TestTwoAtOnce:
    """A worker's transaction is open when a decision arrives; the decision must see what that transaction leads to."""

    @pytest.fixture
    def both(self, platform):
        """Begin the first, let the second arrive, end the first; an open transaction is not waited for for long."""

        def do(first, second):
            begun, arrived = threading.Event(), threading.Event()

            def worker():
                with platform.context(), transaction():
                    first()
                    begun.set()
                    arrived.wait(0.5)

            def other():
                begun.wait(10)
                with platform.context(), transaction():
                    second()
                arrived.set()

            threads = [threading.Thread(target=each) for each in (worker, other)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        return do

    def test_a_cancel_does_not_end_a_run_that_begins_to_apply(self, both, approved, run_of):
        run_id = approved()

        both(lambda: applying.begin(run_id), lambda: service.cancel(run_id, by="admin", reason=None))

        run = run_of(run_id)
        assert (run.status, run.cancel_requested_by) == (RunStatus.APPLYING, "admin")
        assert states.get("web").holder_run_id == run_id

    def test_an_agreement_is_not_lost_on_a_plan_that_is_being_recorded(self, both, order_run, run_of):
        run_id = order_run()
        job = begin(run_id)

        both(
            lambda: planning.finish(job, b"plan", b"lock", CREATE, "1.9.9"),
            lambda: service.decide(service.get(run_id), approved=True, approvers=[]),
        )

        assert (run_of(run_id).status, run_of(run_id).decision) == (RunStatus.APPLY_QUEUED, "approved")

    def test_a_plan_does_not_expire_that_is_being_agreed_to(self, both, planned, run_of):
        run_id = planned()

        both(
            lambda: service.decide(service.get(run_id), approved=True, approvers=[]),
            lambda: expiry.expire(timedelta(0)),
        )

        assert run_of(run_id).status == RunStatus.APPLY_QUEUED
