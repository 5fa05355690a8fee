"""DingTalk and our ear for it: approvals begin and end, events travel, are stored once, are handled, perhaps again.

An event on its way may arrive at any later time, so late, reordered and lost ones are one case: a lost one arrives
when reconciliation finds it. A doubled one meets a row that is there; one that is told again in other words, and a
replay by a person, make a row that is done wait once more.
"""

from collections.abc import Iterator

from opsplatform.approvals.models import MACHINE, NEXT
from opsplatform.approvals.models import ApprovalStatus as A
from opsplatform.core.machines import Cause
from opsplatform.runs.models import RunStatus as S
from tests.model.deciding import decide, read_first
from tests.model.world import (
    END,
    FREE,
    GONE,
    LAPSED,
    LIVE,
    START,
    Rules,
    Run,
    Worker,
    World,
    fence_off,
    move,
    with_approval,
    with_event,
    with_run,
    with_worker,
)

Step = tuple[tuple[str, int], World, bool]  # what on which row, what it leads to, whether the product does it by itself

OUTCOMES = {"agreed": A.AGREED, "refused": A.REFUSED, "terminated": A.TERMINATED}
IDLE = Worker()


def people_in_dingtalk(world: World, rules: Rules) -> Iterator[Step]:
    """Employees submit forms, approvers decide, somebody withdraws or deletes."""
    for number, approval in enumerate(world.approvals):
        if not approval.ding:
            for fits in (True, False):
                begun = with_approval(world, number, ding="running", fits=fits)
                yield ("submit", number), with_event(begun, number, START, status="sent"), False
        if approval.ding == "running":
            for outcome in ("agreed", "refused", "terminated"):
                yield (outcome, number), _ended(world, number, outcome, rules), False
        if rules.deleting and approval.ding in {"running", "agreed"}:
            gone = with_approval(world, number, ding="deleted")
            yield ("deleted", number), with_event(gone, number, GONE, status="sent"), False
        if not approval.bound:
            yield ("bind", number), with_approval(world, number, bound=True), False


def pushes(world: World, rules: Rules) -> Iterator[Step]:
    """Events arrive; `again` stands for a replay, and for the same thing told in other words."""
    for number, approval in enumerate(world.approvals):
        for kind, event in enumerate(approval.events):
            if event.status == "sent":
                yield ("arrives", number), with_event(world, number, kind, status="received"), True
            elif rules.replays and event.status == "done":
                yield ("again", number), with_event(world, number, kind, status="received"), False


def take_events(world: World, rules: Rules) -> Iterator[Step]:
    """An idle worker claims an event that waits."""
    if IDLE not in world.workers or "received" not in rules.swept:
        return
    idle = world.workers.index(IDLE)
    for number, approval in enumerate(world.approvals):
        for kind, event in enumerate(approval.events):
            if event.status == "received" and event.lease != LIVE:
                row = number * 3 + kind
                taken = fence_off(world, jobs=("event",), row=row)
                if not approval.bound:
                    yield ("event.ignore", row), _ignored(taken, number, kind), True
                else:
                    taken = with_event(taken, number, kind, lease=LIVE)
                    seen = "deleted" if kind == GONE else ""
                    at = "looked" if kind == GONE else "took"
                    yield ("event.take", row), with_worker(taken, idle, Worker("event", row, at, seen, True)), True


def handle_events(world: World, rules: Rules) -> Iterator[Step]:
    """A worker that holds an event looks at the approval and records what it saw."""
    for index, worker in enumerate(world.workers):
        if worker.job != "event":
            continue
        number, kind = divmod(worker.row, 3)
        if worker.at == "took":
            ding = world.approvals[number].ding
            yield ("event.look", worker.row), with_worker(world, index, worker._replace(at="looked", seen=ding)), True
            if rules.lagging and ding in OUTCOMES:
                late = with_worker(world, index, worker._replace(at="looked", seen="running"))
                yield ("event.look_late", worker.row), late, False
            continue
        done = with_worker(world, index, IDLE)
        if rules.fence_is_checked and not worker.valid:
            yield ("event.lost", worker.row), done, True
        elif kind == END and worker.seen == "running":
            yield ("event.postpone", worker.row), with_event(done, number, kind, lease=FREE), True
        else:
            done = with_event(done, number, kind, status="done", lease=FREE)
            for auto in rules.offers:
                yield ("event.record", worker.row), record(done, number, worker.seen, auto=auto, rules=rules), True


def event_leases_lapse(world: World, _rules: Rules) -> Iterator[Step]:
    """Nobody renewed the lease in time: the worker died, hangs, or cannot reach the database."""
    for number, approval in enumerate(world.approvals):
        for kind, event in enumerate(approval.events):
            if event.lease == LIVE:
                yield ("event.lapse", number * 3 + kind), with_event(world, number, kind, lease=LAPSED), True


def record(world: World, number: int, seen: str, *, auto: bool, rules: Rules) -> World:
    """`approvals.service.record_instance` and `record_gone`, after the stamp."""
    approval = world.approvals[number]
    if not approval.status:
        world = with_approval(world, number, status=A.PENDING.value)
    elif approval.status == A.IGNORED and seen != "deleted":
        world = with_approval(world, number, status=move(MACHINE, approval.status, A.PENDING.value, Cause.EVENT))
    if seen == "deleted":
        return _take_outcome(world, number, A.TERMINATED, rules)
    if seen in {"running", "agreed"} and world.approvals[number].status == A.PENDING:
        world = _order_once(world, number, auto=auto, rules=rules)
    return _take_outcome(world, number, OUTCOMES[seen], rules) if seen in OUTCOMES else world


def _ended(world: World, number: int, outcome: str, rules: Rules) -> World:
    agreed = outcome == "agreed"
    world = with_approval(world, number, ding=outcome, agreed=agreed)
    if agreed:
        for run in range(number * rules.chain, (number + 1) * rules.chain):
            if world.runs[run].status == S.PLANNED:
                world = with_run(world, run, stood=True)
    return with_event(world, number, END, status="sent")


def _ignored(world: World, number: int, kind: int) -> World:
    world = with_event(world, number, kind, status="done", lease=FREE)
    if not world.approvals[number].status:
        world = with_approval(world, number, status=A.IGNORED.value)
    return world


def _order_once(world: World, number: int, *, auto: bool, rules: Rules) -> World:
    approval, run = world.approvals[number], number * rules.chain
    if world.runs[run].status:
        return world
    if not approval.fits:
        return with_approval(world, number, status=move(MACHINE, approval.status, A.INVALID.value, Cause.EVENT))
    return with_run(world, run, **Run(status=S.PENDING.value, auto=auto)._asdict())


def _take_outcome(world: World, number: int, outcome: A, rules: Rules) -> World:
    approval = world.approvals[number]
    if outcome not in NEXT.get(approval.status, frozenset()):
        return world  # `move_to` answers False: it stays as it was decided
    world = with_approval(world, number, status=move(MACHINE, approval.status, outcome.value, Cause.EVENT))
    agreed = outcome == A.AGREED
    for run in range(number * rules.chain, (number + 1) * rules.chain):
        if rules.decisions_lock:
            world = decide(world, run, approved=agreed, rules=rules)
        elif world.runs[run].status:
            world = read_first(world, "agree" if agreed else "refuse", run)
    return world
