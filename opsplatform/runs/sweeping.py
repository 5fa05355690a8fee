"""Find what was left lying: messages that were lost, workers that died."""

from collections.abc import Sequence

from sqlalchemy import and_, or_, select

from opsplatform.core import leases
from opsplatform.core.db import db, epoch
from opsplatform.core.leases import Lease
from opsplatform.core.queue import enqueue, is_busy
from opsplatform.runs import turns
from opsplatform.runs.journal import Journal
from opsplatform.runs.models import Run, RunProgress, RunStatus

HERE_SECONDS, OTHER_HOST_SECONDS = 20.0, 60.0
SETTLE_FIRST = 10
MOST_WOKEN = 20


def sweep() -> None:
    """Wake a worker for every run that waits for one."""
    leases.drop_dead_claims(Run)
    for run_id in leases.due(Run, Run.status == RunStatus.APPLYING):
        enqueue("runs.settle", run_id=run_id, priority=SETTLE_FIRST)
    turns.release_held_up()
    if is_busy():
        return  # the queue is long; what was lost is found when it is shorter
    waiting = [RunStatus.APPLY_QUEUED, RunStatus.PENDING, RunStatus.PLANNING]
    for _ in leases.due(Run, Run.status.in_(waiting), turns.IN_TURN, limit=MOST_WOKEN):
        enqueue("runs.work")


def left_behind(folders: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Those of the folders, by run and fence, that nobody works in any more; what an apply left waits to be settled."""
    here = {run_id for run_id, _ in folders}
    query = select(Run.id, Run.fence, Run.lease_owner).where(Run.id.in_(here), Run.status != RunStatus.APPLYING)
    runs = {run_id: (fence, owner) for run_id, fence, owner in db.session.execute(query)} if here else {}
    return [
        (run_id, fence)
        for run_id, fence in folders
        if run_id in runs and (fence < runs[run_id][0] or runs[run_id][1] is None)
    ]


def take_abandoned(run_id: int, host: str) -> Lease | None:
    """Take a run whose worker died while applying; its own host goes first, because the files are there.

    There a dead worker's claims are dropped at once. One that lives and only missed its heartbeats, as while the
    database was away, is given time to be back.
    """
    here = Run.lease_owner.startswith(f"{host}:", autoescape=True)
    silent = or_(Run.lease_until == 0.0, Run.lease_until < epoch() - HERE_SECONDS)
    away = Run.lease_until < epoch() - OTHER_HOST_SECONDS
    return leases.claim(Run, run_id, Run.status == RunStatus.APPLYING, or_(and_(here, silent), away))


def last_known(run_id: int, host: str) -> tuple[bool, str]:
    """Whether the worker that held the run last is, or was, one of this host; and the digest of its approved plan."""
    owner, digest = db.session.execute(select(Run.lease_owner, Run.approved_digest).where(Run.id == run_id)).one()
    return (owner or "").startswith(f"{host}:"), digest or ""


def last_shown(run_id: int) -> Journal:
    """What Terraform had said as far as it reached the database."""
    return Journal.as_shown(db.session.get_one(RunProgress, run_id).resources)
