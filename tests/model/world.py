"""One state of the modelled installation: DingTalk, the database's rows, the workers, and what Terraform does.

A field that no row of the product holds is a ghost: it remembers what happened, so that a promise about it can be
checked. Fences are modelled by what they are for: a worker's hold on a row is `valid` until somebody raises the fence.
Messages of the queue are not modelled, because they only wake: any worker may look at any row at any time.
"""

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from opsplatform.approvals import models as approvals
from opsplatform.core.machines import Cause, Machine
from opsplatform.runs import models as runs

NOBODY = -1
FREE, LIVE, LAPSED = 0, 1, 2  # a lease
NO_PLAN, GOOD, BAD = 0, 1, 2  # the stored plan; BAD when something its digest covers is not as it was
NO_PROCESS, RUNNING, ENDED = 0, 1, 2  # the Terraform that applies
START, END, GONE = 0, 1, 2  # kinds of events: began, ended, deleted
EVENT_NAMES = ("start", "finish", "delete")


class IllegalMove(Exception):
    """A step wants what its table does not allow, or as somebody whom the table does not name."""


class Event(NamedTuple):
    """One event of an approval: not there, sent (on its way, for as long as it takes), received, done."""

    status: str = ""
    lease: int = FREE


class Approval(NamedTuple):
    """An approval in DingTalk, and our row about it."""

    ding: str = ""  # "", running, agreed, refused, terminated, deleted
    fits: bool = True  # whether the form fits the module
    bound: bool = True  # whether the template is bound to a module
    status: str = ""  # our row
    agreed: bool = False  # ghost: DingTalk's approvers agreed once
    events: tuple[Event, Event, Event] = (Event(), Event(), Event())


class Run(NamedTuple):
    """A row of runs, and ghosts about it."""

    status: str = ""
    decision: str = ""
    plan: int = NO_PLAN
    approved: bool = False  # approved_digest is the digest of the plan that stands
    creates_only: bool = False
    auto: bool = False  # the offer lets a plan that only creates apply on agreement
    fresh: bool = True  # module_version is what the module's folder holds
    cancel: str = ""  # the status in which a cancel was asked for
    attempts: int = 0
    lease: int = FREE
    ticket: str = ""  # who was first: "start" (Terraform may begin) or "settle" (it never will)
    noted: bool = False  # the process stands in the run's folder
    process: int = NO_PROCESS
    starts: int = 0  # ghost: how often a Terraform was started to apply it
    begun: int = 0  # ghost: how often planning was really begun
    stood: bool = False  # ghost and time stamp: the plan stood when DingTalk's approvers agreed
    reviewed: bool = False  # ghost: somebody said yes to the plan that stands after it stood
    ordered: bool = True  # ghost: the module is still the one that was ordered


class Worker(NamedTuple):
    """A task under way: what for, on which row, how far, and whether its fence is the newest."""

    job: str = ""  # "", event, plan, apply, settle
    row: int = NOBODY
    at: str = ""
    seen: str = ""
    valid: bool = False


class Space(NamedTuple):
    """The workspace: who holds it, and whether it was put aside for a person to look at."""

    holder: int = NOBODY
    aside: bool = False


class Reading(NamedTuple):
    """Only where decisions do not lock: what a transaction read some time ago and is about to act on."""

    what: str = ""
    run: int = NOBODY
    status: str = ""
    decision: str = ""
    lease: int = FREE


class World(NamedTuple):
    """Everything."""

    approvals: tuple[Approval, ...]
    runs: tuple[Run, ...]
    space: Space
    workers: tuple[Worker, ...]
    reading: Reading = Reading()


@dataclass(frozen=True)
class Rules:
    """How large the world is, and how the product behaves; each `False` below the line is a defect to be found."""

    workers: int = 2
    approvals: int = 1
    chain: int = 1  # runs of one approval: the first and its retries
    most_attempts: int = 2
    tampering: bool = True  # state wiped, plan or module changed behind our back
    deleting: bool = True  # approvals are deleted in DingTalk
    replays: bool = True  # events that were handled are handled again
    lagging: bool = True  # DingTalk shows an ended approval as running for a while
    binding: bool = False  # the template is not bound at first
    offers: tuple[bool, ...] = (True, False)
    # --- how the product behaves
    fence_is_checked: bool = True
    claim_needs_the_status: bool = True
    decisions_lock: bool = True
    digest_is_compared: bool = True
    workspace_is_held: bool = True
    hold_comes_before_compare: bool = True
    apply_is_never_repeated: bool = True
    start_and_settle_exclude_each_other: bool = True
    settle_stops_the_process: bool = True
    applying_is_committed_first: bool = True
    cancel_is_honoured: bool = True
    waiting_is_no_attempt: bool = True
    changed_module_needs_a_look: bool = True
    late_plan_needs_a_look: bool = True
    ended_runs_are_decided: bool = True
    swept: frozenset[str] = frozenset({"pending", "planning", "apply_queued", "applying", "received"})


def first(rules: Rules) -> World:
    """Nothing has happened."""
    return World(
        approvals=(Approval(bound=not rules.binding),) * rules.approvals,
        runs=(Run(),) * (rules.approvals * rules.chain),
        space=Space(),
        workers=(Worker(),) * rules.workers,
    )


@cache
def move(machine: Machine, source: str, target: str, cause: Cause) -> str:
    """The new status, by the product's own table."""
    if cause not in machine.causes(source, target):
        raise IllegalMove(f"{cause}: {source} → {target}")
    MADE.add((source, target, cause))
    return target


MADE: set[tuple[str, str, Cause]] = set()  # every move that was made since the cache was cleared


def with_run(world: World, number: int, **values: object) -> World:
    """The world with a run changed."""
    changed = world.runs[number]._replace(**values)
    return world._replace(runs=(*world.runs[:number], changed, *world.runs[number + 1 :]))


def with_approval(world: World, number: int, **values: object) -> World:
    """The world with an approval changed."""
    changed = world.approvals[number]._replace(**values)
    return world._replace(approvals=(*world.approvals[:number], changed, *world.approvals[number + 1 :]))


def with_event(world: World, number: int, kind: int, **values: object) -> World:
    """The world with an event changed."""
    events = list(world.approvals[number].events)
    events[kind] = events[kind]._replace(**values)
    return with_approval(world, number, events=tuple(events))


def with_worker(world: World, number: int, worker: Worker) -> World:
    """The world with a worker changed. Workers are alike, so they stand in a fixed order: that is the symmetry."""
    workers = list(world.workers)
    workers[number] = worker
    workers.sort()
    return world._replace(workers=tuple(workers))


def fence_off(world: World, *, jobs: tuple[str, ...], row: int) -> World:
    """Raise the fence of a row: whoever held it writes nothing more."""
    if not any(worker.valid and worker.row == row and worker.job in jobs for worker in world.workers):
        return world
    workers = sorted(
        worker._replace(valid=False) if worker.row == row and worker.job in jobs else worker for worker in world.workers
    )
    return world._replace(workers=tuple(workers))


RUN_JOBS = ("apply", "plan", "settle")
RUN_ENDS = frozenset(status.value for status in runs.ENDS)
APPROVAL_ENDS = frozenset(status.value for status in approvals.ENDS)
