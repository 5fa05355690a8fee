"""`workspace.*`: where a state lives, its versions, and who holds it."""

from typing import cast

from opsplatform.core.rpc import Method
from opsplatform.core.schemas import Cursor, Limit, Page, ShortText, page
from opsplatform.states import schemas, service
from opsplatform.states.models import StateVersion, Workspace
from opsplatform.states.schemas import StateVersionOut, WorkspaceName, WorkspaceOut


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


def get_workspace(name: WorkspaceName) -> WorkspaceOut:
    """One workspace."""
    return cast("WorkspaceOut", schemas.workspace.dump(service.get(name)))


def list_states(name: WorkspaceName, limit: Limit = 50, cursor: Cursor | None = None) -> Page[StateVersionOut]:
    """The versions of a workspace's state, newest first: serial, run and size, never the state itself."""
    query = service.list_versions(name)
    found = page(query, StateVersion.id, limit=limit, cursor=cursor, dump=schemas.versions.dump)
    return cast("Page[StateVersionOut]", found)


METHODS = (
    Method("workspace.list", list_workspaces),
    Method("workspace.get", get_workspace),
    Method("workspace.states", list_states),
)
