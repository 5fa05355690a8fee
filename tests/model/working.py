"""What workers do with runs: plan, apply, settle; and how they die. Each step is one transaction or one outside act."""

from collections.abc import Iterator

from opsplatform.core.machines import Cause
from opsplatform.runs.models import RunStatus as S
from tests.model.deciding import end, go, go_on
from tests.model.dingtalk import IDLE, Step
from tests.model.people import state_moves
from tests.model.world import (
    BAD,
    ENDED,
    FREE,
    GOOD,
    LAPSED,
    LIVE,
    NO_PLAN,
    NO_PROCESS,
    NOBODY,
    RUN_JOBS,
    RUNNING,
    Rules,
    Run,
    Worker,
    World,
    fence_off,
    with_run,
    with_worker,
)


def take_runs(world: World, rules: Rules) -> Iterator[Step]:
    """An idle worker looks at a run: the claim decides what it gets."""
    if IDLE not in world.workers:
        return
    for number, run in enumerate(world.runs):
        if run.status and run.lease != LIVE:
            if run.status in rules.swept:
                yield from _take(world, number, run, rules)
            yield from _take_wrongly(world, number, run, rules)


def work(world: World, rules: Rules) -> Iterator[Step]:
    """A worker that holds a run goes one step further."""
    for index, worker in enumerate(world.workers):
        if worker.job == "plan":
            yield from _planning(world, index, worker, rules)
        elif worker.job == "apply":
            yield from _applying(world, index, worker, rules)
        elif worker.job == "settle":
            yield from _settling(world, index, worker, rules)


def faults(world: World, _rules: Rules) -> Iterator[Step]:
    """Workers die at any moment, leases lapse, Terraform ends, by itself or because somebody stopped it."""
    for index, worker in enumerate(world.workers):
        if worker != IDLE:
            yield ("crash", worker.row), with_worker(world, index, IDLE), False
    for number, run in enumerate(world.runs):
        if run.lease == LIVE:
            yield ("lapse", number), with_run(world, number, lease=LAPSED), True
        if run.process == RUNNING:
            yield ("terraform.ends", number), with_run(world, number, process=ENDED), True


def claim(world: World, number: int, **values: object) -> World:
    """`leases.claim`: the fence rises, so every earlier hold is worth nothing."""
    return with_run(fence_off(world, jobs=RUN_JOBS, row=number), number, lease=LIVE, **values)


def begin_plan(world: World, idle: int, number: int, rules: Rules) -> World:
    """`planning.begin`."""
    run = world.runs[number]
    attempts = min(run.attempts + 1, rules.most_attempts + 1)
    world = claim(world, number)
    held = hold(world, number, rules)
    if held is None:
        return with_run(world, number, lease=FREE, attempts=run.attempts if rules.waiting_is_no_attempt else attempts)
    world = with_run(held, number, attempts=attempts)
    if rules.cancel_is_honoured and run.cancel:
        return end(world, number, S.CANCELED, Cause.WORKER)
    if attempts > rules.most_attempts:
        return end(world, number, S.ERRORED, Cause.WORKER)
    if run.status == S.PENDING:
        world = go(world, number, S.PLANNING, Cause.WORKER)
    world = with_run(world, number, begun=min(run.begun + 1, rules.most_attempts + 1))
    if not run.fresh:
        looks = rules.changed_module_needs_a_look or run.decision == "approved"
        world = with_run(world, number, fresh=True, ordered=False, auto=run.auto and not looks)
    return with_worker(world, idle, Worker("plan", number, "begun", "", True))


def begin_apply(world: World, idle: int, number: int, rules: Rules) -> Iterator[Step]:
    """`applying.begin`."""
    name = "apply.begin"
    taken = claim(world, number)
    if not rules.hold_comes_before_compare:
        if fits(world.runs[number], rules):
            yield (name, number), with_worker(taken, idle, Worker("apply", number, "compared", "", True)), True
        return
    held = hold(taken, number, rules)
    if held is None:
        yield (name, number), with_run(taken, number, lease=FREE), True
    elif fits(world.runs[number], rules):
        yield (name, number), _start_clock(held, idle, number, rules), True
    else:
        again = go(held, number, S.PENDING, Cause.WORKER, plan=NO_PLAN, approved=False, lease=FREE)
        yield (name, number), again, True
        if not world.runs[number].fresh:
            yield ("apply.module_gone", number), end(held, number, S.ERRORED, Cause.WORKER), False


