"""The lock of the http backend: Terraform's own, inside the hold that a run has on its workspace."""

from typing import Any

from opsplatform.core.errors import Conflict
from opsplatform.states.models import Workspace
from opsplatform.states.service import get, require_holder

LONGEST_ID = 64
KEPT = ("ID", "Operation", "Info", "Who", "Version", "Created", "Path")
LONGEST_TEXT = 200


class Locked(Conflict):
    """Somebody else has the lock; `holder` is their lock info in Terraform's shape."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(f"Workspace {workspace.name} is locked.")
        self.holder = workspace.lock_info or _hold_as_lock(workspace)


def lock(name: str, info: dict[str, Any], *, run_id: int, fence: int) -> None:
    """Take the lock for a run that holds the workspace, or raise Locked; the same lock again is fine."""
    lock_id = _lock_id(info)
    workspace = get(name)
    if workspace.holder_run_id is not None and workspace.holder_run_id != run_id:
        raise Locked(workspace)
    workspace = require_holder(name, run_id, fence)
    refuse_other_lock(workspace, lock_id)
    workspace.lock_id = lock_id
    workspace.lock_info = {key: str(info[key])[:LONGEST_TEXT] for key in KEPT if key in info}


def unlock(name: str, info: dict[str, Any], *, run_id: int, fence: int) -> None:
    """Give the lock back, or raise Locked when it is another one."""
    lock_id = _lock_id(info)
    workspace = require_holder(name, run_id, fence)
    refuse_other_lock(workspace, lock_id)
    workspace.lock_id = workspace.lock_info = None


def refuse_other_lock(workspace: Workspace, lock_id: str | None) -> None:
    """Raise Locked when the workspace is locked with another id."""
    if workspace.lock_id not in {None, lock_id}:
        raise Locked(workspace)


def _lock_id(info: dict[str, Any]) -> str:
    lock_id = info.get("ID")
    if not isinstance(lock_id, str) or not 0 < len(lock_id) <= LONGEST_ID:
        raise Conflict("A lock needs an ID; to take one away by force use workspace.unlock.")
    return lock_id


def _hold_as_lock(workspace: Workspace) -> dict[str, Any]:
    return {"ID": f"held by run {workspace.holder_run_id}", "Who": "opsplatform", "Path": workspace.name}
