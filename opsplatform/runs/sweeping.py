"""Find what was left lying: messages that were lost, workers that died."""

from sqlalchemy import or_, select

from opsplatform.core import leases
from opsplatform.core.db import db, epoch
from opsplatform.core.leases import Lease
from opsplatform.core.queue import enqueue, is_busy
from opsplatform.runs.journal import Journal
from opsplatform.runs.models import Run, RunProgress, RunStatus
from opsplatform.runs.service import APPLY_FIRST

OTHER_HOST_SECONDS = 60.0


def sweep() -> None:
    """Wake a worker for every run that waits for one."""
    leases.drop_dead_claims(Run)
    for run_id in leases.due(Run, Run.status == RunStatus.APPLYING):
        enqueue("runs.settle", run_id=run_id, priority=APPLY_FIRST)
    if is_busy():
        return  # the queue is long; what was lost is found when it is shorter
    for run_id in leases.due(Run, Run.status == RunStatus.APPLY_QUEUED):
        enqueue("runs.apply", run_id=run_id, priority=APPLY_FIRST)
    for run_id in leases.due(Run, Run.status.in_([RunStatus.PENDING, RunStatus.PLANNING])):
        enqueue("runs.plan", run_id=run_id)


def take_abandoned(run_id: int, host: str) -> Lease | None:
    """Take a run whose worker died while applying; its own host goes first, because the files are there."""
    here = Run.lease_owner.startswith(f"{host}:", autoescape=True)
    return leases.claim(
        Run, run_id, Run.status == RunStatus.APPLYING, or_(here, Run.lease_until < epoch() - OTHER_HOST_SECONDS)
    )


def last_known(run_id: int, host: str) -> tuple[bool, str]:
    """Whether the worker that held the run last is, or was, one of this host; and the digest of its approved plan."""
    owner, digest = db.session.execute(select(Run.lease_owner, Run.approved_digest).where(Run.id == run_id)).one()
    return (owner or "").startswith(f"{host}:"), digest or ""


def last_shown(run_id: int) -> Journal:
    """What Terraform had said as far as it reached the database."""
    return Journal.as_shown(db.session.get_one(RunProgress, run_id).resources)
