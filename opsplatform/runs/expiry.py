"""A plan waits for its approval for weeks, not for ever: the applicant is told before it ends, and when it has."""

import datetime as dt
from collections.abc import Sequence

from sqlalchemy import select

from opsplatform.core.db import db, now
from opsplatform.core.settings import settings
from opsplatform.notifications import texts
from opsplatform.runs import service
from opsplatform.runs.models import Run, RunStatus

WARN_BEFORE = dt.timedelta(days=3)
MOST_AT_ONCE = 200


def expire(life: dt.timedelta) -> None:
    """Discard undecided runs whose plan is older than `life`; tell the applicants of those that soon will be."""
    for run in _waiting_since(now() - life):
        service.end(run, RunStatus.DISCARDED, note_text="the plan expired before the approval was decided")
        service.tell(run, "expired", texts.expired(service.facts(run)))
    for run in _waiting_since(now() - life + WARN_BEFORE):
        ends_at = (run.planned_at or now()) + life
        service.tell(run, "expiring", texts.expires_soon(service.facts(run), ends_at))


def is_over(run: Run) -> bool:
    """Whether its plan is too old to be applied, whatever was decided."""
    life = dt.timedelta(days=settings().ops_plan_expiry_days)
    return run.planned_at is not None and run.planned_at <= now() - life


def _waiting_since(moment: dt.datetime) -> Sequence[Run]:
    """Runs that have waited for a decision at least since then, oldest first."""
    query = select(Run).where(Run.status == RunStatus.PLANNED, Run.decision.is_(None), Run.planned_at <= moment)
    return db.session.scalars(query.order_by(Run.id).limit(MOST_AT_ONCE).with_for_update()).all()
