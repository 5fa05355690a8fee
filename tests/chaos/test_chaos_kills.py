"""Processes die at random while approvals flow: the promises hold, and a judge sees it where one does not.

`python -m tests.chaos.kills` does the same for as long as one likes and measures it.
"""

import datetime as dt
import shutil
from types import SimpleNamespace

import pytest

from opsplatform.approvals.models import Approval
from opsplatform.inventory.models import Resource
from opsplatform.runs.models import Run, RunStep
from opsplatform.states.models import Workspace
from tests.chaos.killing.judge import Judge, last_hindrance
from tests.chaos.killing.killer import Lost
from tests.chaos.killing.people import Wish
from tests.chaos.killing.records import Everything
from tests.chaos.killing.servers import missing
from tests.chaos.killing.stack import SHAPES
from tests.chaos.killing.supervisor import Outage
from tests.chaos.kills import run
from tests.support import REQUIRED

NOON = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)


@pytest.mark.flow
@pytest.mark.parametrize("kind", SHAPES)
def test_whatever_is_killed_each_approval_ends_as_decided_and_nothing_is_made_twice(kind):
    if SHAPES[kind].own_servers and (why := missing()):
        (pytest.fail if REQUIRED else pytest.skip)(why)

    report = run(SHAPES[kind], kills=8, seconds=25, seed=7)

    assert report.broken == [], f"look into {report.folder}"
    assert report.double_applies == 0
    assert report.approvals > 0
    assert report.kills.total() > 0
    shutil.rmtree(report.folder)


def test_a_run_that_went_well_breaks_no_promise(world):
    assert judged(world) == []


def test_a_lost_approval_is_seen(world):
    world.approvals.clear()

    assert "approval k1 (agree) is lost" in judged(world)


def test_an_approval_that_ended_otherwise_is_seen(world):
    world.approvals[0].status = "refused"

    assert "approval k1 is refused after agree: None" in judged(world)
    assert "run 1 was applied without an agreement" in judged(world)


def test_a_plan_that_was_applied_twice_is_seen(world):
    world.steps.append(RunStep(id=3, run_id=1, status="applying", at=NOON))

    assert "run 1 was applied 2 times" in judged(world)
    assert Judge(stack_of(world), world.wishes).double_applies() == 1


def test_an_object_that_was_made_twice_is_seen(world):
    world.ledger.append({**world.ledger[0], "id": "srv-2"})

    assert "k1 was made 2 times" in judged(world)
    assert Judge(stack_of(world), world.wishes).double_applies() == 1


def test_a_stuck_run_and_its_workspace_are_seen(world):
    world.runs[0].status, world.workspaces[0].holder_run_id = "applying", 1

    assert "run 1 is stuck: applying, decision None, held by None" in judged(world)
    assert "workspace w-1 is held by run 1, lock None" in judged(world)


def test_an_end_without_a_reason_is_seen(world):
    world.runs[0].status, world.runs[0].error = "errored", "list index out of range"

    assert "run 1 ended for a reason nobody gave: list index out of range" in judged(world)


def test_an_agreed_run_that_was_never_applied_is_seen(world):
    world.runs[0].status = "discarded"

    assert "run 1 was agreed to and is discarded" in judged(world)


def test_an_object_that_is_on_no_record_is_seen(world):
    world.resources.clear()

    assert "srv-1 (k1, run 1) is neither in a state nor an orphan" in judged(world)


def test_an_orphan_without_an_id_stands_for_one_object(world):
    world.resources[0].state, world.resources[0].provider_id = "orphaned", None

    assert judged(world) == []


def test_a_resource_on_the_wrong_record_and_one_that_does_not_exist_are_seen(world):
    world.resources[0].run_id = 9
    world.objects.append({"id": "srv-1", "name": "k1"})
    world.resources.append(resource("srv-7"))

    assert "srv-1 was made by run 1 and is listed for run 9" in judged(world)
    assert "srv-7 is active on the record and does not exist" in judged(world)


def test_settling_is_counted_from_the_kill_and_from_the_end_of_the_last_hindrance(world):
    lost, at = Lost(1, "applying", NOON.timestamp() - 9), NOON.timestamp()
    alone = [Outage("worker", at - 9, at - 4), Outage("scheduler", at - 8, at - 3), Outage("web", at - 2, at - 1)]
    among_others = [
        Outage("worker1", at - 9, at - 2),
        Outage("worker2", at - 6, at - 1),
        Outage("redis", at - 7, at - 5),
    ]

    took = Judge(stack_of(world), world.wishes).settled_after(Lost(1, "applying", at - 8.5))

    assert took == 8.5
    assert last_hindrance(lost, 9, SHAPES["embedded"], alone) == 6
    assert last_hindrance(lost, 9, SHAPES["embedded"], alone[:1]) == 5
    assert last_hindrance(lost, 9, SHAPES["servers"], among_others) == 4
    assert last_hindrance(lost, 9, SHAPES["servers"], among_others[:1]) == 0


def test_an_apply_that_was_broken_off_without_a_kill_is_counted(world):
    world.runs[0].status, world.runs[0].error = "errored", "The worker died while it applied the plan; …"
    judge = Judge(stack_of(world), world.wishes)

    assert judge.given_up([]) == 1
    assert judge.given_up([Lost(1, "applying", 0.0)]) == 0


@pytest.fixture
def world():
    """One approval that was agreed to, its run, and the server that came of it."""
    return SimpleNamespace(
        wishes=[Wish("k1", "instance-1", "agree", 0.0, decided=True)],
        approvals=[Approval(id=1, instance_id="instance-1", status="agreed")],
        runs=[Run(id=1, approval_id=1, status="applied")],
        steps=[
            RunStep(id=1, run_id=1, status="applying", at=NOON - dt.timedelta(seconds=9)),
            RunStep(id=2, run_id=1, status="applied", at=NOON),
        ],
        resources=[resource("srv-1")],
        workspaces=[Workspace(id=1, name="w-1")],
        ledger=[{"id": "srv-1", "label": "1-1", "attributes": {"name": "k1"}}],
        objects=[{"id": "srv-1", "name": "k1"}],
    )


def resource(provider_id):
    """An active server of run 1."""
    return Resource(
        run_id=1, type="fakecloud_server", address="fakecloud_server.this", provider_id=provider_id, state="active"
    )


def judged(world):
    """What the judge has to say."""
    return Judge(stack_of(world), world.wishes).broken()


def stack_of(world):
    """As much of a stack as a judge looks at."""
    rows = Everything(world.approvals, world.runs, world.steps, world.resources, world.workspaces)
    return SimpleNamespace(
        records=SimpleNamespace(everything=lambda: rows),
        cloud=SimpleNamespace(ledger=lambda _op: world.ledger, objects=lambda: world.objects),
    )
