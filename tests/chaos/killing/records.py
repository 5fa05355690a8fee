"""What the platform has committed, looked at from outside and without disturbing it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import NullPool, Select, create_engine, func, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from opsplatform.approvals.models import Approval, InboxEvent
from opsplatform.inventory.models import Resource
from opsplatform.notifications.models import Notice
from opsplatform.runs.models import ENDS, Run, RunStatus, RunStep
from opsplatform.states.models import Workspace

IN_WORK = (RunStatus.PLANNING, RunStatus.APPLYING)
WAITS_FOR_WORKER = (RunStatus.PENDING, RunStatus.PLANNING, RunStatus.APPLY_QUEUED, RunStatus.APPLYING)


@dataclass(frozen=True)
class Everything:
    """All rows that a judge looks at."""

    approvals: Sequence[Approval]
    runs: Sequence[Run]
    steps: Sequence[RunStep]
    resources: Sequence[Resource]
    workspaces: Sequence[Workspace]


class Records:
    """The platform's database; every question opens a connection of its own, for the server may be gone any time."""

    def __init__(self, url: str) -> None:
        self._engine = create_engine(url, poolclass=NullPool)

    def held_by(self, owner: str) -> dict[int, str] | None:
        """Runs in work under this process, with their status; None while the database does not answer."""
        query = select(Run.id, Run.status).where(Run.lease_owner == owner, Run.status.in_(IN_WORK))
        rows = self._ask(query)
        return None if rows is None else {row.id: row.status for row in rows}

    def busy(self) -> int | None:
        """How many runs wait for a worker or are in work; None while the database does not answer."""
        rows = self._ask(select(func.count()).select_from(Run).where(Run.status.in_(WAITS_FOR_WORKER)))
        return None if rows is None else int(rows[0][0])

    def unfinished(self) -> dict[str, list[Any]]:
        """What is not at its end yet, by kind; empty lists are left out."""
        questions = {
            "runs": select(Run.id, Run.status).where(Run.status.not_in(ENDS)),
            "approvals": select(Approval.instance_id).where(Approval.status == "pending"),
            "events": select(InboxEvent.id, InboxEvent.note).where(InboxEvent.status == "received"),
            "notices": select(Notice.key, Notice.error).where(Notice.status == "waiting"),
        }
        found = {name: self._ask(query) for name, query in questions.items()}
        return {name: [tuple(row) for row in rows or []] for name, rows in found.items() if rows is None or rows}

    def everything(self) -> Everything:
        """All of it as it stands."""
        with Session(self._engine) as session:
            return Everything(
                *(
                    session.scalars(select(kind).order_by(kind.id)).all()
                    for kind in (Approval, Run, RunStep, Resource, Workspace)
                )
            )

    def _ask(self, query: Select[Any]) -> Sequence[Any] | None:
        try:
            with Session(self._engine) as session:
                return session.execute(query).all()
        except OperationalError:
            return None
