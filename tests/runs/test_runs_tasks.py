"""What the worker does around Terraform: folders, failures, stops, viewers."""

import pytest

from opsplatform.core.db import transaction
from opsplatform.inventory.models import Resource
from opsplatform.runs import queries, service, watch
from opsplatform.runs.models import RunStatus
from opsplatform.states import service as states
from tests.miniatures import count, rows, state


@pytest.fixture
def quick_watch(monkeypatch):
    """Lines are written and stops are looked for at every occasion."""
    monkeypatch.setattr(watch, "FLUSH_SECONDS", 0.0)
    monkeypatch.setattr(watch, "ASK_SECONDS", 0.0)


def folders(platform):
    return list((platform.app.extensions["settings"].data_dir / "runs").glob("*"))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("init: no such provider", "terraform init: init: no such provider"),
        ("plan: no such variable", "plan: no such variable"),
        ("broken: terraform is not there", "broken: terraform is not there"),
        ("disk is full", "The working folder cannot be used: No space left on device"),
    ],
)
def test_a_plan_that_does_not_work_ends_the_run_with_the_reason(platform, planned, run_of, error, said):
    platform.terraform.error = error

    run_id = planned()

    assert (run_of(run_id).status, run_of(run_id).error) == (RunStatus.ERRORED, said)
    assert states.get("web").holder_run_id is None
    assert folders(platform) == []


def test_a_plan_that_was_stopped_ends_canceled(platform, planned, run_of):
    platform.terraform.error, platform.terraform.canceled = "plan: stopped", True

    run_id = planned()

    assert (run_of(run_id).status, run_of(run_id).error) == (RunStatus.CANCELED, None)


def test_a_run_that_is_planned_already_is_not_planned_again(platform, planned, run_of):
    run_id = planned()
    fence = run_of(run_id).fence

    platform.do("runs.work")

    assert run_of(run_id).fence == fence


@pytest.mark.parametrize(
    ("error", "said", "made"),
    [
        ("apply: quota used up", "apply: quota used up", "active"),
        ("apply without state", "apply without state", "orphaned"),
        ("broken: terraform was killed", "broken: terraform was killed", None),
        ("disk is full", "The working folder cannot be used: No space left on device", None),
    ],
)
def test_an_apply_that_does_not_work_ends_errored_and_shows_what_exists(platform, approved, run_of, error, said, made):
    run_id = approved()
    platform.terraform.error = error

    platform.work()

    assert (run_of(run_id).status, run_of(run_id).error) == (RunStatus.ERRORED, said)
    assert [row.state for row in rows(Resource)] == ([made] if made else [])
    assert folders(platform) == []


def test_an_apply_that_was_stopped_ends_canceled(platform, approved, run_of):
    run_id = approved()
    platform.terraform.canceled = True

    platform.work()

    assert run_of(run_id).status == RunStatus.CANCELED


def test_a_fleet_is_planned_with_its_state_at_the_platform(platform, planned, run_of):
    platform.terraform.size = 101

    run_id = planned(limits={"max_resources": 200})

    assert (run_of(run_id).status, run_of(run_id).backend) == (RunStatus.PLANNED, "http")
    assert len(platform.terraform.inits) == 2
    assert len(queries.progress(run_id).resources) == 101


def test_a_viewer_follows_a_run_while_it_works(platform, order_run, quick_watch):
    run_id = order_run()
    seen = []
    show = platform.terraform.show_plan

    def look(*args, **options):
        seen.extend(line.text for line in queries.log_lines(run_id))
        return show(*args, **options)

    platform.terraform.show_plan = look
    platform.do("runs.work")

    assert len(seen) == 1


def test_the_state_is_mirrored_while_terraform_works(platform, approved, quick_watch, run_of):
    approved()
    mirrored = []
    complete = platform.terraform.apply

    def apply(folder, plan, *, watch, **options):
        for content in (state(made={"server": "id-1"}), b"{half a st", state(made={"server": "id-1"}, serial=2)):
            (folder / "terraform.tfstate").write_bytes(content)
            watch.lines([])
            watch.lines([])
            mirrored.append(states.latest("web").serial)
        return complete(folder, plan, watch=watch, **options)

    platform.terraform.apply = apply
    platform.do("runs.work")

    assert mirrored == [1, 1, 2]


def test_a_worker_stops_when_a_person_cancels(platform, order_run, quick_watch):
    run_id = order_run()
    answers = []
    plan = platform.terraform.plan

    def follow(*args, watch, **options):
        answers.append(watch.wants_stop())
        with platform.context(), transaction():
            service.cancel(run_id, by="admin", reason=None)
        answers.extend([watch.wants_stop(), watch.wants_stop()])
        return plan(*args, watch=watch, **options)

    platform.terraform.plan = follow
    platform.do("runs.work")

    assert answers == [False, True, True]


def test_a_worker_stops_when_another_one_took_over(platform, order_run, decide, quick_watch, run_of):
    run_id = order_run()
    answers = []

    def follow(*_args, watch, **_options):
        decide(run_id, approved=False)
        answers.extend([watch.wants_stop(), watch.wants_stop()])
        raise OSError(28, "No space left on device")

    platform.terraform.plan = follow
    platform.queue.huey.execute(platform.queue._message.s("runs.work", {}))

    assert answers == [True, True]
    assert run_of(run_id).status == RunStatus.DISCARDED


def test_secrets_are_masked_in_the_log(platform, planned):
    secret = "hunter2-hunter2"
    platform.terraform._addresses = lambda: [f"terraform_data.server[{secret}]"]

    run_id = planned(variables={"name": "web", "size": secret}, sensitive=("size",), limits={"max_resources": 2})

    lines = [line.text for line in queries.log_lines(run_id)]
    assert lines
    assert secret not in str(lines)
    assert count(Resource) == 0
