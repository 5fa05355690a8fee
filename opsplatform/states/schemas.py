"""What leaves the states domain: never a state itself."""

from typing import Annotated, Any

from marshmallow import fields
from pydantic import Field
from typing_extensions import TypedDict

from opsplatform.core.schemas import Moment, ma

WorkspaceName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")]


class LockOut(TypedDict):
    """The lock of a Terraform command, in its own words."""

    id: str
    operation: str
    who: str
    created_at: str


class WorkspaceOut(TypedDict):
    """A workspace, and who holds it."""

    name: str
    module: str
    environment: str
    created_at: str
    serial: int | None
    lineage: str | None
    resource_count: int
    run_id: int | None
    lock: LockOut | None
    quarantined_reason: str | None


class StateVersionOut(TypedDict):
    """One version of a state."""

    serial: int
    lineage: str
    run_id: int
    size: int
    digest: str
    created_at: str


class WorkspaceSchema(ma.Schema):  # type: ignore[name-defined,misc]  # the extension carries no types
    """A workspace as it goes out."""

    name = fields.String()
    module = fields.String()
    environment = fields.String()
    created_at = Moment()
    serial = fields.Integer()
    lineage = fields.String()
    resource_count = fields.Integer()
    run_id = fields.Integer(attribute="holder_run_id")
    lock = fields.Function(lambda row: _lock(row.lock_info))
    quarantined_reason = fields.String()


class StateVersionSchema(ma.Schema):  # type: ignore[name-defined,misc]  # the extension carries no types
    """A version as it goes out."""

    serial = fields.Integer()
    lineage = fields.String()
    run_id = fields.Integer()
    size = fields.Integer()
    digest = fields.String()
    created_at = Moment()


def _lock(info: dict[str, Any] | None) -> LockOut | None:
    if info is None:
        return None
    return {
        "id": info.get("ID", ""),
        "operation": info.get("Operation", ""),
        "who": info.get("Who", ""),
        "created_at": info.get("Created", ""),
    }


workspace = WorkspaceSchema()
workspaces = WorkspaceSchema(many=True)
versions = StateVersionSchema(many=True)
