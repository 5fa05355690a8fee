"""Take a step of the model with the product's own functions, each inside one transaction as its edge does it."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from opsplatform.adapters.dingtalk_values import Instance
from opsplatform.approvals import inbox
from opsplatform.approvals import service as approvals
from opsplatform.approvals.models import InboxEvent
from opsplatform.core.db import db, transaction
from opsplatform.core.errors import NotFound
from opsplatform.core.leases import Lease, LeaseLost, owner
from opsplatform.runs import applying, expiry, jobs, planning, service, sweeping, tasks, unlocking
from opsplatform.runs.applying import Outcome
from opsplatform.runs.models import Run
from tests.miniatures import CORP, plan_json, state
from tests.model import world as w
from tests.model.staging import FENCE, LOCK, PLAN, Stage, show_in_dingtalk

HOST = owner().rpartition(":")[0]
CREATES = plan_json(("terraform_data.server", ["create"]))
CHANGES = plan_json(("terraform_data.server", ["update"]))
NOTHING = plan_json(("terraform_data.server", ["no-op"]))


def take(stage: Stage, world: w.World, label: tuple[str, int]) -> None:
    """Do what the label says; that a lease is lost is an outcome like others."""
    name, row = label
    with suppress(LeaseLost), transaction():
        STEPS[name](stage, world, row)


def worker_of(world: w.World, name: str, row: int) -> w.Worker:
    """The worker that takes this step: the one that holds the row, or, for a step that is lost, one that does not."""
    job, lost = name.partition(".")[0], name.endswith(".lost")
    return next(each for each in world.workers if (each.job, each.row, each.valid) == (job, row, not lost))


def _arrives(stage: Stage, world: w.World, number: int) -> None:
    kind = [event.status for event in world.approvals[number].events].index("sent")
    for _ in range(2):  # pushed twice, stored once
        inbox.receive(stage.event(world, number, kind))


def _again(stage: Stage, _world: w.World, number: int) -> None:
    inbox.replay(stage.instance(number))


def _take_event(stage: Stage, _world: w.World, row: int) -> None:
    taken = inbox.take(stage.events[divmod(row, 3)])
    assert taken
    reason = approvals.why_ignored(taken[0], CORP)
    if reason:
        inbox.stamp(taken[1], "ignored", reason)


def _record(stage: Stage, world: w.World, row: int) -> None:
    number, seen = row // 3, worker_of(world, "event.record", row).seen
    lease = _event_lease(stage, row)
    if seen == "deleted":
        approvals.record_gone(lease)
    else:
        approvals.record_instance(lease, _instance(stage, world, number, seen), {})


def _lose_event(stage: Stage, world: w.World, row: int) -> None:
    lease = _event_lease(stage, row, lost=True)
    approvals.record_instance(lease, _instance(stage, world, row // 3, "agreed"), {})


def _postpone(stage: Stage, _world: w.World, row: int) -> None:
    inbox.postpone(_event_lease(stage, row), "not yet")


def _begin_plan(stage: Stage, _world: w.World, number: int) -> None:
    planning.begin(stage.runs[number])


def _finish_plan(plan: dict[str, Any]) -> Callable[[Stage, w.World, int], None]:
    def finish(stage: Stage, world: w.World, number: int) -> None:
        worker = worker_of(world, "plan", number)
        planning.finish(_job(stage, number, old=worker.seen == "old"), PLAN, LOCK, plan, "1.9.9")

    return finish


def _lose_plan(stage: Stage, _world: w.World, number: int) -> None:
    planning.finish(_job(stage, number, old=False, lost=True), PLAN, LOCK, CREATES, "1.9.9")


def _fail_plan(stage: Stage, _world: w.World, number: int) -> None:
    planning.fail(_run_lease(stage, number), "no such image", canceled=False)


def _begin_apply(stage: Stage, _world: w.World, number: int) -> None:
    applying.begin(stage.runs[number])


def _begin_without_module(stage: Stage, _world: w.World, number: int) -> None:
    def gone(*_: object) -> None:
        raise NotFound("There is no such module.")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs.catalog, "version_files", gone)
        applying.begin(stage.runs[number])


def _finish_apply(**known: Any) -> Callable[[Stage, w.World, int], None]:
    def finish(stage: Stage, world: w.World, number: int) -> None:
        began = worker_of(world, "apply", number).at != "failed"
        outcome = {"state": state(made={}, serial=stage.number + 2) if began else None, "error": None, **known}
        applying.finish(
            _run_lease(stage, number), Outcome(canceled=outcome.pop("canceled", False), created={}, **outcome)
        )

    return finish


def _lose_apply(stage: Stage, _world: w.World, number: int) -> None:
    done = Outcome(state=state(made={}), error=None, canceled=False, created={})
    applying.finish(_run_lease(stage, number, lost=True), done)


def _take_abandoned(stage: Stage, _world: w.World, number: int) -> None:
    assert sweeping.take_abandoned(stage.runs[number], HOST)


def _finish_settling(stage: Stage, world: w.World, number: int) -> None:
    ran = world.runs[number].process != w.NO_PROCESS
    aside = tasks.UNSURE if worker_of(world, "settle", number).seen == "unknown" else None
    left = state(made={}, serial=stage.number + 2) if ran else None
    outcome = Outcome(state=left, error="the worker died", canceled=False, created={}, aside=aside)
    applying.finish(_run_lease(stage, number), outcome)


def _call(action: str) -> Callable[[Stage, w.World, int], None]:
    def call(stage: Stage, _world: w.World, number: int) -> None:
        getattr(service, action)(stage.runs[number], by="somebody", reason=None)

    return call


def _expire(stage: Stage, _world: w.World, number: int) -> None:
    run = db.session.get_one(Run, stage.runs[number])
    assert run.planned_at
    expiry.expire(w_life(run))


def w_life(run: Run) -> Any:
    """A life that is over for this run."""
    assert run.planned_at
    return run.planned_at - run.planned_at


def _unlock(stage: Stage, _world: w.World, _row: int) -> None:
    unlocking.unlock(stage.workspace, stage.platform.app.extensions["settings"].data_dir)


def _instance(stage: Stage, world: w.World, number: int, seen: str) -> Instance:
    show_in_dingtalk(stage, world, number, seen)
    return stage.platform.dingtalk.get_instance(stage.instance(number))


def _event_lease(stage: Stage, row: int, *, lost: bool = False) -> Lease:
    return stage.lease(InboxEvent, stage.events[divmod(row, 3)], lost=lost)


def _run_lease(stage: Stage, number: int, *, lost: bool = False) -> Lease:
    return stage.lease(Run, stage.runs[number], lost=lost)


def _job(stage: Stage, number: int, *, old: bool, lost: bool = False) -> jobs.Job:
    """What the planner took with it; a state that moved since then had another serial."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs.catalog, "version_files", lambda *_: [])
        job = jobs.read_job(db.session.get_one(Run, stage.runs[number]), _run_lease(stage, number, lost=lost))
    return replace(job, serial=job.serial + (7 if old else 0))


