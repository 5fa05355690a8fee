"""The sealed files of a run: variables, plan, plan as JSON, lock file, digests. Each opens only in its own place."""

import logging

from sqlalchemy import bindparam, delete, insert, select, update

from opsplatform.core.prebuilt import perform, table_of
from opsplatform.core.sealing import SealedColumn, SealError, open_sealed, seal
from opsplatform.runs.models import RunFile

VARIABLES, PLAN, PLAN_JSON, LOCK, PARTS = "variables", "plan", "plan_json", "lock", "parts"

log = logging.getLogger(__name__)


def keep(run_id: int, name: str, content: bytes) -> None:
    """Seal and store a file, in the place of an earlier one of that name."""
    values = {"run": run_id, "file": name, "content": seal(content, _context(run_id, name))}
    if perform(REPLACE, values).rowcount == 0:
        perform(ADD, values)


def fetch(run_id: int, name: str) -> bytes | None:
    """The file in clear, or None when there is none."""
    row = perform(ONE, {"run": run_id, "file": name}).first()
    return None if row is None else open_sealed(row.sealed, _context(run_id, name))


def fetch_all(run_id: int) -> dict[str, bytes]:
    """Every file of a run in clear, by name; one that does not open any more counts as lost."""
    rows = perform(ALL, {"run": run_id})
    return {row.name: content for row in rows if (content := _open(run_id, row.name, row.sealed)) is not None}


def drop(run_id: int, name: str) -> None:
    """Forget a file: a plan that was applied is of no more use and holds values in clear inside."""
    perform(DROP, {"run": run_id, "file": name})


def _open(run_id: int, name: str, sealed: bytes) -> bytes | None:
    try:
        return open_sealed(sealed, _context(run_id, name))
    except SealError:
        log.exception("a file of a run does not open", extra={"run_id": run_id, "file": name})
        return None


def _context(run_id: int, name: str) -> str:
    return f"run:{run_id}:{name}"


FILES = table_of(RunFile)
OF_RUN = FILES.c.run_id == bindparam("run")
NAMED = FILES.c.name == bindparam("file")
ALL = select(FILES.c.name, FILES.c.sealed).where(OF_RUN)
ONE = ALL.where(NAMED)
REPLACE = update(FILES).where(OF_RUN, NAMED).values(sealed=bindparam("content"))
ADD = insert(FILES).values(run_id=bindparam("run"), name=bindparam("file"), sealed=bindparam("content"))
DROP = delete(FILES).where(OF_RUN, NAMED)
SEALED = SealedColumn(RunFile.sealed, select(RunFile.run_id, RunFile.name), _context)
