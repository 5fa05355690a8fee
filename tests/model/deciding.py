"""What several parties do to a run in the same way: end it, hand it to an apply, decide on it.

Each function mirrors one of `runs.service`; tests/model/test_model_conformance.py compares them step by step.
"""

from opsplatform.core.machines import Cause
from opsplatform.runs.models import MACHINE
from opsplatform.runs.models import RunStatus as S
from tests.model.world import (
    FREE,
    NO_PLAN,
    NOBODY,
    RUN_ENDS,
    RUN_JOBS,
    Reading,
    Rules,
    World,
    fence_off,
    move,
    with_run,
)


def go(world: World, number: int, target: S, cause: Cause, **values: object) -> World:
    """Move a run by its table."""
    status = move(MACHINE, world.runs[number].status, target.value, cause)
    return with_run(world, number, status=status, **values)


def end(world: World, number: int, target: S, cause: Cause) -> World:
    """`service.end`: the plan is dropped, the workspace is free, whoever worked on it is fenced off."""
    world = go(world, number, target, cause, plan=NO_PLAN, approved=False, lease=FREE)
    if world.space.holder == number:
        world = world._replace(space=world.space._replace(holder=NOBODY))
    return fence_off(world, jobs=RUN_JOBS, row=number)


def go_on(world: World, number: int, cause: Cause) -> World:
    """`service.go_on`: nobody saw this plan before saying yes, so it applies only where the offer lets it."""
    run = world.runs[number]
    if run.creates_only and run.auto:
        return go(world, number, S.APPLY_QUEUED, cause, approved=True)
    return world


def decide(world: World, number: int, *, approved: bool, rules: Rules) -> World:
    """`service.decide`."""
    run = world.runs[number]
    late_refusal = not approved and run.status == S.APPLYING
    if not run.status or run.decision or late_refusal:
        return world
    word = "approved" if approved else "refused"
    if run.status in RUN_ENDS:
        return with_run(world, number, decision=word) if rules.ended_runs_are_decided else world
    world = with_run(world, number, decision=word)
    if not approved:
        return end(world, number, S.DISCARDED, Cause.EVENT)
    if run.status != S.PLANNED:
        return world
    if run.stood or not rules.late_plan_needs_a_look:
        return go(world, number, S.APPLY_QUEUED, Cause.EVENT, approved=True, reviewed=run.stood)
    return go_on(world, number, Cause.EVENT)


def read_first(world: World, what: str, number: int) -> World:
    """Where decisions do not lock: the row is read, and written at some later moment."""
    run = world.runs[number]
    return world._replace(reading=Reading(what, number, run.status, run.decision, run.lease))


def write_late(world: World) -> World:
    """Write what was made of a row that may have changed since: columns are overwritten, whatever they are now."""
    what, number, status, decision, lease = world.reading
    world = world._replace(reading=Reading())
    if what == "agree" and not decision and status not in RUN_ENDS:
        world = with_run(world, number, decision="approved")
        if status == S.PLANNED:
            world = with_run(world, number, status=S.APPLY_QUEUED.value, approved=True, reviewed=True)
    if what == "refuse" and not decision and status not in RUN_ENDS and status != S.APPLYING:
        world = _overwrite_end(with_run(world, number, decision="refused"), number, S.DISCARDED, lease)
    if what == "cancel":
        world = _overwrite_end(world, number, S.CANCELED, lease)
    return world


def _overwrite_end(world: World, number: int, target: S, lease: int) -> World:
    """The fence is set to one more than was read; a claim that came in between has made it exactly that."""
    claimed_meanwhile = lease == FREE and world.runs[number].lease != FREE
    world = with_run(world, number, status=target.value, plan=NO_PLAN, approved=False, lease=FREE)
    if world.space.holder == number:
        world = world._replace(space=world.space._replace(holder=NOBODY))
    return world if claimed_meanwhile else fence_off(world, jobs=RUN_JOBS, row=number)