def fits(run: Run, rules: Rules) -> bool:
    """Whether everything the digest covers is as it was approved."""
    return not rules.digest_is_compared or (run.plan == GOOD and run.approved and run.fresh)


def hold(world: World, number: int, rules: Rules) -> World | None:
    """`states.hold`; None when the workspace is not to be had."""
    space = world.space
    if not rules.workspace_is_held or space.holder == number:
        return world
    if space.holder != NOBODY or space.aside:
        return None
    return world._replace(space=space._replace(holder=number))


def _take(world: World, number: int, run: Run, rules: Rules) -> Iterator[Step]:
    idle = world.workers.index(IDLE)
    if run.status == S.PENDING or (run.status == S.PLANNING and run.lease != FREE):
        yield ("plan.begin", number), begin_plan(world, idle, number, rules), True
    elif run.status == S.APPLY_QUEUED:
        yield from begin_apply(world, idle, number, rules)
    elif run.status == S.APPLYING:
        settler = Worker("settle", number, "taken", "", True)
        yield ("settle.take", number), with_worker(claim(world, number), idle, settler), True


def _take_wrongly(world: World, number: int, run: Run, rules: Rules) -> Iterator[Step]:
    """What a claim without its conditions would give away."""
    idle = world.workers.index(IDLE)
    if not rules.apply_is_never_repeated and run.status == S.APPLYING:
        applier = Worker("apply", number, "ticket", "", True)
        yield ("apply.begin_again", number), with_worker(claim(world, number), idle, applier), False
    if not rules.claim_needs_the_status and run.status == S.APPLY_QUEUED:
        planner = Worker("plan", number, "begun", "", True)
        yield ("plan.begin_anyhow", number), with_worker(claim(world, number), idle, planner), False


def _planning(world: World, index: int, worker: Worker, rules: Rules) -> Iterator[Step]:
    number, run = worker.row, world.runs[worker.row]
    world = with_worker(world, index, IDLE)
    if rules.fence_is_checked and not worker.valid:
        yield ("plan.lost", number), world, True
        return
    if rules.cancel_is_honoured and run.cancel:
        yield ("plan.canceled", number), end(world, number, S.CANCELED, Cause.WORKER), True
        return
    if run.cancel:
        yield ("plan.canceled", number), end(world, number, S.CANCELED, Cause.WORKER), False
    yield ("plan.fails", number), end(world, number, S.ERRORED, Cause.WORKER), False
    yield ("plan.nothing", number), end(world, number, S.PLANNED_AND_FINISHED, Cause.WORKER), False
    for creates_only in (True, False):
        made = {"creates_only": creates_only, "approved": False, "reviewed": False, "stood": False}
        plan = BAD if worker.seen == "old" else GOOD
        planned = go(world, number, S.PLANNED, Cause.WORKER, plan=plan, lease=FREE, **made)
        if run.decision == "approved":
            planned = go_on(planned, number, Cause.WORKER)
        yield (f"plan.done:{'create' if creates_only else 'change'}", number), planned, True


def _applying(world: World, index: int, worker: Worker, rules: Rules) -> Iterator[Step]:
    number, run = worker.row, world.runs[worker.row]
    idle = with_worker(world, index, IDLE)
    if worker.at == "compared":  # only where the workspace is held too late
        held = hold(idle, number, rules)
        if held is not None:
            yield ("apply.hold", number), _start_clock(held, idle.workers.index(IDLE), number, rules), True
    elif worker.at == "ticket":
        yield from _take_ticket(world, index, worker, rules)
    elif worker.at == "start":
        started = with_run(world, number, process=RUNNING, starts=min(run.starts + 1, 2), noted=False)
        yield ("apply.start", number), with_worker(started, index, worker._replace(at="note")), True
        yield ("apply.cannot_start", number), with_worker(world, index, worker._replace(at="failed")), False
    elif worker.at == "note":
        noted = with_worker(with_run(world, number, noted=True), index, worker._replace(at="follow"))
        yield ("apply.note", number), noted, True
    elif run.process != RUNNING or worker.at == "failed":
        if rules.fence_is_checked and not worker.valid:
            yield ("apply.lost", number), idle, True
        else:
            yield from _finish(idle, number, worker)


