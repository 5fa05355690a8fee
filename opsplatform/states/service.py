"""Terraform states: who holds a workspace, what its state is, and what it was.

One run at a time holds a workspace; that is one row, not a lock in memory. Only the holder may store a state, and
never one of another lineage or an older serial.
"""

import datetime as dt
import hashlib
import logging
import re
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, SQLColumnExpression, Update, and_, bindparam, exists, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import undefer
from sqlalchemy.sql.base import ExecutableOption

from opsplatform.core.db import db, now
from opsplatform.core.errors import Conflict, InvalidParams, NotFound
from opsplatform.core.prebuilt import perform, table_of
from opsplatform.core.sealing import SealedColumn, SealError, open_sealed, seal
from opsplatform.states.access import Credential, read_credential, state_credential
from opsplatform.states.models import StateVersion, Workspace
from opsplatform.states.parsing import (
    StateHead,
    StateResource,
    output_value,
    outputs_of,
    read_head,
    resources_of,
    with_lineage,
)

__all__ = [
    "SEALED",
    "Credential",
    "NotHeld",
    "StateResource",
    "StoredState",
    "delete",
    "find",
    "force_unlock",
    "get",
    "hold",
    "is_free_for",
    "latest",
    "latest_for_holder",
    "list_versions",
    "open_workspace",
    "output_value",
    "outputs_of",
    "quarantine",
    "read_credential",
    "release",
    "require_holder",
    "resources_of",
    "state_credential",
    "store",
]

NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
LONGEST_REASON = 1000

log = logging.getLogger(__name__)


class NotHeld(Conflict):
    """The run does not hold the workspace, or not any more."""


@dataclass(frozen=True)
class StoredState:
    """The current state of a workspace, in clear."""

    content: bytes
    lineage: str
    serial: int
    digest: str
    run_id: int
    created_at: dt.datetime
    resource_count: int


def open_workspace(name: str, *, module: str, environment: str) -> Workspace:
    """The workspace with this name, made on first use; Conflict when it belongs to another module."""
    if not NAME.fullmatch(name):
        raise InvalidParams({"workspace": ["Must be a-z, 0-9 and -, begin with a letter and have at most 63."]})
    workspace = _by_name(name) or _create(name, module, environment)
    if (workspace.module, workspace.environment) != (module, environment):
        raise Conflict(
            f"Workspace {name} belongs to module {workspace.module} in {workspace.environment}; choose another name."
        )
    return workspace


def get(name: str) -> Workspace:
    """The workspace, or NotFound."""
    workspace = _by_name(name)
    if workspace is None:
        raise NotFound(f"There is no workspace {name}.")
    return workspace


def find(*, module: str | None = None, environment: str | None = None) -> Select[Workspace]:
    """The workspaces that match; the caller pages through them."""
    query = select(Workspace)
    if module is not None:
        query = query.where(Workspace.module == module)
    return query if environment is None else query.where(Workspace.environment == environment)


def hold(name: str, run_id: int, *, fence: int = 0) -> bool:
    """Take the workspace for a run; False while another run holds it or it is quarantined.

    The same run may take it again; with a higher fence its earlier credential is void and a lock it left is gone.
    So whoever adopts a Terraform that still runs does not call this again.
    """
    if _update(HOLD, name, run_id, new_fence=fence) or _update(HOLD_AGAIN, name, run_id, new_fence=fence):
        return True
    get(name)  # a workspace that does not exist would be waited for in vain
    return False


def is_free_for(workspace: SQLColumnExpression[str], run_id: SQLColumnExpression[int]) -> ColumnElement[bool]:
    """The condition that `hold` would succeed, for a query over runs."""
    mine = Workspace.holder_run_id == run_id
    free = and_(Workspace.holder_run_id.is_(None), Workspace.quarantined_reason.is_(None))
    return exists().where(Workspace.name == workspace, or_(mine, free))


def release(name: str, run_id: int) -> None:
    """Give the workspace back; nothing happens when the run does not hold it."""
    _update(RELEASE, name, run_id)


def quarantine(name: str, reason: str) -> None:
    """Let no further run start here until a person has looked at it (`workspace.unlock`)."""
    get(name).quarantined_reason = reason[:LONGEST_REASON]
    log.warning("workspace quarantined", extra={"workspace": name, "cause": reason})


def force_unlock(name: str) -> Workspace:
    """Take lock, holder and quarantine away; what a run still under way wants to store will be refused."""
    workspace = _locked_row(name)
    if workspace is None:
        raise NotFound(f"There is no workspace {name}.")
    log.warning(
        "workspace unlocked by force",
        extra={"workspace": name, "holder": workspace.holder_run_id, "lock": workspace.lock_id},
    )
    workspace.holder_run_id = workspace.holder_fence = None
    workspace.lock_id = workspace.lock_info = workspace.quarantined_reason = None
    return workspace


def latest(name: str) -> StoredState | None:
    """The current state, or None before the first; Conflict when the database does not hold it any more."""
    workspace = get(name)
    if workspace.lineage is None or workspace.serial is None:
        return None
    version = _version(workspace, workspace.lineage, workspace.serial, undefer(StateVersion.sealed))
    if version is None:
        raise Conflict(f"The state of workspace {name} is missing in the database; restore it from a backup.")
    try:
        content = open_sealed(version.sealed, _context(name, version.lineage, version.serial))
    except SealError as error:
        raise Conflict(f"The state of workspace {name} does not open ({error}); restore it from a backup.") from error
    facts = (version.lineage, version.serial, version.digest, version.run_id, version.created_at)
    return StoredState(content, *facts, workspace.resource_count)


