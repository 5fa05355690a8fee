"""Look runs up: lists, timelines, logs, progress."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import load_only

from opsplatform.core.db import db
from opsplatform.runs.digest import short
from opsplatform.runs.models import NEXT, Run, RunLogLine, RunProgress, RunStep

Runs = Sequence[Run]


def find(
    *, status: str | None = None, module: str | None = None, workspace: str | None = None, applicant: str | None = None
) -> Select[Run]:
    """The runs that match; the caller pages through them."""
    wanted = {Run.status: status, Run.module: module, Run.workspace: workspace, Run.applicant_userid: applicant}
    return select(Run).where(*(column == value for column, value in wanted.items() if value is not None))


def runs_of_approval(approval_id: int) -> Runs:
    """Every run an approval led to, oldest first."""
    return db.session.scalars(select(Run).where(Run.approval_id == approval_id).order_by(Run.id)).all()


def ids_by_approval(approval_ids: Sequence[int]) -> dict[int, list[int]]:
    """Run ids of many approvals at once, oldest first."""
    found: dict[int, list[int]] = {}
    query = select(Run).where(Run.approval_id.in_(approval_ids)).order_by(Run.id).options(load_only(Run.approval_id))
    for run in db.session.scalars(query):
        found.setdefault(run.approval_id or 0, []).append(run.id)
    return found


def approved_plans(approval_ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    """The plan each of these approvals was given to last: its run, its digest, and the digest as people compare it."""
    found: dict[int, dict[str, Any]] = {}
    query = select(Run).where(Run.approval_id.in_(approval_ids), Run.approved_digest.is_not(None)).order_by(Run.id)
    for run in db.session.scalars(query.options(load_only(Run.approval_id, Run.approved_digest))):
        digest = run.approved_digest or ""
        found[run.approval_id or 0] = {"run_id": run.id, "digest": digest, "short": short(digest)}
    return found


def timelines(run_ids: Sequence[int]) -> dict[int, list[RunStep]]:
    """What happened to each of these runs, in order."""
    found: dict[int, list[RunStep]] = defaultdict(list)
    for step in db.session.scalars(select(RunStep).where(RunStep.run_id.in_(run_ids)).order_by(RunStep.id)):
        found[step.run_id].append(step)
    return found


def log_lines(
    run_id: int, *, after: int | None = None, before: int | None = None, limit: int = 200, tail: bool = False
) -> Sequence[RunLogLine]:
    """Lines with `after < n < before`, in order; with `tail` the last ones of them."""
    query = select(RunLogLine).where(RunLogLine.run_id == run_id)
    if after is not None:
        query = query.where(RunLogLine.n > after)
    if before is not None:
        query = query.where(RunLogLine.n < before)
    order = RunLogLine.n.desc() if tail else RunLogLine.n
    lines = db.session.scalars(query.order_by(order).limit(limit)).all()
    return lines[::-1] if tail else lines


def progress(run_id: int) -> RunProgress:
    """What a viewer polls."""
    return db.session.get_one(RunProgress, run_id)


def count_open() -> dict[str, int]:
    """How many runs stand in each status that is no end."""
    query = select(Run.status, func.count()).where(Run.status.in_(list(NEXT))).group_by(Run.status)
    return dict(db.session.execute(query).all())
