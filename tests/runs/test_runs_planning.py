"""Planning: who may, what the plan leads to, and what becomes of a planner that came too late."""

import json
import shutil
from pathlib import Path

import pytest
from sqlalchemy import update

from opsplatform.core.db import db, transaction
from opsplatform.core.leases import LeaseLost
from opsplatform.notifications.models import Notice
from opsplatform.runs import files, planning, service
from opsplatform.runs.models import Run, RunStatus, RunStep
from opsplatform.states import service as states
from tests.miniatures import a_platform, plan_json, rows, state

ONE = plan_json(("terraform_data.server", ["create"]))


def begin(run_id):
    with transaction():
        return planning.begin(run_id)


def finish(job, plan=ONE):
    with transaction():
        planning.finish(job, b"plan", b"lock", plan, "1.9.9")


def lapse(run_id):
    """The planner has not been heard of for a while."""
    with transaction():
        db.session.execute(update(Run).where(Run.id == run_id).values(lease_until=0.0))


def notes(run_id):
    return [step.note for step in rows(RunStep, RunStep.run_id == run_id) if step.note]


def test_a_plan_is_kept_shown_and_waits_for_the_approval(platform, planned, run_of):
    run_id = planned()
    platform.work()

    run = run_of(run_id)
    (comment,) = platform.dingtalk.comments
    assert (run.status, run.engine, run.attempts) == (RunStatus.PLANNED, "1.9.9", 1)
    assert run.plan["digest"] == run.plan_digest
    assert (run.plan["add"], run.plan["change"], run.plan["destroy"]) == (1, 0, 0)
    assert files.fetch(run_id, files.PLAN).startswith(b"plan of")
    assert comment[:2] == ("PI-1", "zhangsan")
    assert run.plan_digest[:4] in comment[2]
    assert run.lease_owner is None


def test_two_planners_at_once_are_one(order_run):
    run_id = order_run()

    first, second = begin(run_id), begin(run_id)

    assert first.run_id == run_id
    assert second is None


def test_a_run_whose_planner_died_is_planned_again_and_the_dead_one_writes_nothing(order_run, run_of):
    run_id = order_run()
    late = begin(run_id)
    lapse(run_id)

    job = begin(run_id)
    with pytest.raises(LeaseLost):
        finish(late)
    with pytest.raises(LeaseLost), transaction():
        planning.fail(late.lease, "too late", canceled=False)

    assert job.lease.fence == late.lease.fence + 1
    assert (run_of(run_id).status, run_of(run_id).attempts) == (RunStatus.PLANNING, 2)
    assert run_of(run_id).plan is None


def test_a_run_that_nobody_can_plan_is_given_up_after_a_few_attempts(order_run, run_of):
    run_id = order_run()
    for _ in range(planning.MOST_ATTEMPTS):
        assert begin(run_id)
        lapse(run_id)

    assert begin(run_id) is None

    assert run_of(run_id).status == RunStatus.ERRORED
    assert "interrupted" in run_of(run_id).error


def test_a_second_run_of_a_workspace_waits_and_is_woken_when_the_first_ends(platform, order_run, run_of):
    first, second = order_run(), order_run()
    platform.waiting()
    job = begin(first)
    taken = begin(second)

    with transaction():
        service.end(service.get(first), RunStatus.CANCELED)

    assert job
    assert taken is None
    assert run_of(second).status == RunStatus.PENDING
    assert ("runs.work", {}) in platform.waiting()
    assert begin(second)


def test_a_refusal_while_planning_fences_the_planner_off(order_run, decide, run_of):
    run_id = order_run()
    job = begin(run_id)

    decide(run_id, approved=False)
    with pytest.raises(LeaseLost):
        finish(job)

    assert (run_of(run_id).status, run_of(run_id).plan) == (RunStatus.DISCARDED, None)
    assert states.get("web").holder_run_id is None


def test_what_the_offer_forbids_is_never_shown_to_an_approver(platform, order_run, run_of):
    run_id = order_run()

    finish(begin(run_id), plan_json(("terraform_data.server", ["delete"])))
    platform.work()

    assert run_of(run_id).status == RunStatus.ERRORED
    assert "would delete terraform_data.server" in run_of(run_id).error
    assert files.fetch(run_id, files.PLAN) is None
    assert ["failed" in text for _, _, text in platform.dingtalk.comments] == [True]


