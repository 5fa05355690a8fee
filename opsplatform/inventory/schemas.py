"""What leaves the inventory."""

from typing import Any

from marshmallow import fields
from typing_extensions import TypedDict

from opsplatform.core.schemas import Moment, PersonOut, ma


class ResourceOut(TypedDict):
    """One resource: who opened what, when, and who approved it."""

    id: int
    address: str
    type: str
    name: str
    provider_id: str | None
    module: str
    workspace: str
    environment: str
    applicant: PersonOut
    approval: dict[str, Any] | None
    approvers: list[dict[str, Any]]
    run_id: int
    state: str
    created_at: str
    destroyed_at: str | None
    expires_at: str | None
    attributes: dict[str, Any]


class ResourceEventOut(TypedDict):
    """One line of a resource's history."""

    run_id: int
    action: str
    at: str
    by: str | None
    note: str | None


class ResourceSchema(ma.Schema):  # type: ignore[name-defined,misc]  # the extension carries no types
    """A resource as it goes out."""

    id = fields.Integer()
    address = fields.String()
    type = fields.String()
    name = fields.String()
    provider_id = fields.String()
    module = fields.String()
    workspace = fields.String()
    environment = fields.String()
    applicant = fields.Function(lambda row: {"userid": row.applicant_userid, "name": row.applicant_name})
    approval = fields.Raw()
    approvers = fields.Raw()
    run_id = fields.Integer()
    state = fields.String()
    created_at = Moment()
    destroyed_at = Moment()
    expires_at = Moment()
    attributes = fields.Raw()


class ResourceEventSchema(ma.Schema):  # type: ignore[name-defined,misc]  # the extension carries no types
    """A line of history as it goes out."""

    run_id = fields.Integer()
    action = fields.String()
    at = Moment()
    by = fields.String()
    note = fields.String()


resources = ResourceSchema(many=True)
resource = ResourceSchema()
events = ResourceEventSchema(many=True)
