"""`workspace.*`: where a state lives, its versions, and who holds it."""

from typing import Annotated, cast

from pydantic import Field

from opsplatform.core.rpc import Method
from opsplatform.core.schemas import Cursor, Limit, Page, ShortText, page
from opsplatform.states import schemas, service
from opsplatform.states.models import StateVersion, Workspace
from opsplatform.states.schemas import StateVersionOut, WorkspaceOut

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")]


def list_workspaces(
    module: ShortText | None = None,
    environment: ShortText | None = None,
    limit: Limit = 50,
    cursor: Cursor | None = None,
) -> Page[WorkspaceOut]:
    """Workspaces, newest first."""
    query = service.find(module=module, environment=environment)
    found = page(query, Workspace.id, limit=limit, cursor=cursor, dump=schemas.workspaces.dump)
    return cast("Page[WorkspaceOut]", found)


def get_workspace(name: Name) -> WorkspaceOut:
    """One workspace."""
    return cast("WorkspaceOut", schemas.workspace.dump(service.get(name)))


def list_states(name: Name, limit: Limit = 50, cursor: Cursor | None = None) -> Page[StateVersionOut]:
    """The versions of a workspace's state, newest first: serial, run and size, never the state itself."""
    query = service.list_versions(name)
    found = page(query, StateVersion.id, limit=limit, cursor=cursor, dump=schemas.versions.dump)
    return cast("Page[StateVersionOut]", found)


def unlock_workspace(name: Name) -> WorkspaceOut:
    """Take lock, holder and quarantine away by force; what a run still under way wants to store is refused."""
    return cast("WorkspaceOut", schemas.workspace.dump(service.force_unlock(name)))


METHODS = (
    Method("workspace.list", list_workspaces),
    Method("workspace.get", get_workspace),
    Method("workspace.states", list_states),
    Method("workspace.unlock", unlock_workspace, changes=True),
)
