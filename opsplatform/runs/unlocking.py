"""Take a workspace from whoever holds it, unless a run of ours works there."""

from pathlib import Path

from sqlalchemy import select

from opsplatform.core.db import db
from opsplatform.core.errors import Conflict
from opsplatform.runs import service, workdir
from opsplatform.runs.models import Run, RunStatus
from opsplatform.states import service as states

WORKING = (RunStatus.PLANNING, RunStatus.APPLYING)


def unlock(name: str, data_dir: Path) -> None:
    """Take lock, holder and quarantine away; Conflict while a run is planned or applied there, or its Terraform lives.

    A run that ended may have left a Terraform behind that nobody could stop; on this host it can be seen. The
    workspace is taken first, so that no run can begin between the look and the commit.
    """
    states.force_unlock(name)
    _refuse_working(name)
    _refuse_alive(name, data_dir)


def _refuse_working(name: str) -> None:
    query = select(Run).where(Run.workspace == name, Run.status.in_(WORKING)).limit(1)
    run = db.session.scalar(query.execution_options(populate_existing=True))
    if run is not None:
        raise Conflict(
            f"Run {run.id} is {run.status} in workspace {name}. Cancel it, or wait: when its worker is gone, another "
            "one ends it within a minute.",
            state=run.status,
            allowed=service.actions(run),
        )


def _refuse_alive(name: str, data_dir: Path) -> None:
    alive = workdir.alive(data_dir)
    found = db.session.scalars(select(Run.id).where(Run.workspace == name, Run.id.in_(alive))).first()
    if found is not None:
        raise Conflict(
            f"Terraform of run {found} still works in workspace {name} on this host, as process {alive[found]}; "
            "stop it first."
        )