def test_a_run_that_destroys_may_only_delete(order_run, run_of):
    good, bad = order_run("one", kind="destroy"), order_run("two", kind="destroy")

    finish(begin(good), plan_json(("terraform_data.server", ["delete"])))
    finish(begin(bad), plan_json(("terraform_data.server", ["create"])))

    assert (run_of(good).status, run_of(bad).status) == (RunStatus.PLANNED, RunStatus.ERRORED)


def test_a_plan_that_finds_nothing_ends_the_run_and_tells_the_applicant(platform, order_run, run_of):
    run_id = order_run()

    finish(begin(run_id), plan_json(("terraform_data.server", ["no-op"])))
    platform.work()

    assert run_of(run_id).status == RunStatus.PLANNED_AND_FINISHED
    assert [(who, "无需变更" in title) for who, title, _ in platform.dingtalk.notices] == [("zhangsan", True)]
    assert states.get("web").holder_run_id is None


def test_a_plan_that_changes_only_an_output_is_something_to_approve(order_run, run_of):
    run_id = order_run()

    finish(begin(run_id), plan_json(outputs={"url": {"actions": ["create"]}}))

    assert run_of(run_id).status == RunStatus.PLANNED


def test_the_plan_is_kept_for_viewers_with_its_secrets_masked(order_run):
    run_id = order_run()
    plan = plan_json(("terraform_data.server", ["create"]))
    plan["resource_changes"][0]["change"] |= {"after": {"input": "hunter2"}, "after_sensitive": {"input": True}}

    finish(begin(run_id), plan)

    kept = json.loads(files.fetch(run_id, files.PLAN_JSON))
    assert kept["resource_changes"][0]["change"]["after"] == {"input": "***"}


def test_a_run_whose_variables_are_lost_is_not_planned_with_others(order_run, run_of):
    run_id = order_run()
    with transaction():
        files.drop(run_id, files.VARIABLES)

    assert begin(run_id) is None

    assert run_of(run_id).status == RunStatus.ERRORED
    assert "variables of run" in run_of(run_id).error


def test_a_plan_that_only_takes_in_what_exists_is_something_to_do(order_run, run_of):
    run_id = order_run()
    plan = plan_json(("terraform_data.server", ["no-op"]))
    plan["resource_changes"][0]["change"]["importing"] = {"id": "id-1"}

    finish(begin(run_id), plan)

    assert run_of(run_id).status == RunStatus.PLANNED
    assert run_of(run_id).plan["imports"] == 1


@pytest.mark.parametrize(
    ("plan", "lets_pass", "status"),
    [
        (ONE, True, RunStatus.APPLY_QUEUED),
        (ONE, False, RunStatus.PLANNED),
        (plan_json(("terraform_data.server", ["update"])), True, RunStatus.PLANNED),
    ],
)
def test_an_approval_that_came_before_the_plan_applies_only_what_the_offer_lets_pass(
    platform, order_run, decide, run_of, plan, lets_pass, status
):
    run_id = order_run(apply_on_agree=lets_pass)
    decide(run_id, approved=True)

    finish(begin(run_id), plan)

    run = run_of(run_id)
    told = [notice.title for notice in rows(Notice, Notice.channel == "work")]
    assert run.status == status
    assert (run.approved_digest == run.plan_digest) == (status == RunStatus.APPLY_QUEUED)
    assert ["等待确认" in title for title in told] == ([] if status == RunStatus.APPLY_QUEUED else [True])


def test_a_canceled_plan_ends_canceled_and_says_by_whom(order_run, run_of):
    run_id = order_run()
    job = begin(run_id)
    with transaction():
        service.cancel(run_id, by="admin", reason=None)

    with transaction():
        planning.fail(job.lease, "", canceled=True)

    assert run_of(run_id).status == RunStatus.CANCELED
    assert rows(RunStep, RunStep.run_id == run_id)[-1].by == "admin"


