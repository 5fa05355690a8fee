"""Whose turn it is: which waiting run a worker takes next, and what each of the others waits for.

Applies go before plans, plans before drift checks. Among them the applicant goes first who has the fewest runs in
work, of those the one whose last turn is longest ago, and of an applicant's runs the oldest. A wake-up names no run:
whoever is woken asks here.
"""

import platform
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, and_, bindparam, case, func, literal, or_, select, union_all, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from opsplatform.adapters.admission import Ledger, Need, Place
from opsplatform.core import leases
from opsplatform.core.db import db, epoch
from opsplatform.core.prebuilt import perform, table_of
from opsplatform.runs import applying, costs, planning, service
from opsplatform.runs.jobs import Job
from opsplatform.runs.models import TROUBLE, WORKSPACE, Run, RunCost, RunStatus, RunTurn
from opsplatform.states import service as states

MOST_LOOKED_AT = 50
ASIDE_SECONDS = 30.0
WAITING = Run.status.in_([RunStatus.PENDING, RunStatus.APPLY_QUEUED])
IN_TURN = or_(Run.held_up.is_(None), Run.held_up.not_in([WORKSPACE, TROUBLE]))
LAST = func.coalesce(RunTurn.taken_at, 0.0)
RANK = case((Run.status == RunStatus.APPLY_QUEUED, 0), (Run.kind == "drift", 2), else_=1)


class TurnFailed(Exception):
    """Taking a run failed for a reason nobody foresaw; the transaction is to be rolled back."""

    def __init__(self, run_id: int) -> None:
        self.run_id = run_id
        super().__init__(f"run {run_id} could not be taken")


@dataclass(frozen=True)
class Turn:
    """A run that was taken, with room on this host; `others_wait` says that there may be more to take."""

    step: str  # plan, apply
    job: Job
    place: Place
    others_wait: bool


def take(ledger: Ledger) -> Turn | None:
    """Claim the run whose turn it is and that finds room here; None when there is none."""
    refused = False
    heads = candidates()
    for run_id, applicant, step, need in heads:
        key = f"{platform.node()}:{run_id}:{step}"
        place = ledger.take(key, need, behind=refused)
        if isinstance(place, str):
            refused = True
            _hold_up(run_id, place)
            continue
        try:
            job = (applying if step == "apply" else planning).begin(run_id)
            if job is not None:
                _note_turn(applicant)
        except BaseException as error:
            place.give_back()
            if isinstance(error, DBAPIError) or not isinstance(error, Exception):
                raise  # the run is not to blame
            raise TurnFailed(run_id) from error
        if job is not None:
            return Turn(step, job, place, others_wait=place.others_wait or len(heads) > 1)
        place.give_back()
    return None


def set_aside(run_id: int) -> None:
    """Let the others pass a run that could not be taken; the sweeper puts it back in turn."""
    aside = update(Run).where(Run.id == run_id, WAITING).values(held_up=TROUBLE, wake_at=epoch() + ASIDE_SECONDS)
    db.session.execute(aside)


def release_held_up() -> None:
    """Put back in turn what was set aside, and what waited for a workspace that is free by now."""
    again = leases.due(Run, WAITING, Run.held_up == TROUBLE)
    if again:
        db.session.execute(update(Run).where(Run.id.in_(again)).values(held_up=None, wake_at=0.0))
    held_up = (WAITING, Run.held_up == WORKSPACE)
    statement = update(Run).where(*held_up, states.is_free_for(Run.workspace, Run.id)).values(held_up=None)
    db.session.execute(statement.execution_options(synchronize_session=False))


def working_by_applicant() -> Select[str, int]:
    """How many runs of each applicant are in work."""
    return (
        select(Run.applicant_userid.label("applicant"), func.count().label("number"))
        .where(Run.status.in_([RunStatus.PLANNING, RunStatus.APPLYING]), Run.lease_until >= epoch())
        .group_by(Run.applicant_userid)
    )


def candidates() -> list[tuple[int, str, str, Need]]:
    """The first run of each applicant and module in the order of their turns, with what its step is known to cost."""
    found = db.session.execute(HEADS).all()
    return [
        (id_, applicant, step, costs.UNKNOWN if cost[0] is None else Need(*cost))
        for id_, applicant, step, *cost in found
    ]


def _heads() -> Select[Any]:
    first = (
        select(Run.applicant_userid.label("applicant"), Run.module, RANK.label("rank"), func.min(Run.id).label("id"))
        .where(WAITING, IN_TURN)
        .group_by(Run.applicant_userid, Run.module, RANK)
    )
    lapsed = select(Run.applicant_userid, Run.module, literal(1), Run.id).where(planning.LAPSED, leases.free(Run))
    head, working = union_all(first, lapsed).subquery(), working_by_applicant().subquery()
    step = case((head.c.rank == 0, "apply"), else_="plan").label("step")
    return (
        select(head.c.id, head.c.applicant, step, RunCost.memory_mb, RunCost.cores, RunCost.seconds)
        .outerjoin(working, working.c.applicant == head.c.applicant)
        .outerjoin(RunTurn, RunTurn.applicant_userid == head.c.applicant)
        .outerjoin(RunCost, and_(RunCost.module == head.c.module, RunCost.step == step))
        .order_by(head.c.rank, func.coalesce(working.c.number, 0), LAST, head.c.id)
        .limit(MOST_LOOKED_AT)
    )


def _hold_up(run_id: int, what: str) -> None:
    """Let whoever looks at the run see what it waits for."""
    run = service.get(run_id)
    if run.held_up != what:
        run.held_up = what
        service.touch(run_id)


def _note_turn(applicant: str) -> None:
    """Remember that it was this applicant's turn; in a transaction beside ours it may be the first one too."""
    if perform(TAKEN, {"who": applicant}).rowcount == 0:
        with suppress(IntegrityError), db.session.begin_nested():
            db.session.add(RunTurn(applicant_userid=applicant, taken_at=epoch()))


HEADS = _heads()
TURN = table_of(RunTurn)
TAKEN = update(TURN).where(TURN.c.applicant_userid == bindparam("who")).values(taken_at=epoch())
