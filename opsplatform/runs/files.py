"""The sealed files of a run: variables, plan, plan as JSON, lock file, digests. Each opens only in its own place."""

import logging

from sqlalchemy import delete, select

from opsplatform.core.db import db
from opsplatform.core.sealing import SealedColumn, SealError, open_sealed, seal
from opsplatform.runs.models import RunFile

VARIABLES, PLAN, PLAN_JSON, LOCK, PARTS = "variables", "plan", "plan_json", "lock", "parts"

log = logging.getLogger(__name__)


def keep(run_id: int, name: str, content: bytes) -> None:
    """Seal and store a file, in the place of an earlier one of that name."""
    row = db.session.get(RunFile, (run_id, name)) or RunFile(run_id=run_id, name=name)
    row.sealed = seal(content, _context(run_id, name))
    db.session.add(row)


def fetch(run_id: int, name: str) -> bytes | None:
    """The file in clear, or None when there is none."""
    row = db.session.get(RunFile, (run_id, name))
    return None if row is None else open_sealed(row.sealed, _context(run_id, name))


def fetch_all(run_id: int) -> dict[str, bytes]:
    """Every file of a run in clear, by name; one that does not open any more counts as lost."""
    rows = db.session.scalars(select(RunFile).where(RunFile.run_id == run_id))
    return {row.name: content for row in rows if (content := _open(row)) is not None}


def drop(run_id: int, name: str) -> None:
    """Forget a file: a plan that was applied is of no more use and holds values in clear inside."""
    db.session.execute(delete(RunFile).where(RunFile.run_id == run_id, RunFile.name == name))


def _open(row: RunFile) -> bytes | None:
    try:
        return open_sealed(row.sealed, _context(row.run_id, row.name))
    except SealError:
        log.exception("a file of a run does not open", extra={"run_id": row.run_id, "file": row.name})
        return None


def _context(run_id: int, name: str) -> str:
    return f"run:{run_id}:{name}"


SEALED = SealedColumn(RunFile.sealed, select(RunFile.run_id, RunFile.name), _context)