def _start_clock(world: World, idle: int, number: int, rules: Rules) -> World:
    if not rules.applying_is_committed_first:
        return with_worker(world, idle, Worker("apply", number, "start", "", True))
    world = go(world, number, S.APPLYING, Cause.WORKER)
    return with_worker(world, idle, Worker("apply", number, "ticket", "", True))


def _take_ticket(world: World, index: int, worker: Worker, rules: Rules) -> Iterator[Step]:
    """`workdir.first_to`: the start of Terraform and the settling of its run exclude each other."""
    run = world.runs[worker.row]
    if not rules.start_and_settle_exclude_each_other or not run.ticket or not rules.apply_is_never_repeated:
        taken = with_run(world, worker.row, ticket="start")
        yield ("apply.ticket", worker.row), with_worker(taken, index, worker._replace(at="start")), True
    else:
        yield ("apply.too_late", worker.row), with_worker(world, index, IDLE), True


def _finish(world: World, number: int, worker: Worker) -> Iterator[Step]:
    """`applying.finish`: the state is stored, or the workspace is put aside; the run ends."""
    run = world.runs[number]
    if worker.at == "failed":
        yield ("apply.failed", number), end(world, number, S.ERRORED, Cause.WORKER), True
        return
    stored = state_moves(world, but=number)
    yield ("apply.done", number), end(stored, number, S.APPLIED, Cause.WORKER), True
    yield ("apply.failed", number), end(stored, number, S.ERRORED, Cause.WORKER), False
    aside = world._replace(space=world.space._replace(aside=True))
    yield ("apply.misfit", number), end(aside, number, S.ERRORED, Cause.WORKER), False
    if run.cancel:
        yield ("apply.canceled", number), end(stored, number, S.CANCELED, Cause.WORKER), True


def _settling(world: World, index: int, worker: Worker, rules: Rules) -> Iterator[Step]:
    number, run = worker.row, world.runs[worker.row]
    if worker.at == "taken":
        yield from _stop(world, index, worker, rules)
        return
    world = with_worker(world, index, IDLE)
    if rules.fence_is_checked and not worker.valid:
        yield ("settle.lost", number), world, True
        return
    if worker.seen == "unknown":
        world = world._replace(space=world.space._replace(aside=True))
    if run.process != NO_PROCESS:
        world = state_moves(world, but=number)
    yield ("settle.done", number), end(world, number, S.ERRORED, Cause.SWEEPER), True


def _stop(world: World, index: int, worker: Worker, rules: Rules) -> Iterator[Step]:
    """Stop what was started; where that cannot be known for sure, wait for its worker or put the workspace aside."""
    number, run = worker.row, world.runs[worker.row]
    stopped = with_worker(world, index, worker._replace(at="stopped"))
    if run.noted:
        if run.process == RUNNING and rules.settle_stops_the_process:
            stopped = with_run(stopped, number, process=ENDED)
        yield ("settle.stop", number), stopped, True
    elif not rules.start_and_settle_exclude_each_other:
        yield ("settle.stop", number), stopped, True
    elif run.ticket != "start":
        yield ("settle.ticket", number), with_run(stopped, number, ticket="settle"), True
    elif any(w.job == "apply" and w.row == number and w.at in {"start", "note", "failed"} for w in world.workers):
        yield ("settle.leave", number), with_worker(world, index, IDLE), True
    else:
        unknown = with_worker(world, index, worker._replace(at="stopped", seen="unknown"))
        yield ("settle.unknown", number), unknown, True
