"""Runs of a database that was restored: what was under way may have been carried out since the backup was made."""

from sqlalchemy import func, select

from opsplatform.core.db import db
from opsplatform.runs import files
from opsplatform.runs.models import ENDS, Run


def distrust(run: Run) -> None:
    """Let no plan of this run be applied that was made before the restore, or that nobody has looked at since."""
    if run.ended:
        return
    run.rules = {**run.rules, "apply_on_agree": False}
    files.drop(run.id, files.PLAN)


def distrust_all() -> None:
    """The same for every run that was under way."""
    for run in db.session.scalars(select(Run).where(Run.status.not_in(ENDS))):
        distrust(run)


def under_way() -> list[tuple[int, str]]:
    """Every run that has not ended, with its status."""
    found = db.session.execute(select(Run.id, Run.status).where(Run.status.not_in(ENDS)).order_by(Run.id))
    return [(row.id, row.status) for row in found]


def last_run() -> int:
    """The highest id that was given to a run; 0 before the first."""
    return db.session.scalar(select(func.max(Run.id))) or 0