def test_a_cancel_whose_planner_died_is_carried_out_by_the_next(order_run, run_of):
    run_id = order_run()
    begin(run_id)
    with transaction():
        service.cancel(run_id, by="admin", reason=None)
    lapse(run_id)

    assert begin(run_id) is None

    assert run_of(run_id).status == RunStatus.CANCELED
    assert rows(RunStep, RunStep.run_id == run_id)[-1].by == "admin"


def test_a_run_that_grew_large_keeps_its_state_at_the_platform(order_run, run_of):
    run_id = order_run()
    job = begin(run_id)

    with transaction():
        planning.use_backend(job, "http")

    assert run_of(run_id).backend == "http"


def test_a_workspace_with_many_resources_keeps_its_state_at_the_platform_from_the_start(order_run):
    run_id = order_run()
    with transaction():
        states.hold("web", run_id)
        states.store("web", state(made={f"server{n}": f"id-{n}" for n in range(101)}), run_id=run_id)

    assert begin(run_id).backend == "http"


def test_a_job_knows_every_text_of_a_sensitive_variable(order_run):
    variables = {"secrets": {"a": ["hunter2", {"b": "hunter3"}], "n": 7}, "name": "web"}
    run_id = order_run(variables=variables, sensitive=("secrets",))

    job = begin(run_id)

    assert set(job.secrets) >= {"hunter2", "hunter3"}
    assert "web" not in job.secrets


class TestAModuleThatChanges:
    """With a catalogue of its own, whose module is touched after it was ordered."""

    @pytest.fixture
    def platform(self, make_config, clean_up, tmp_path):
        modules = tmp_path / "modules"
        shutil.copytree(Path(__file__).parents[2] / "terraform_modules" / "demo-server", modules / "demo-server")
        built = a_platform(make_config(terraform_modules_dir=modules))
        clean_up(built.app)
        built.module = modules / "demo-server"
        with built.context():
            yield built

    def test_it_is_planned_as_it_is_now_and_says_so(self, platform, order_run, run_of):
        run_id = order_run()
        before = run_of(run_id).module_version
        (platform.module / "main.tf").write_text((platform.module / "main.tf").read_text() + "# changed\n")

        job = begin(run_id)

        assert job.version == run_of(run_id).module_version != before
        assert "the module was changed" in notes(run_id)[-1]
        assert run_of(run_id).rules["apply_on_agree"] is False

    def test_a_version_nobody_approved_never_applies_by_itself(self, platform, order_run, decide, run_of):
        run_id = order_run()
        decide(run_id, approved=True)
        (platform.module / "main.tf").write_text((platform.module / "main.tf").read_text() + "# changed\n")

        finish(begin(run_id))

        assert run_of(run_id).status == RunStatus.PLANNED

    def test_one_that_is_gone_ends_the_run_with_a_clear_error(self, platform, order_run, run_of):
        run_id = order_run()
        shutil.rmtree(platform.module)

        assert begin(run_id) is None

        assert (run_of(run_id).status, run_of(run_id).error) == ("errored", "There is no module demo-server.")

    def test_one_that_broke_ends_the_run_with_a_clear_error(self, platform, order_run, run_of):
        run_id = order_run()
        (platform.module / "main.tf").write_text("resource {")

        assert begin(run_id) is None

        assert run_of(run_id).status == "errored"
        assert "cannot be used" in run_of(run_id).error

    def test_an_approved_plan_of_another_version_is_made_again(self, platform, approved, run_of):
        run_id = approved()
        (platform.module / "main.tf").write_text((platform.module / "main.tf").read_text() + "# changed\n")

        platform.do("runs.work")

        assert run_of(run_id).status == RunStatus.PENDING
        assert "was changed after it was ordered" in notes(run_id)[-1]
        assert platform.terraform.applies == []

    def test_an_approved_plan_of_a_module_that_is_gone_is_not_applied(self, platform, approved, run_of):
        run_id = approved()
        shutil.rmtree(platform.module)

        platform.do("runs.work")

        assert run_of(run_id).status == RunStatus.ERRORED
        assert run_of(run_id).error == "There is no module demo-server. Nothing was applied."
        assert platform.terraform.applies == []
