"""What people do to runs through the API, and what somebody does behind our back."""

from collections.abc import Iterator

from opsplatform.core.machines import Cause
from opsplatform.runs.models import RunStatus as S
from tests.model.deciding import end, go, read_first, write_late
from tests.model.dingtalk import Step
from tests.model.world import BAD, GOOD, NOBODY, RUN_ENDS, RUNNING, Reading, Rules, Run, Space, World, with_run


def callers(world: World, rules: Rules) -> Iterator[Step]:
    """`run.cancel`, `run.discard`, `run.confirm`, `run.retry`."""
    for number, run in enumerate(world.runs):
        if run.status in RUN_ENDS:
            if _can_be_retried(world, number, rules):
                yield ("retry", number), retry(world, number), False
        elif run.status:
            yield from _call(world, number, run, rules)


def _call(world: World, number: int, run: Run, rules: Rules) -> Iterator[Step]:
    if run.status not in {S.PLANNING, S.APPLYING}:
        yield ("cancel", number), _cancel(world, number, rules), False
    elif not run.cancel:
        yield ("cancel", number), with_run(world, number, cancel=run.status), False
    if run.status in {S.PENDING, S.PLANNED}:
        yield ("discard", number), end(world, number, S.DISCARDED, Cause.PERSON), False
    if run.status == S.PLANNED and run.decision == "approved":
        confirmed = go(world, number, S.APPLY_QUEUED, Cause.PERSON, approved=True, reviewed=True)
        yield ("confirm", number), confirmed, False


def retry(world: World, number: int) -> World:
    """`service.retry`: a new run with the old one's decision, whose plan nobody has seen."""
    old = world.runs[number]
    new = Run(status=S.PENDING.value, decision=old.decision, fresh=old.fresh, ordered=old.ordered)
    return with_run(world, number + 1, **new._asdict())


def clock(world: World, _rules: Rules) -> Iterator[Step]:
    """`expiry.expire`: a plan that nobody decided on has lived long enough."""
    for number, run in enumerate(world.runs):
        if run.status == S.PLANNED and not run.decision:
            yield ("expire", number), end(world, number, S.DISCARDED, Cause.CLOCK), False


def unlockers(world: World, _rules: Rules) -> Iterator[Step]:
    """`workspace.unlock`: whoever calls it has looked that no Terraform works there, as its help says."""
    busy = any(run.process == RUNNING or run.status in {S.PLANNING, S.APPLYING} for run in world.runs)
    if world.space != Space() and not busy:
        yield ("unlock", 0), world._replace(space=Space()), False


def tampering(world: World, rules: Rules) -> Iterator[Step]:
    """The state is wiped or a stored file is changed; a module is edited."""
    if not rules.tampering:
        return
    moved = state_moves(world)
    if moved is not world:
        yield ("tamper", 0), moved, False
    for number, run in enumerate(world.runs):
        if run.status and run.status not in RUN_ENDS and run.fresh:
            yield ("edit_module", number), with_run(world, number, fresh=False), False


def late_writers(world: World, _rules: Rules) -> Iterator[Step]:
    """Where decisions do not lock: the write of a transaction that has read."""
    if world.reading != Reading():
        yield ("write_late", world.reading.run), write_late(world), True


def state_moves(world: World, *, but: int = NOBODY) -> World:
    """The workspace's state is another one now: no plan that was made from the former fits any more."""
    for number, run in enumerate(world.runs):
        if number != but and run.plan == GOOD:
            world = with_run(world, number, plan=BAD)
    if any(worker.job == "plan" and worker.seen != "old" and worker.row != but for worker in world.workers):
        old = (w._replace(seen="old") if w.job == "plan" and w.row != but else w for w in world.workers)
        world = world._replace(workers=tuple(sorted(old)))
    return world


def _cancel(world: World, number: int, rules: Rules) -> World:
    if rules.decisions_lock:
        return end(world, number, S.CANCELED, Cause.PERSON)
    return read_first(world, "cancel", number)


def _can_be_retried(world: World, number: int, rules: Rules) -> bool:
    run, last = world.runs[number], number % rules.chain == rules.chain - 1
    if last or world.runs[number + 1].status:
        return False
    return run.status in {S.ERRORED, S.CANCELED} and run.decision != "refused"