STEPS: dict[str, Callable[[Stage, w.World, int], None]] = {
    "arrives": _arrives,
    "again": _again,
    "event.take": _take_event,
    "event.ignore": _take_event,
    "event.record": _record,
    "event.lost": _lose_event,
    "event.postpone": _postpone,
    "plan.begin": _begin_plan,
    "plan.done:create": _finish_plan(CREATES),
    "plan.done:change": _finish_plan(CHANGES),
    "plan.nothing": _finish_plan(NOTHING),
    "plan.canceled": _finish_plan(CREATES),
    "plan.fails": _fail_plan,
    "plan.lost": _lose_plan,
    "apply.begin": _begin_apply,
    "apply.module_gone": _begin_without_module,
    "apply.done": _finish_apply(),
    "apply.failed": _finish_apply(error="quota used up"),
    "apply.misfit": _finish_apply(state=b"no state"),
    "apply.canceled": _finish_apply(canceled=True),
    "apply.lost": _lose_apply,
    "settle.take": _take_abandoned,
    "settle.done": _finish_settling,
    "settle.lost": _lose_apply,
    "cancel": _call("cancel"),
    "discard": _call("discard"),
    "confirm": _call("confirm"),
    "retry": _call("retry"),
    "expire": _expire,
    "unlock": _unlock,
}
# What is not the product's doing, or happens outside of the database.
OUTSIDE = frozenset({
    "submit", "agreed", "refused", "terminated", "deleted", "bind", "tamper", "edit_module", "crash", "lapse",
    "event.lapse", "event.look", "event.look_late", "terraform.ends", "apply.start", "apply.cannot_start", "apply.note",
    "apply.ticket", "apply.too_late", "settle.stop", "settle.ticket", "settle.leave", "settle.unknown",
})  # fmt: skip
assert FENCE > 1