def list_versions(name: str) -> Select[StateVersion]:
    """Every stored version; the caller pages through them."""
    return select(StateVersion).where(StateVersion.workspace_id == get(name).id)


def store(name: str, content: bytes, *, run_id: int, fence: int | None = None) -> bool:
    """Keep a state that the holder brings; False when it is the current one already.

    Conflict for what is no state, another lineage or an older serial. While Terraform works it may write several
    states with one serial: they are one version, the last one counts. A first state that Terraform could not deliver
    has no lineage; it gets one.
    """
    head = read_head(content)
    if not head.lineage:
        content = with_lineage(content)
        head = read_head(content)
    digest = hashlib.sha256(content).hexdigest()
    sealed = seal(content, _context(name, head.lineage, head.serial))
    workspace = require_holder(name, run_id, fence)
    _refuse_misfit(workspace, head)
    version = _version(workspace, head.lineage, head.serial)
    if version is not None and version.digest == digest:
        return False
    if version is not None and version.run_id != run_id:
        raise Conflict(f"Another run stored a different state with serial {head.serial} in workspace {name}.")
    if version is None:
        version = StateVersion(workspace_id=workspace.id, lineage=head.lineage, serial=head.serial, run_id=run_id)
        db.session.add(version)
    version.digest, version.size, version.sealed, version.created_at = digest, len(content), sealed, now()
    workspace.lineage, workspace.serial, workspace.resource_count = head.lineage, head.serial, head.resource_count
    db.session.flush()
    return True


def delete(name: str, *, run_id: int, fence: int) -> None:
    """Begin again without a state; its versions stay as history."""
    workspace = require_holder(name, run_id, fence)
    workspace.lineage = workspace.serial = None
    workspace.resource_count = 0


def latest_for_holder(name: str, *, run_id: int, fence: int) -> StoredState | None:
    """The current state, for the run that holds the workspace; NotHeld for any other."""
    _refuse_stranger(_by_name(name), name, run_id, fence)
    return latest(name)


def require_holder(name: str, run_id: int, fence: int | None = None) -> Workspace:
    """The workspace, its row kept from others until the transaction ends, or NotHeld for all but its holder."""
    return _refuse_stranger(_locked_row(name), name, run_id, fence)


def _refuse_stranger(workspace: Workspace | None, name: str, run_id: int, fence: int | None) -> Workspace:
    if workspace is None or workspace.holder_run_id != run_id or fence not in {None, workspace.holder_fence}:
        raise NotHeld(f"Run {run_id} does not hold workspace {name} any more.")
    return workspace


def _refuse_misfit(workspace: Workspace, head: StateHead) -> None:
    if workspace.lineage is None or workspace.serial is None:
        return
    if head.lineage != workspace.lineage:
        raise Conflict(f"The state has lineage {head.lineage}, workspace {workspace.name} has {workspace.lineage}.")
    if head.serial < workspace.serial:
        raise Conflict(
            f"The state has serial {head.serial}, workspace {workspace.name} is at {workspace.serial} already."
        )


def _create(name: str, module: str, environment: str) -> Workspace:
    workspace = Workspace(name=name, module=module, environment=environment)
    try:
        with db.session.begin_nested():
            db.session.add(workspace)
    except IntegrityError:
        return get(name)  # somebody else made it at the same moment
    return workspace


def _by_name(name: str) -> Workspace | None:
    return db.session.scalar(select(Workspace).where(Workspace.name == name))


def _locked_row(name: str) -> Workspace | None:
    query = select(Workspace).where(Workspace.name == name).with_for_update()
    return db.session.scalar(query.execution_options(populate_existing=True))


def _version(workspace: Workspace, lineage: str, serial: int, *options: ExecutableOption) -> StateVersion | None:
    named = select(StateVersion).filter_by(workspace_id=workspace.id, lineage=lineage, serial=serial)
    return db.session.scalar(named.options(*options))


def _update(statement: Update, name: str, run_id: int, **values: object) -> bool:
    changed = perform(statement, {"workspace": name, "run": run_id, **values}).rowcount == 1
    for loaded in db.session.identity_map.values():
        if isinstance(loaded, Workspace):
            db.session.expire(loaded)
    return changed


def _context(name: str, lineage: str, serial: int) -> str:
    return f"state.{name}.{lineage}.{serial}"


ROW = table_of(Workspace).c
NAMED = update(table_of(Workspace)).where(ROW.name == bindparam("workspace"))
MINE, FENCE = ROW.holder_run_id == bindparam("run"), bindparam("new_fence", type_=ROW.holder_fence.type)
FREE = and_(ROW.holder_run_id.is_(None), ROW.quarantined_reason.is_(None))
HOLD = NAMED.where(or_(FREE, and_(MINE, ROW.holder_fence == FENCE))).values(
    holder_run_id=bindparam("run"), holder_fence=FENCE
)
HOLD_AGAIN = NAMED.where(MINE, ROW.holder_fence < FENCE).values(holder_fence=FENCE, lock_id=None, lock_info=None)
RELEASE = NAMED.where(MINE).values(holder_run_id=None, holder_fence=None, lock_id=None, lock_info=None)
SEALED = SealedColumn(
    StateVersion.sealed,
    select(Workspace.name, StateVersion.lineage, StateVersion.serial).join_from(StateVersion, Workspace),
    _context,
)
