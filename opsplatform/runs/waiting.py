"""What a run waits for, and how many go before it: for the eyes of people."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select

from opsplatform.core.db import db
from opsplatform.runs.models import WORKSPACE, Run, RunStatus, RunTurn
from opsplatform.runs.turns import IN_TURN, LAST, RANK, WAITING, working_by_applicant
from opsplatform.states import service as states


def waits(runs: Sequence[Run]) -> dict[int, dict[str, Any]]:
    """By run that waits: for what, its place in the line if it stands in one, and the run that is in its way.

    It waits for `turn`, `memory` or `cores` of a worker's host; for `workspace`, which the named run holds, or `unlock`
    of it by a person; for `approval` or `confirmation`; and after `trouble` for the next attempt.
    """
    places = _places([run.id for run in runs if run.status in {RunStatus.PENDING, RunStatus.APPLY_QUEUED}])
    found = {run.id: _wait(run, places.get(run.id)) for run in runs}
    return {run_id: wait for run_id, wait in found.items() if wait is not None}


def _wait(run: Run, place: int | None) -> dict[str, Any] | None:
    if run.status == RunStatus.PLANNED:
        return _as_wait("confirmation" if run.decision == "approved" else "approval")
    if run.status not in {RunStatus.PENDING, RunStatus.APPLY_QUEUED}:
        return None
    if run.held_up != WORKSPACE:
        return _as_wait(run.held_up or "turn", position=place)
    holder = states.get(run.workspace).holder_run_id
    return _as_wait(WORKSPACE if holder else "unlock", run_id=holder)


def _as_wait(waiting_for: str, *, position: int | None = None, run_id: int | None = None) -> dict[str, Any]:
    return {"waiting_for": waiting_for, "position": position, "run_id": run_id}


def _places(run_ids: Sequence[int]) -> dict[int, int]:
    """How many go before each of these, itself counted, as things stand; who is held up stands in no line."""
    if not run_ids:
        return {}
    turn = func.row_number().over(partition_by=Run.applicant_userid, order_by=(RANK, Run.id))
    working = working_by_applicant().subquery()
    line = (
        select(
            Run.id, RANK.label("rank"), (turn + func.coalesce(working.c.number, 0)).label("turn"), LAST.label("last")
        )
        .outerjoin(working, working.c.applicant == Run.applicant_userid)
        .outerjoin(RunTurn, RunTurn.applicant_userid == Run.applicant_userid)
        .where(WAITING, IN_TURN)
        .subquery()
    )
    place = func.row_number().over(order_by=(line.c.rank, line.c.turn, line.c.last, line.c.id)).label("place")
    numbered = select(line.c.id, place).subquery()
    return dict(db.session.execute(select(numbered).where(numbered.c.id.in_(run_ids))).all())
